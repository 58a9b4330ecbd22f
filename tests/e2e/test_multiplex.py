"""The multiplexed surface on real servers of all kinds, over WebSockets and over HTTP."""

import http.client
import json
import signal
from collections.abc import Iterator
from typing import Any, Self

import pytest
from websockets.exceptions import ConnectionClosed

from tests.clients import Client, eventually, get
from tests.e2e.test_feeds import TRACES, WAYS
from tests.servers import Server
from tests.waiting import PATIENCE


@pytest.fixture(scope="module", params=WAYS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Start each server in turn."""
    with WAYS[request.param].serve() as running:
        yield running


class Speaker:
    """A client that sends JSON frames of the protocol over a WebSocket."""

    def __init__(self, server: Server) -> None:
        self._client = Client(server, "/live/websocket")
        self._lines: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        self._client.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.__exit__(*exception)

    def say(self, *commands: dict[str, Any]) -> None:
        """Send commands in one frame."""
        self._client.send("\n".join(map(json.dumps, commands)))

    def hear(self) -> dict[str, Any]:
        """Return the next reply or push; answer pings, which may come in any long test."""
        while (following := self._hear()) == {}:
            self.say({})
        return following

    def _hear(self) -> dict[str, Any]:
        while not self._lines:
            (frame,) = self._client.take(1)
            self._lines = [json.loads(line) for line in str(frame).split("\n")]
        return self._lines.pop(0)


def nobody_watches(seen: dict[str, Any]) -> bool:
    """Return True if the server reports no watchers."""
    return bool(seen["watched"]["/numbers"]["watchers"] == 0)


def test_nothing_is_lost_or_double(server: Server) -> None:
    """1,000 publications reach two channels of one connection in order, each once, and more after a reconnect."""
    with Speaker(server) as speaker:
        subscribes = [{"id": 2, "subscribe": {"channel": "numbers"}}, {"id": 3, "subscribe": {"channel": "/numbers"}}]
        speaker.say({"id": 1, "connect": {}}, *subscribes)
        assert speaker.hear()["connect"]["ping"] == 25
        began = {reply["id"]: reply["subscribe"] for reply in (speaker.hear(), speaker.hear())}
        epoch, offset = began[2]["epoch"], began[2].get("offset", 0)
        assert began[3]["epoch"] == epoch
        get(server, "/publish/0/1000")
        heard: dict[str, list[int]] = {"numbers": [], "/numbers": []}
        while min(map(len, heard.values())) < 1000:
            push = speaker.hear()["push"]
            heard[push["channel"]].append(push["pub"]["offset"])
    assert heard == {channel: list(range(offset + 1, offset + 1001)) for channel in heard}
    get(server, "/publish/0/500")
    with Speaker(server) as speaker:
        recover = {"channel": "numbers", "recover": True, "offset": offset + 1000, "epoch": epoch}
        speaker.say({"id": 1, "connect": {}}, {"id": 2, "subscribe": recover})
        speaker.hear()
        reply = speaker.hear()["subscribe"]
        assert reply["recovered"]
        offsets = [pub["offset"] for pub in reply["publications"]]
        while len(offsets) < 500:
            offsets.append(speaker.hear()["push"]["pub"]["offset"])
        assert offsets == list(range(offset + 1001, offset + 1501))
    eventually(server, nobody_watches)


def test_a_client_that_breaks_the_protocol_is_told(server: Server) -> None:
    """It is closed with the protocol's own code."""
    with Speaker(server) as speaker:
        speaker.say({"id": 1, "subscribe": {"channel": "numbers"}})
        with pytest.raises(ConnectionClosed) as raised:
            speaker.hear()
        assert raised.value.rcvd is not None
        assert (raised.value.rcvd.code, raised.value.rcvd.reason) == (3501, "bad request")


def test_over_http(server: Server) -> None:
    """Replies are events of one response, commands are separate requests; a client that leaves is noticed."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("GET", "/live/sse?cf_connect=%7B%22id%22%3A1%2C%22connect%22%3A%7B%7D%7D")
    response = connection.getresponse()
    assert response.headers["content-type"].startswith("text/event-stream")
    heard = _events(response)
    connected = next(heard)["connect"]
    command = json.dumps({"id": 2, "subscribe": {"channel": "numbers"}})
    body = json.dumps({"session": connected["session"], "node": connected["node"], "data": command})
    assert _post(server, "/live/emulation", body) == 204
    assert "epoch" in next(heard)["subscribe"]
    get(server, "/publish/7/8")
    assert next(heard)["push"]["pub"]["data"] == 7
    assert _post(server, "/live/emulation", json.dumps(json.loads(body) | {"session": "another"})) == 404
    response.close()
    connection.close()
    eventually(server, nobody_watches)


def _events(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    for line in response:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


def _post(server: Server, path: str, body: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("way", ["uvicorn-h11", "uvicorn-httptools-uvloop", "uvicorn-portable"])
def test_a_server_that_stops_says_so(way: str) -> None:
    """Pending data, then 3001, after which clients reconnect; over HTTP it is a push. The server ends cleanly."""
    with WAYS[way].serve() as server, Speaker(server) as speaker:
        speaker.say({"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": "numbers"}})
        for _ in range(2):
            speaker.hear()
        body = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        body.request("POST", "/live/http_stream", '{"id":1,"connect":{}}', {"Content-Type": "application/json"})
        lines = body.getresponse()
        assert "connect" in json.loads(lines.readline())
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as raised:
            speaker.hear()
        assert raised.value.rcvd is not None
        assert (raised.value.rcvd.code, raised.value.rcvd.reason) == (3001, "shutdown")
        assert json.loads(lines.readline())["push"] == {"disconnect": {"code": 3001, "reason": "shutdown"}}
        body.close()
        assert server.stop() in (0, -signal.SIGTERM)
        assert not [trace for trace in TRACES if trace in server.output()]
