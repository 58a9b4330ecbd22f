"""Coming back after a connection was cut."""

from tests.sdk.kit import Subscription
from tests.sdk.stage import Stage


class Recovery:
    """Nothing is lost without being told, and nothing comes twice."""

    def test_nothing_is_lost(self, stage: Stage) -> None:
        """What was published while a client was away is told when it is back, once and in order."""
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
        """A client that has missed nothing is told so, and goes on."""
        subscription = stage.connected().subscribed(channel := stage.fresh("note"))
        stage.publish(channel, 1)
        assert subscription.values(1) == [1]
        stage.gate.cut()
        subscription.next("subscribed", was_recovering=True, recovered=True)
        stage.publish(channel, 2)
        assert subscription.values(1) == [2]

    def test_from_an_empty_log(self, stage: Stage) -> None:
        """A client that has come before the first publication, and was away then, gets it."""
        subscription = stage.connected().subscribed(channel := stage.fresh("note"))
        stage.gate.shut()
        stage.publish(channel, 1)
        stage.gate.open()
        subscription.next("subscribed", recovered=True)
        assert subscription.values(1) == [1]

    def test_newest_only(self, stage: Stage) -> None:
        """Where only the newest value counts, a client that returns gets that one, and not what was between."""
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
        """A client that returns to a table has the right table after it has done what it is told."""
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
        """A client that was away for longer than the log remembers is told that, and goes on from there."""
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
        """A client that brings a state of its own gets what follows it, and is asked for another if that is lost."""
        channel = stage.fresh("few")
        stage.publish(channel, *range(10))
        epoch = stage.connected().subscribed(channel).events("subscribed")[0]["epoch"]
        states = [{"offset": 2, "epoch": epoch}, {"offset": 8, "epoch": epoch}]
        subscription = stage.connected().subscribed(channel, states=states)
        assert len(subscription.events("state")) == 2
        assert subscription.values(2) == [8, 9]

    def test_deltas(self, stage: Stage) -> None:
        """Deltas go on after a cut with the very values that were published."""
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
        """A client that wants some publications only gets these of what it has missed, too."""
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
        """A feed goes on while its client is away, and what came meanwhile follows without a gap."""
        subscription = stage.connected().subscribed(stage.fresh("ticks"))
        got = subscription.values(3)
        stage.gate.cut()
        got += subscription.values(20)
        assert got == list(range(got[0], got[0] + 23))


def applied(subscription: Subscription, table: dict[str, float], count: int) -> dict[str, float]:
    """A table after so many further publications."""
    table = dict(table)
    for told in subscription.values(count):
        if told.get("reset"):
            table = {}
        elif told.get("removed"):
            table.pop(told["key"], None)
        else:
            table[told["key"]] = told["value"]["price"]
    return table
