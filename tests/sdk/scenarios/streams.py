"""Streams: each subscription is a separate run."""

import pytest

from tests.apps.tokens import token
from tests.clients import eventually
from tests.sdk.kit import Refusal
from tests.sdk.stage import Stage


class Streams:
    """Runs, from their first message to their end."""

    def test_values_and_end(self, stage: Stage) -> None:
        """A run sends its values and ends, and the client learns that it is complete."""
        client = stage.connected()
        subscription = client.subscribed("repeat", data={"text": "да", "times": 500})
        assert subscription.values(500) == [f"да {number}" for number in range(1, 501)]
        subscription.next("unsubscribed", code=2000, reason="complete")
        assert stage.kit.told[-1]["event"] == "unsubscribed"

    def test_runs_beside_each_other(self, stage: Stage) -> None:
        """Two runs of one stream on one connection are independent."""
        client = stage.connected()
        first = client.subscribed("repeat#1", data={"text": "one"})
        second = client.subscribed("repeat#2", data={"text": "two"})
        assert first.values(3) == ["one 1", "one 2", "one 3"]
        assert second.values(3) == ["two 1", "two 2", "two 3"]

    def test_invalid_message(self, stage: Stage) -> None:
        """An invalid message is refused with the reason, and the connection stays open."""
        client = stage.connected()
        for data in ({"times": 3}, {"text": 1}, "text"):
            subscription = client.subscription("repeat", data=data)
            subscription.subscribe()
            subscription.next("unsubscribed", code=107)
            client.drop(subscription)
        assert client.subscribed("repeat", data={"text": "a", "times": 1}).values(1) == ["a 1"]

    def test_conversation(self, stage: Stage) -> None:
        """A duplex stream receives messages while it yields values, until it ends."""
        user = stage.fresh("user")
        client = stage.connected(token=token(user))
        subscription = client.subscribed(stage.fresh("talk"))
        for said in ("a", "я"):
            subscription.publish({"text": said})
            assert subscription.values(1) == [{"user": user, "text": said.upper()}]
        with pytest.raises(Refusal) as refused:
            subscription.publish({"no": "text"})
        assert refused.value.code == 107
        subscription.publish({"text": "stop"})
        subscription.next("unsubscribed", code=2000)

    def test_conversation_with_a_first_message(self, stage: Stage) -> None:
        """The data of the subscription is a duplex stream's first message."""
        subscription = stage.connected().subscribed(stage.fresh("talk"), data={"text": "first"})
        assert subscription.values(1) == [{"user": "", "text": "FIRST"}]

    def test_leaving_ends_the_run(self, stage: Stage) -> None:
        """A run is over as soon as its client unsubscribes, disconnects or vanishes."""
        client = stage.connected()
        left, closed, cut = (stage.fresh("talk") for _ in range(3))
        subscription = client.subscribed(left)
        subscription.unsubscribe()
        gone = stage.connected()
        gone.subscribed(closed)
        gone.disconnect()
        stage.connected().subscribed(cut)
        stage.gate.shut()
        names = {each.partition("/")[2] for each in (left, closed, cut)}
        eventually(stage.server, lambda told: names <= set(told["ended"]))

    def test_refusal_during_the_run(self, stage: Stage) -> None:
        """A run that ends with an HTTPException reports it to its client, after its values."""
        subscription = stage.connected().subscription("refuses")
        subscription.subscribe()
        subscription.next("unsubscribed", code=2409, reason="No more.")
        assert subscription.values(1) == [1]

    def test_failure(self, stage: Stage) -> None:
        """A run that fails ends without details, and the connection stays open."""
        client = stage.connected()
        subscription = client.subscription("fails")
        subscription.subscribe()
        told = subscription.next("unsubscribed", code=2001)
        assert "secret" not in told["reason"]
        assert subscription.values(1) == [1]
        assert client.rpc("add", {"a": 1, "b": 1}) == 2

    def test_bytes(self, stage: Stage) -> None:
        """A stream of bytes is for Protobuf clients; JSON clients are refused with the reason."""
        client = stage.connected()
        if stage.flavour.format == "json":
            subscription = client.subscription("octets", data={})
            subscription.subscribe()
            assert "Protobuf" in subscription.next("unsubscribed", code=108)["reason"]
            return
        assert client.subscribed("octets", raw=True, data=[1, 2, 255]).values(1) == [[255, 2, 1]]

    def test_publishing_to_a_stream_of_one_message(self, stage: Stage) -> None:
        """A stream that is not duplex accepts no further messages."""
        client = stage.connected()
        subscription = client.subscribed("sleeps", data="now")
        with pytest.raises(Refusal) as refused:
            subscription.publish({"text": "more"})
        assert refused.value.code == 103
