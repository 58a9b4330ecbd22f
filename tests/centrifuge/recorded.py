"""Recorded conversations between a server of the protocol, Centrifugo 6, and a client."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from tests.centrifuge.sides import Fields
from wirespeed.centrifuge import messages as m
from wirespeed.centrifuge.codes import Disconnect, Error


class Said(NamedTuple):
    """One message of a conversation.

    Args:
        by: ``>`` the client, ``<`` the server, ``x`` the server closes.
        text: The message, or the code and the reason.
    """

    by: str
    text: str

    @property
    def fields(self) -> Fields:
        """Return the message."""
        fields: Fields = json.loads(self.text)
        return fields

    @property
    def disconnect(self) -> Disconnect:
        """Return the server's close code and reason."""
        code, _, reason = self.text.partition(" ")
        return Disconnect(int(code), reason)


def _conversations() -> dict[str, list[Said]]:
    """Return all conversations by their topics."""
    text = Path(__file__).with_name("exchanges.txt").read_text(encoding="utf-8")
    found: dict[str, list[Said]] = {}
    for block in text.split("\n\n"):
        title, *lines = block.strip().split("\n")
        found[title.removeprefix("# ")] = [Said(line[0], line[2:]) for line in lines]
    return found


CONVERSATIONS = _conversations()

RESULTS: dict[str, type[Any]] = {
    "connect": m.ConnectResult,
    "subscribe": m.SubscribeResult,
    "unsubscribe": m.UnsubscribeResult,
    "publish": m.PublishResult,
    "presence": m.PresenceResult,
    "presence_stats": m.PresenceStatsResult,
    "history": m.HistoryResult,
    "rpc": m.RpcResult,
    "refresh": m.RefreshResult,
    "sub_refresh": m.SubRefreshResult,
}

PUSHES: dict[str, type[Any]] = {
    "pub": m.PublicationPush,
    "join": m.JoinPush,
    "leave": m.LeavePush,
    "unsubscribe": m.UnsubscribePush,
    "message": m.MessagePush,
    "subscribe": m.SubscribePush,
    "disconnect": m.DisconnectPush,
    "refresh": m.RefreshPush,
}


def compact(value: Any) -> bytes:
    """Return a payload."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def result_of(reply: Fields) -> m.Result | Error:
    """Return the content of a reply."""
    if "error" in reply:
        return Error(**reply["error"])
    name = next(each for each in RESULTS if each in reply)
    defaults = {"client": ""} if name == "refresh" else {}
    result: m.Result = RESULTS[name](**defaults, **_read(reply[name]))
    return result


def push_of(push: Fields) -> m.Push:
    """Return the content of a push."""
    name = next(each for each in PUSHES if each in push)
    channel = {"channel": push["channel"]} if "channel" in push else {}
    fields = {"pub": _publication(push["pub"])} if name == "pub" else _read(push[name])
    made: m.Push = PUSHES[name](**channel, **fields)
    return made


def _read(fields: Fields) -> Fields:
    return {name: _READ[name](value) if name in _READ else value for name, value in fields.items()}


def _publication(fields: Fields) -> m.Pub:
    if isinstance(fields["data"], str):  # with deltas, the payload itself is a string
        return m.Pub(**_read(fields) | {"data": fields["data"].encode(), "is_text": True})
    return m.Pub(**_read(fields))


def _info(fields: Fields) -> m.ClientInfo:
    return m.ClientInfo(**_read(fields))


_READ: dict[str, Any] = {
    "data": compact,
    "conn_info": compact,
    "chan_info": compact,
    "info": _info,
    "presence": lambda members: {client: _info(info) for client, info in members.items()},
    "publications": lambda pubs: [_publication(each) for each in pubs],
    "subs": lambda subs: {channel: m.SubscribeResult(**_read(each)) for channel, each in subs.items()},
}
