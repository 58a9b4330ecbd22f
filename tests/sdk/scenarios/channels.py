"""Content of channels: publications and their senders, presence, history, tables, tags and deltas."""

import json

import pytest

from tests.apps.tokens import token
from tests.sdk.kit import Refusal
from tests.sdk.stage import Stage
from tests.waiting import wait_until


class Channels:
    """The content of subscriptions."""

    def test_own_publication_comes_first(self, stage: Stage) -> None:
        """A publisher receives its own publication, with itself as the sender, before the answer."""
        user = stage.fresh("user")
        client = stage.connected(token=token(user, info={"name": "A"}))
        subscription = client.subscribed(channel := stage.fresh("room"))
        watching = stage.connected().subscribed(channel)
        number = stage.kit.begin("publish", of=subscription.id, data={"text": "привет 🦊"})
        stage.kit.result(number)
        kinds = [each.get("event", each.get("number")) for each in stage.kit.told]
        assert kinds.index("publication") < kinds.index(number)
        for each in (subscription, watching):
            said = each.next("publication", data={"text": "привет 🦊"}, offset=1)
            assert said["info"] == {
                "user": user,
                "client": client.events("connected")[0]["client"],
                "conn_info": {"name": "A"},
                "chan_info": None,
            }

    def test_publishing_without_a_subscription(self, stage: Stage) -> None:
        """A client that may subscribe may publish without a subscription."""
        channel = stage.fresh("room")
        subscription = stage.connected().subscribed(channel)
        stage.connected().ask("publish", channel=channel, data={"n": 1})
        assert subscription.values(1) == [{"n": 1}]

    def test_refused_publications(self, stage: Stage) -> None:
        """A forbidden or invalid publication is refused, and no client receives it."""
        client = stage.connected()
        room, note = client.subscribed(stage.fresh("room")), client.subscribed(stage.fresh("note"))
        for subscription, data, code in ((note, {}, 103), (room, "no object", 107), (room, {"refuse": True}, 409)):
            with pytest.raises(Refusal) as refused:
                subscription.publish(data)
            assert refused.value.code == code
        room.publish({"n": 1})
        assert room.values(1) == [{"n": 1}]
        assert len(room.events("publication")) == 1
        assert note.events("publication") == []

    def test_complete_feed(self, stage: Stage) -> None:
        """A late subscription gets the values and the end; one that comes back with a position gets what it missed."""
        channel = stage.fresh("unsteady")
        for _ in range(2):
            subscription = stage.connected().subscription(channel)
            subscription.subscribe()
            subscription.next("unsubscribed", code=2000, reason="complete")
            assert subscription.values(2) == [1, 2]

    def test_refusal_by_the_generator(self, stage: Stage) -> None:
        """A subscription gets the values and ends with 2000 plus the status; a late one is refused with the status.

        A worker that has not had a watcher yet learns of the refusal only when it has subscribed the late client.
        """
        channel = stage.fresh("unsteady") + "refuses"
        for codes in ([2410], [410, 2410]):
            subscription = stage.connected().subscription(channel)
            subscription.subscribe()
            assert subscription.next("unsubscribed")["code"] in codes

    def test_presence(self, stage: Stage) -> None:
        """A client receives the members when it asks, and joins and leaves as they happen."""
        user, channel = stage.fresh("user"), stage.fresh("room")
        first = stage.connected(token=token(user)).subscribed(channel)
        me = first.next("join")["info"]
        assert me["user"] == user
        guest = stage.connected()
        second = guest.subscribed(channel)
        you = first.next("join")["info"]
        second.next("join", info=you)
        # At another worker, an answer may be a moment older than the news.
        wait_until(lambda: first.ask("presence") == {me["client"]: me, you["client"]: you})
        wait_until(lambda: second.ask("presence_stats") == {"clients": 2, "users": 2})
        guest.disconnect()
        first.next("leave", info=you)
        wait_until(lambda: first.ask("presence") == {me["client"]: me})
        nobody = stage.fresh("room")
        stranger = stage.connected()
        assert stranger.ask("presence", channel=nobody) == {}
        assert stranger.ask("presence_stats", channel=nobody) == {"clients": 0, "users": 0}

    def test_history(self, stage: Stage) -> None:
        """History is read from either end and from any position; its position is also available alone."""
        channel = stage.fresh("note")
        stage.publish(channel, *"abcde")
        subscription = stage.connected().subscribed(channel)

        def read(**options: object) -> list[tuple[int, str]]:
            told = subscription.ask("history", **options)
            assert told["offset"] == 5
            return [(each["offset"], each["data"]) for each in told["publications"]]

        epoch = subscription.ask("history")["epoch"]
        assert epoch == subscription.events("subscribed")[0]["epoch"]
        assert read() == []
        assert read(limit=-1) == [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")]
        assert read(limit=2) == [(1, "a"), (2, "b")]
        assert read(limit=2, reverse=True) == [(5, "e"), (4, "d")]
        assert read(limit=2, since={"offset": 2, "epoch": epoch}) == [(3, "c"), (4, "d")]
        assert read(limit=2, since={"offset": 3, "epoch": epoch}, reverse=True) == [(2, "b"), (1, "a")]
        assert read(limit=10, since={"offset": 5, "epoch": epoch}) == []
        for wrong, code in (({"offset": 1, "epoch": "other"}, 112), ({"offset": 0, "epoch": epoch}, 107)):
            with pytest.raises(Refusal) as refused:
                subscription.ask("history", limit=1, since=wrong, reverse=True)
            assert refused.value.code == code

    def test_latest(self, stage: Stage) -> None:
        """A new watcher receives the newest value at once, and then new ones."""
        channel = stage.fresh("price")
        stage.publish(channel, 1, 2, 3)
        subscription = stage.connected().subscribed(channel)
        assert subscription.values(1) == [3]
        stage.publish(channel, 4)
        assert subscription.values(1) == [4]

    def test_table(self, stage: Stage) -> None:
        """A new watcher receives each row once, and then changes."""
        channel = stage.fresh("table")
        btc, eth = {"symbol": "BTC", "price": 2.5}, {"symbol": "ETH", "price": 1.5}
        stage.publish(channel, btc | {"price": 1.0}, eth, btc)
        subscription = stage.connected().subscribed(channel)
        assert sorted(subscription.values(2), key=lambda told: str(told["key"])) == [
            {"key": "BTC", "value": btc},
            {"key": "ETH", "value": eth},
        ]
        stage.remove(channel, "ETH")
        assert subscription.values(1) == [{"key": "ETH", "removed": True}]
        stage.publish(channel, btc | {"price": 3.5})
        assert subscription.values(1) == [{"key": "BTC", "value": btc | {"price": 3.5}}]

    def test_text(self, stage: Stage) -> None:
        """Text is a JSON string, with any characters."""
        subscription = stage.connected().subscribed(channel := stage.fresh("text"))
        texts = ['"quoted"\n', "привет 🦊", "", "\u2028\x00\x7f"]
        stage.publish(channel, *texts)
        assert subscription.values(4) == texts

    def test_bytes(self, stage: Stage) -> None:
        """Protobuf clients receive bytes unchanged; JSON clients receive the reason of the refusal."""
        client, channel = stage.connected(), stage.fresh("blob")
        if stage.flavour.format == "json":
            subscription = client.subscription(channel)
            subscription.subscribe()
            assert "Protobuf" in subscription.next("unsubscribed", code=108)["reason"]
            return
        subscription = client.subscribed(channel, raw=True)
        stage.publish(channel, [0, 255, 10], list(range(256)))
        assert subscription.values(2) == [[0, 255, 10], list(range(256))]

    def test_raw_json(self, stage: Stage) -> None:
        """JSON that a topic relays arrives as its publisher wrote it: in Protobuf, each byte."""
        text = '{"i": 1, "zero": -0, "price": 1.10}'
        in_bytes = stage.flavour.format != "json"
        subscription = stage.connected().subscribed(stage.fresh("relay"), raw=in_bytes)
        subscription.publish(list(text.encode()) if in_bytes else json.loads(text))
        assert subscription.values(1) == [list(text.encode()) if in_bytes else json.loads(text)]

    def test_tags(self, stage: Stage) -> None:
        """A client receives the publications that match its filter, each with its tags."""
        client, channel = stage.connected(), stage.fresh("note")
        wanted = {"op": "and", "nodes": [{"key": "t", "cmp": "eq", "val": "x"}, {"key": "n", "cmp": "gt", "val": "1"}]}
        some, every = client.subscribed(channel, tagsFilter=wanted), stage.connected().subscribed(channel)
        for number, kind in ((1, "x"), (2, "x"), (3, "y"), (4, "x")):
            stage.publish(channel, number, tags={"t": kind, "n": str(number)})
        some.next("publication", data=2, offset=2, tags={"t": "x", "n": "2"})
        some.next("publication", data=4, offset=4, tags={"t": "x", "n": "4"})
        assert every.values(4) == [1, 2, 3, 4]
        assert len(some.events("publication")) == 2

    def test_wrong_tags_filter(self, stage: Stage) -> None:
        """An invalid filter is refused."""
        subscription = stage.connected().subscription(stage.fresh("note"), tagsFilter={"key": "t", "cmp": "like"})
        subscription.subscribe()
        subscription.next("unsubscribed", code=107)

    def test_delta(self, stage: Stage) -> None:
        """With deltas a client receives the published values, whatever characters they contain."""
        channel = stage.fresh("note")
        deltas = stage.connected().subscribed(channel, delta="fossil")
        whole = stage.connected().subscribed(channel)
        values = [
            {"text": f"{'Съешь ещё этих мягких булок 🦊' * 5}{mark}{'да выпей чаю 🍵' * 5}", "n": number}
            for number, mark in enumerate(["\u0430", "\u0431", "🦊", "🐻", "e\u0301", "\u00e9", "", "\U0001d518"])
        ]
        for value in values:
            stage.publish(channel, value)
        stage.publish(channel, *values, 7, "short", None)
        expected = [*values, *values, 7, "short", None]
        assert deltas.values(len(expected)) == expected
        assert whole.values(len(expected)) == expected
