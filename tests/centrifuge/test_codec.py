"""The properties of both formats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.centrifuge.samples import IDS, PUBLICATIONS, PUSHES, SUBSCRIBED
from wirespeed.centrifuge import messages as m
from wirespeed.centrifuge.codec import Codec
from wirespeed.centrifuge.json_codec import JSON
from wirespeed.centrifuge.protobuf import PROTOBUF

both = pytest.mark.parametrize("codec", [JSON, PROTOBUF], ids=lambda codec: codec.name)


@both
@given(id_=IDS, result=SUBSCRIBED, pubs=st.lists(PUBLICATIONS, max_size=3))
def test_items_are_what_a_reply_has(codec: Codec, id_: int, result: m.SubscribeResult, pubs: list[m.Pub]) -> None:
    """Publications that were encoded before are in a reply like those that are encoded for it."""
    items = b"".join(map(codec.item, pubs))
    made_before = codec.reply(id_, result._replace(publications=items))
    assert made_before == codec.reply(id_, result._replace(publications=pubs))


@both
@given(pushes=st.lists(PUSHES, max_size=4))
def test_messages_are_delimited(codec: Codec, pushes: list[m.Push]) -> None:
    """Any number of joined messages can be separated again."""
    messages = list(map(codec.push, pushes))
    assert [codec.split(each)[0] for each in messages] == codec.split(b"".join(messages))


@both
def test_a_ping_is_an_empty_message(codec: Codec) -> None:
    """The server's ping is empty, and the client's empty frame is the answer."""
    frame = codec.frame(codec.ping)
    assert list(codec.commands(frame.decode() if codec is JSON else frame)) == [m.Pong()]
