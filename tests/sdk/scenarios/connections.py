"""Connections, tokens, calls, and actions of the app on its clients."""

from uuid import UUID

import pytest

from tests.apps.tokens import forged, token
from tests.sdk.kit import Refusal
from tests.sdk.stage import Stage

LONG = 3600.0


class Connections:
    """Connections, from connect to disconnect."""

    def test_anonymous(self, stage: Stage) -> None:
        """A client without a token is connected, with its own id, until it disconnects."""
        client = stage.client()
        client.connect()
        connected = client.next("connected", data={"hello": ""})
        assert str(UUID(connected["client"])) == connected["client"]
        client.disconnect()
        client.next("disconnected", code=0)

    def test_token(self, stage: Stage) -> None:
        """A client with a token is the token's user, and receives the app's data."""
        user = stage.fresh("user")
        client = stage.client(token=token(user, info={"name": "Я"}))
        client.connect()
        client.next("connected", data={"hello": user})
        assert client.rpc("whoami", {}) == {"user": user, "info": {"name": "Я"}}

    def test_forged_token(self, stage: Stage) -> None:
        """A token with a wrong signature ends the connection for good."""
        client = stage.client(token=forged("anybody"))
        client.connect()
        client.next("disconnected", code=3500, reason="invalid token")
        assert client.events("connected") == []

    def test_expired_token_is_renewed(self, stage: Stage) -> None:
        """A client with an expired token asks for another, and connects with it."""
        user = stage.fresh("user")
        client = stage.client(token=token(user, -60), tokens=[token(user, LONG)])
        client.connect()
        client.next("connected", data={"hello": user})
        assert len(client.events("token")) == 1

    def test_calls(self, stage: Stage) -> None:
        """A call is answered with its value, with the error that it raises, or with the message's validation error."""
        client = stage.connected()
        assert client.rpc("add", {"a": 1, "b": 2}) == 3
        assert client.rpc("/add", {"a": 2, "b": 2}) == 4
        for method, data, code, said in (
            ("add", {"a": 418, "b": 0}, 418, "I am a teapot."),
            ("add", {"a": 1}, 107, "b"),
            ("nothing", {}, 104, "method not found"),
            ("price/7", {}, 104, "method not found"),
        ):
            with pytest.raises(Refusal, match=said) as refused:
                client.rpc(method, data)
            assert refused.value.code == code

    @pytest.mark.parametrize("code", [3503, 4500])
    def test_app_disconnects_for_good(self, stage: Stage, code: int) -> None:
        """A client that the app disconnects for good does not reconnect."""
        user = stage.fresh("user")
        client = stage.connected(token=token(user))
        stage.reach(user, "disconnect", code=code, reason="go away")
        client.next("disconnected", code=code, reason="go away")

    @pytest.mark.parametrize("code", [3012, 4000])
    def test_app_disconnects_for_now(self, stage: Stage, code: int) -> None:
        """A client that the app disconnects temporarily reconnects, with its subscriptions."""
        user = stage.fresh("user")
        client = stage.connected(token=token(user))
        subscription = client.subscribed(channel := stage.fresh("note"))
        stage.publish(channel, "before")
        assert subscription.values(1) == ["before"]
        client.next("connecting", code=0)
        stage.reach(user, "disconnect", code=code, reason="come back")
        client.next("connecting", code=code, reason="come back")
        client.next("connected")
        subscription.next("subscribed", recovered=True)
        stage.publish(channel, "after")
        assert subscription.values(1) == ["after"]


class ServerSide:
    """Subscriptions that the server starts."""

    def test_with_the_token(self, stage: Stage) -> None:
        """A client is subscribed to the channels of its token, and receives their publications."""
        channel = stage.fresh("note")
        client = stage.connected(token=token(stage.fresh("user"), channels=[channel]))
        client.next("subscribed", channel=channel, recoverable=True, positioned=True)
        stage.publish(channel, "one", "two")
        assert client.values(2) == ["one", "two"]

    def test_refused_by_the_app(self, stage: Stage) -> None:
        """A channel of the token that the app refuses is left out; the client is connected and has the others."""
        user, channel = stage.fresh("user"), stage.fresh("note")
        client = stage.connected(token=token(user, channels=[stage.fresh("guarded"), channel, "nothing"]))
        client.next("subscribed", channel=channel)
        stage.publish(channel, 1)
        assert client.values(1) == [1]
        assert len(client.events("subscribed")) == 1

    def test_added_and_removed(self, stage: Stage) -> None:
        """The app adds a subscription to an open connection, and removes it again."""
        user, channel = stage.fresh("user"), stage.fresh("note")
        client = stage.connected(token=token(user))
        stage.publish(channel, "before")
        stage.reach(user, "subscribe", channel=channel, data={"why": "because"})
        client.next("subscribed", channel=channel, data={"why": "because"}, offset=1)
        stage.publish(channel, "during")
        assert client.values(1) == ["during"]
        stage.reach(user, "unsubscribe", channel=channel)
        client.next("unsubscribed", channel=channel)
        stage.publish(channel, "after")
        client.rpc("whoami", {})
        assert len(client.events("publication")) == 1

    def test_recovered(self, stage: Stage) -> None:
        """Publications during the client's absence arrive when it reconnects, once and in order."""
        channel = stage.fresh("note")
        client = stage.connected(token=token(stage.fresh("user"), channels=[channel]))
        client.next("subscribed")
        stage.publish(channel, 1)
        assert client.values(1) == [1]
        stage.gate.shut()
        stage.publish(channel, 2, 3)
        stage.gate.open()
        client.next("subscribed", channel=channel, was_recovering=True, recovered=True)
        stage.publish(channel, 4)
        assert client.values(3) == [2, 3, 4]
        assert len(client.events("publication")) == 4
