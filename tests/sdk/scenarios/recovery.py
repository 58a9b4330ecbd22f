"""Recovery after a lost connection."""

from tests.sdk.kit import Subscription
from tests.sdk.stage import Stage


class Recovery:
    """Losses are reported, and nothing is duplicated."""

    def test_nothing_is_lost(self, stage: Stage) -> None:
        """Publications during a client's absence arrive when it reconnects, once and in order."""
        subscription = stage.connected().subscribed(channel := stage.fresh("note"))
        stage.publish(channel, 1, 2)
        assert subscription.values(2) == [1, 2]
        stage.gate.shut()
        stage.publish(channel, 3, 4)
        stage.gate.open()
        subscription.next("subscribed", was_recovering=True, recovered=True)
        stage.publish(channel, 5)
        assert subscription.values(3) == [3, 4, 5]
        assert len(subscription.events("publication")) == 5

    def test_nothing_was_missed(self, stage: Stage) -> None:
        """A client that has missed nothing has recovered, and continues."""
        subscription = stage.connected().subscribed(channel := stage.fresh("note"))
        stage.publish(channel, 1)
        assert subscription.values(1) == [1]
        stage.gate.cut()
        subscription.next("subscribed", was_recovering=True, recovered=True)
        stage.publish(channel, 2)
        assert subscription.values(1) == [2]

    def test_from_an_empty_log(self, stage: Stage) -> None:
        """A client that subscribed before the first publication and was then away receives it."""
        subscription = stage.connected().subscribed(channel := stage.fresh("note"))
        stage.gate.shut()
        stage.publish(channel, 1)
        stage.gate.open()
        subscription.next("subscribed", recovered=True)
        assert subscription.values(1) == [1]

    def test_newest_only(self, stage: Stage) -> None:
        """With conflation, a returning client receives the newest value, and no earlier one."""
        subscription = stage.connected().subscribed(channel := stage.fresh("price"))
        stage.publish(channel, 1)
        assert subscription.values(1) == [1]
        stage.gate.shut()
        stage.publish(channel, 2, 3, 4)
        stage.gate.open()
        subscription.next("subscribed", was_recovering=True, recovered=True)
        assert subscription.values(1) == [4]
        stage.publish(channel, 5)
        assert subscription.values(1) == [5]
        assert len(subscription.events("publication")) == 3

    def test_table(self, stage: Stage) -> None:
        """A client that returns to a table has the right rows after it has applied the publications."""
        subscription = stage.connected().subscribed(channel := stage.fresh("table"))
        stage.publish(channel, *({"symbol": symbol, "price": 1} for symbol in "ABC"))
        table = applied(subscription, {}, 3)
        stage.gate.shut()
        stage.remove(channel, "A")
        stage.publish(channel, {"symbol": "B", "price": 2})
        stage.gate.open()
        subscription.next("subscribed", was_recovering=True)
        stage.publish(channel, {"symbol": "D", "price": 3})
        while "D" not in table:
            table = applied(subscription, table, 1)
        assert table == {"B": 2, "C": 1, "D": 3}

    def test_lost_position(self, stage: Stage) -> None:
        """A client that was away for longer than the log remembers learns of the loss, and continues."""
        subscription = stage.connected().subscribed(channel := stage.fresh("few"))
        stage.publish(channel, 0)
        assert subscription.values(1) == [0]
        stage.gate.shut()
        stage.publish(channel, *range(1, 21))
        stage.gate.open()
        subscription.next("subscribed", was_recovering=True, recovered=False, offset=21)
        stage.publish(channel, "after")
        assert subscription.values(1) == ["after"]
        assert len(subscription.events("publication")) == 2

    def test_own_state(self, stage: Stage) -> None:
        """A client with a state of its own receives what follows it, or is asked for another state if it is lost."""
        channel = stage.fresh("few")
        stage.publish(channel, *range(10))
        epoch = stage.connected().subscribed(channel).events("subscribed")[0]["epoch"]
        states = [{"offset": 2, "epoch": epoch}, {"offset": 8, "epoch": epoch}]
        subscription = stage.connected().subscribed(channel, states=states)
        assert len(subscription.events("state")) == 2
        assert subscription.values(2) == [8, 9]

    def test_deltas(self, stage: Stage) -> None:
        """Deltas continue after a cut with the published values."""
        subscription = stage.connected().subscribed(channel := stage.fresh("note"), delta="fossil")
        values = [{"text": "мягких французских булок " * 20, "n": number} for number in range(12)]
        stage.publish(channel, *values[:4])
        assert subscription.values(4) == values[:4]
        stage.gate.shut()
        stage.publish(channel, *values[4:8])
        stage.gate.open()
        subscription.next("subscribed", recovered=True)
        stage.publish(channel, *values[8:])
        assert subscription.values(8) == values[4:]

    def test_tags(self, stage: Stage) -> None:
        """A client with a filter receives only matching publications of those that it has missed."""
        wanted = {"key": "t", "cmp": "eq", "val": "x"}
        subscription = stage.connected().subscribed(channel := stage.fresh("note"), tagsFilter=wanted)
        stage.publish(channel, 1, tags={"t": "x"})
        assert subscription.values(1) == [1]
        stage.gate.shut()
        for number, kind in ((2, "y"), (3, "x"), (4, "y")):
            stage.publish(channel, number, tags={"t": kind})
        stage.gate.open()
        subscription.next("subscribed", recovered=True)
        stage.publish(channel, 5, tags={"t": "x"})
        assert subscription.values(2) == [3, 5]
        assert len(subscription.events("publication")) == 3

    def test_feed(self, stage: Stage) -> None:
        """A feed continues during its client's absence, and the missed values follow without a gap."""
        subscription = stage.connected().subscribed(stage.fresh("ticks"))
        got = subscription.values(3)
        stage.gate.cut()
        got += subscription.values(20)
        assert got == list(range(got[0], got[0] + 23))


def applied(subscription: Subscription, table: dict[str, float], count: int) -> dict[str, float]:
    """Return a table after a number of further publications."""
    table = dict(table)
    for told in subscription.values(count):
        if told.get("reset"):
            table = {}
        elif told.get("removed"):
            table.pop(told["key"], None)
        else:
            table[told["key"]] = told["value"]["price"]
    return table
