"""Real processes of an app that share presence: one is stopped as in a deploy, and its client comes back."""

from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.brokers.valkey import broker
from tests.e2e.test_multiplex import Speaker
from tests.servers import Server, serve

APP = "tests.apps.protocol:app"
ROOM = "room/deploy"


class Guest(Speaker):
    """A client in a room, with the events of the room that it has heard of."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.events: list[tuple[str, str]] = []

    def take(self) -> dict[str, Any]:
        """Return the next message; note it if it is a join or a leave."""
        heard = self.hear()
        for kind in ("join", "leave"):
            if kind in heard.get("push", {}):
                self.events.append((kind, heard["push"][kind]["info"]["client"]))
        return heard

    def answer(self, id_: int, **command: Any) -> dict[str, Any]:
        """Send a command, and return its answer."""
        self.say({"id": id_, **command})
        while (heard := self.take()).get("id") != id_:
            pass
        return heard

    def enter(self) -> str:
        """Connect, and enter the room; return the id of the client."""
        client: str = self.answer(1, connect={})["connect"]["client"]
        self.answer(2, subscribe={"channel": ROOM})
        return client

    def close_code(self) -> int | None:
        """Return the code with which the connection is closed."""
        try:
            while True:
                self.take()
        except ConnectionClosed as closed:
            return None if closed.rcvd is None else closed.rcvd.code

    def hears(self, *events: tuple[str, str]) -> None:
        """Expect events, and no others before them."""
        while len(self.events) < len(events):
            self.take()
        assert self.events == list(events)
        self.events.clear()


def test_clients_of_a_process_that_stops() -> None:
    """They are closed with 3001, and are present until they are back: no one appears to leave meanwhile."""
    with (
        broker() as env,
        serve(APP, env=env) as one,
        serve(APP, env=env) as two,
        serve(APP, env=env) as three,
        Guest(one) as ann,
    ):
        first = ann.enter()
        ann.hears(("join", first))
        with Guest(two) as bob:
            second = bob.enter()
            ann.hears(("join", second))
            two.process.terminate()
            assert bob.close_code() == 3001
        with Guest(three) as again:
            third = again.enter()
            ann.hears(("join", third))
            there = ann.answer(3, presence={"channel": ROOM})["presence"]["presence"]
            assert set(there) == {first, second, third}
            assert ann.events == []
