"""Tokens that expire while they are in use."""

from tests.apps.tokens import ticket, token
from tests.sdk.stage import Stage

LONG = 3600.0


class Expiry:
    """A client stays no longer than its token allows, and without interruption if it sends another in time."""

    def test_token_is_refreshed(self, stage: Stage) -> None:
        """A token that expires during the connection is replaced, and the connection stays open."""
        user = stage.fresh("user")
        client = stage.connected(token=token(user, stay=2), tokens=[token(user, stay=2), token(user, LONG)])
        subscription = client.subscribed(channel := stage.fresh("note"))
        client.next("token")
        client.next("token")  # the first one would not suffice by now
        stage.publish(channel, "after")
        assert subscription.values(1) == ["after"]
        assert client.rpc("whoami", {})["user"] == user
        assert len(client.events("connecting")) == 1

    def test_refresh_with_a_token_of_another_user(self, stage: Stage) -> None:
        """A refresh cannot change the user: that ends the connection for good."""
        client = stage.connected(token=token(stage.fresh("user"), stay=2), tokens=[token("another user", LONG)])
        client.next("disconnected", code=3500)

    def test_app_shortens_the_stay(self, stage: Stage) -> None:
        """A client whose time the app shortens does not refresh by itself: it is disconnected, and reconnects."""
        user = stage.fresh("user")
        client = stage.connected(token=token(user))
        client.next("connecting")
        stage.reach(user, "refresh", expires_at=0.0)
        client.next("connecting", code=3005)
        client.next("connected")

    def test_gone_with_the_next_token(self, stage: Stage) -> None:
        """A channel that the next connection's token no longer names is over for the client."""
        user, channel = stage.fresh("user"), stage.fresh("note")
        client = stage.connected(tokens=[token(user, stay=2, channels=[channel]), token(user, LONG)])
        client.next("subscribed", channel=channel)
        client.next("token")
        client.next("token")
        stage.gate.cut()
        client.next("unsubscribed", channel=channel)

    def test_ticket_is_refreshed(self, stage: Stage) -> None:
        """A channel's token that expires is replaced, and the subscription stays."""
        user, channel = stage.fresh("user"), stage.fresh("ticket")
        client = stage.connected(token=token(user))
        tokens = [ticket(user, channel, stay=2), ticket(user, channel, LONG)]
        subscription = client.subscribed(channel, token=ticket(user, channel, stay=2), tokens=tokens)
        subscription.next("token")
        subscription.next("token")  # the first one would not suffice by now
        stage.publish(channel, 1)
        assert subscription.values(1) == [1]
        assert subscription.ask("presence_stats") == {"clients": 1, "users": 1}
        assert len(subscription.events("subscribing")) == 1

    def test_refresh_with_a_wrong_ticket(self, stage: Stage) -> None:
        """A refresh with a token for another channel ends the subscription, and not the connection."""
        user, channel = stage.fresh("user"), stage.fresh("ticket")
        client = stage.connected(token=token(user))
        wrong = [ticket(user, "ticket/other", LONG)]
        subscription = client.subscribed(channel, token=ticket(user, channel, stay=2), tokens=wrong)
        subscription.next("unsubscribed", code=103)
        assert client.rpc("whoami", {})["user"] == user
