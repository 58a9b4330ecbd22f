"""The protocol, spoken to an app in this process."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession

Told = dict[str, Any]


class Speaker:
    """One connection to the multiplexed surface."""

    def __init__(self, client: TestClient, session: WebSocketTestSession, path: str) -> None:
        self.client = client
        self.session = session
        self._path = path
        self._lines: list[Told] = []
        self._pushes: list[Told] = []
        self._id = 0

    def say(self, **command: Any) -> int:
        """Send a command; return its id."""
        self._id += 1
        self.session.send_text(json.dumps({"id": self._id, **command}))
        return self._id

    def hear(self) -> Told:
        """Return the next reply or push."""
        while not self._lines:
            self._lines = [json.loads(line) for line in self.session.receive_text().split("\n")]
        return self._lines.pop(0)

    def ask(self, **command: Any) -> Told:
        """Send a command; return its reply. Pushes before it wait for :meth:`push`."""
        id_ = self.say(**command)
        while "push" in (seen := self.hear()):
            self._pushes.append(seen["push"])
        assert seen.pop("id") == id_, seen
        return seen

    def refused(self, channel: str, **more: Any) -> tuple[int, str]:
        """Subscribe, expect a refusal, and return the error."""
        error = self.ask(subscribe={"channel": channel, **more})["error"]
        return error["code"], error["message"]

    def subscribe(self, channel: str, **more: Any) -> Told:
        """Subscribe; return the result."""
        result: Told = self.ask(subscribe={"channel": channel, **more})["subscribe"]
        return result

    def push(self) -> Told:
        """Return the next push."""
        if self._pushes:
            return self._pushes.pop(0)
        push: Told = self.hear()["push"]
        return push

    @contextmanager
    def another(self) -> Iterator["Speaker"]:
        """Return another connection to the same app, before its connect command."""
        with self.client.websocket_connect(self._path) as session:
            yield Speaker(self.client, session, self._path)


@contextmanager
def speaking(
    app: FastAPI, path: str = "/live/websocket", handshake: Mapping[str, str] | None = None, **connect: Any
) -> Iterator[Speaker]:
    """Return a connection, after its connect command if ``connect`` is given."""
    with TestClient(app) as client, client.websocket_connect(path, headers=dict(handshake or {})) as session:
        speaker = Speaker(client, session, path)
        if connect:
            assert "connect" in speaker.ask(connect=connect)
        yield speaker
