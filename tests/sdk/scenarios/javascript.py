"""Features that only the JavaScript SDK has."""

from tests.apps.tokens import token
from tests.sdk.stage import Stage


class Javascript:
    """Messages outside of channels, and the benefit of deltas."""

    def test_message_from_the_app(self, stage: Stage) -> None:
        """A message from the app reaches all connections of a user, and no other."""
        user = stage.fresh("user")
        first, second = stage.connected(token=token(user)), stage.connected(token=token(user))
        other = stage.connected()
        assert stage.reach(user, "send", data={"text": "привет 🦊"}) == 2
        for client in (first, second):
            client.next("message", data={"text": "привет 🦊"})
        other.rpc("whoami", {})
        assert other.events("message") == []

    def test_message_to_the_app(self, stage: Stage) -> None:
        """A message outside of a channel ends the connection for good."""
        client = stage.connected()
        client.ask("send", data={})
        client.next("disconnected", code=3508)

    def test_delta_saves(self, stage: Stage) -> None:
        """A value that differs little from the previous one is sent as a delta."""
        channel = stage.fresh("note")
        subscription = stage.connected().subscribed(channel, delta="fossil")
        for number in range(5):
            stage.publish(channel, {"long": "x" * 1000, "n": number})
        subscription.values(5)
        assert subscription.ask("deltas") == {"full": 1, "delta": 4}

    def test_headers_in_the_first_message(self, stage: Stage) -> None:
        """A page cannot set headers on a handshake, so it sends its token as one in its first message."""
        user = stage.fresh("user")
        client = stage.connected(headers={"Authorization": f"Bearer {token(user)}"})
        assert client.rpc("whoami", {})["user"] == user
