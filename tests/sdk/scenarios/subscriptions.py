"""Subscriptions, refusals, tokens for single channels, and the ends of subscriptions."""

import pytest

from tests.apps.tokens import forged, ticket, token
from tests.sdk.kit import Refusal
from tests.sdk.stage import Stage

LONG = 3600.0


class Subscriptions:
    """Subscriptions, from subscribe to unsubscribe."""

    @pytest.mark.parametrize("spelled", ["{}", "/{}", "{}?unknown=1"])
    def test_spellings(self, stage: Stage, spelled: str) -> None:
        """A channel is a path, with or without a leading slash, and may have a query."""
        channel = stage.fresh("note")
        subscription = stage.connected().subscribed(spelled.format(channel))
        stage.publish(channel, {"n": 1})
        subscription.next("publication", data={"n": 1}, offset=1, tags={}, info=None)

    def test_refusals(self, stage: Stage) -> None:
        """A refusal has a code with its reason, and everything else on the connection continues."""
        client = stage.connected()
        kept = client.subscribed(channel := stage.fresh("note"))
        for refused, code in (
            (stage.fresh("guarded"), 101),
            (stage.fresh("ticket"), 103),
            ("nothing/here", 102),
            ("state", 102),
            ("live/websocket", 102),
            ("add", 102),
            ("number/seven", 107),
        ):
            subscription = client.subscription(refused)
            subscription.subscribe()
            subscription.next("unsubscribed", code=code)
        stage.publish(channel, "after all")
        assert kept.values(1) == ["after all"]
        assert client.events("disconnected") == []

    def test_guard_sees_the_token(self, stage: Stage) -> None:
        """Guards see the connection's token in the Authorization header."""
        channel = stage.fresh("guarded")
        stranger = stage.connected(token=token("stranger")).subscription(channel)
        stranger.subscribe()
        stranger.next("unsubscribed", code=103)
        member = stage.connected(token=token("member 1")).subscribed(channel)
        stage.publish(channel, 1)
        assert member.values(1) == [1]

    def test_too_long_a_name(self, stage: Stage) -> None:
        """A name of more than 255 bytes is refused."""
        subscription = stage.connected().subscription("note/" + "x" * 251)
        subscription.subscribe()
        subscription.next("unsubscribed", code=107)

    def test_a_hundred_feeds(self, stage: Stage) -> None:
        """A hundred feeds share one connection, and each of them arrives in order, without a gap."""
        client = stage.connected()
        for each in client.subscribed_to(f"{stage.fresh('ticks')}?pause=0.2" for _ in range(100)):
            first, *rest = each.values(3)
            assert rest == [first + 1, first + 2]

    def test_too_many(self, stage: Stage) -> None:
        """The 129th subscription of a connection is refused, and the others stay."""
        client = stage.connected()
        first = client.subscribed(channel := stage.fresh("note"))
        client.subscribed_to(stage.fresh("price") for _ in range(127))
        last = client.subscription(stage.fresh("note"))
        last.subscribe()
        last.next("unsubscribed", code=106)
        stage.publish(channel, 1)
        assert first.values(1) == [1]

    def test_unsubscribed_by_the_client(self, stage: Stage) -> None:
        """A client that unsubscribes receives no more, and can subscribe again."""
        client = stage.connected()
        subscription = client.subscribed(channel := stage.fresh("room"))
        other = stage.connected().subscribed(channel)
        subscription.unsubscribe()
        subscription.next("unsubscribed", code=0)
        other.next("leave")
        stage.publish(channel, 1)
        assert other.values(1) == [1]
        client.rpc("whoami", {})
        assert subscription.events("publication") == []
        subscription.subscribe()
        subscription.next("subscribed")
        stage.publish(channel, 2)
        assert other.values(1) == [2]
        assert subscription.values(2) == [1, 2]  # SDKs ask for missed publications

    def test_unsubscribed_by_the_app(self, stage: Stage) -> None:
        """A subscription that the app ends is over, and others are not affected."""
        user = stage.fresh("user")
        client = stage.connected(token=token(user))
        subscription, other = client.subscribed(channel := stage.fresh("note")), client.subscribed(stage.fresh("note"))
        stage.publish(channel, 1)
        stage.reach(user, "unsubscribe", channel=channel)
        subscription.next("unsubscribed", code=2000, reason="server unsubscribe")
        assert subscription.values(1) == [1]
        stage.publish(channel, 2)
        client.rpc("whoami", {})
        assert len(subscription.events("publication")) == 1
        assert other.events("unsubscribed") == []

    def test_ticket(self, stage: Stage) -> None:
        """A token for a channel admits its bearer, whose info other clients see."""
        user, channel = stage.fresh("user"), stage.fresh("ticket")
        client = stage.connected(token=token(user, info={"name": "A"}))
        subscription = client.subscribed(channel, token=ticket(user, channel, LONG, info={"seat": 7}))
        stage.publish(channel, 1)
        assert subscription.values(1) == [1]
        (who,) = subscription.ask("presence").values()
        assert (who["user"], who["conn_info"], who["chan_info"]) == (user, {"name": "A"}, {"seat": 7})

    def test_wrong_tickets(self, stage: Stage) -> None:
        """A token that is forged, for another user or for another channel admits no client."""
        user, channel = stage.fresh("user"), stage.fresh("ticket")
        client = stage.connected(token=token(user))
        for wrong in (
            forged(user, channel=channel),
            ticket("another user", channel),
            ticket(user, "ticket/other"),
            token(user),
            "nonsense",
        ):
            subscription = client.subscription(channel, token=wrong)
            subscription.subscribe()
            subscription.next("unsubscribed", code=103)
            client.drop(subscription)

    def test_expired_ticket_is_renewed(self, stage: Stage) -> None:
        """A client with an expired token for a channel asks for another."""
        user, channel = stage.fresh("user"), stage.fresh("ticket")
        client = stage.connected(token=token(user))
        subscription = client.subscription(
            channel, token=ticket(user, channel, -60), tokens=[ticket(user, channel, LONG)]
        )
        subscription.subscribe()
        subscription.next("subscribed")
        assert len(subscription.events("token")) == 1

    def test_commands_need_what_they_are_about(self, stage: Stage) -> None:
        """A command about a channel that is missing or forbidden is refused."""
        client = stage.connected()
        for does, channel, code in (
            ("presence", "nothing", 102),
            ("presence", stage.fresh("guarded"), 101),
            ("history", stage.fresh("ticket"), 103),
            ("presence_stats", stage.fresh("note"), 108),
            ("history", stage.fresh("price"), 108),
        ):
            with pytest.raises(Refusal) as refused:
                client.ask(does, channel=channel)
            assert refused.value.code == code, (does, channel)
