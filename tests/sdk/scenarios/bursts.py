"""Bursts."""

from tests.sdk.stage import Stage


class Bursts:
    """No value of a burst is missing, and all are in order.

    Not for the JavaScript SDK's Protobuf over ``http_stream``: it takes a message for the end of the stream that comes
    in two pieces, and then loses what it has got until it is subscribed again.
    """

    def test_a_burst(self, stage: Stage) -> None:
        """No value of a burst is missing, and all are in order."""
        client = stage.connected()
        first, second = client.subscribed(one := stage.fresh("note")), client.subscribed(other := stage.fresh("note"))
        stage.publish(one, *range(3000))
        stage.publish(other, *range(3000))
        assert first.values(3000) == list(range(3000))
        assert second.values(3000) == list(range(3000))

    def test_more_than_one_answer_holds(self, stage: Stage) -> None:
        """None of a thousand missed publications is missing, all are in order, and new ones follow."""
        subscription = stage.connected().subscribed(channel := stage.fresh("note"))
        stage.publish(channel, 0)
        assert subscription.values(1) == [0]
        stage.gate.shut()
        stage.publish(channel, *range(1, 1001))
        stage.gate.open()
        subscription.next("subscribed", recovered=True)
        stage.publish(channel, 1001)
        assert subscription.values(1001) == list(range(1, 1002))

    def test_cuts_in_a_burst(self, stage: Stage) -> None:
        """A client that is cut off repeatedly while values flow receives each of them once, in order."""
        subscription = stage.connected().subscribed(channel := stage.fresh("note"))
        got: list[int] = []
        for burst in range(5):
            stage.publish(channel, *range(burst * 200, burst * 200 + 200), pause=0.0001)
            got += subscription.values(50)
            stage.gate.cut()
        got += subscription.values(1000 - len(got))
        assert got == list(range(1000))
        assert len(subscription.events("publication")) == 1000
