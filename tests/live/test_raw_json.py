"""Raw JSON as the type of messages and values, on every surface."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import AfterValidator

from tests.centrifuge.sides import JSON_SIDE, PROTOBUF_SIDE
from tests.exchanges import Event, events_of
from tests.live.multiplexing import speaking
from tests.live.source import farewell
from tests.waiting import PATIENCE
from wirespeed import DeclarationError, Feed, InvalidValue, Live, Message, Publisher, RawJSON, Topic
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio

TEXT = '{"i": 1, "i":\t2, "zero":-0, "price": 1.10, "big": 12345678901234567890.5, "é":"\\u00e9"}'
LINES = "[1,\r\n 2]"
KEY = "a key of some length"


@pytest.fixture
def live(app: FastAPI) -> Live:
    """Its live part."""
    return Live(app, publish_key=KEY)


@pytest.fixture
def relay(live: Live) -> Topic[[], RawJSON]:
    """A topic that passes on what its watchers send."""
    relay = live.topic("/relay", RawJSON)

    @relay.on_message
    async def pass_on(message: RawJSON) -> None:
        relay.publish(message)

    return relay


@pytest.fixture(autouse=True)
def _others(live: Live) -> None:
    @live.call("/call")
    async def call(message: RawJSON) -> RawJSON:
        assert type(message) is RawJSON
        return message

    @live.call("/call/short")
    def short(message: Annotated[RawJSON, Message(max_length=5)]) -> RawJSON:
        return message

    @live.stream("/stream")
    async def stream(message: RawJSON) -> AsyncIterator[RawJSON]:
        yield message
        yield RawJSON(LINES)

    @live.stream("/duplex")
    def duplex(messages: Iterator[RawJSON]) -> Iterator[RawJSON]:
        yield from messages


async def test_watchers_get_it_byte_for_byte(app: FastAPI, relay: Topic[[], RawJSON]) -> None:
    """A message reaches the handler, the log and the watchers of all surfaces as it was sent."""
    async with lifespan(app), connect(app, "/relay") as sender, connect(app, "/relay?positions=1") as other:
        async with events_of(app, "/relay") as events:
            await sender.send_text(TEXT)
            assert await sender.receive() == TEXT
            position = (await relay.history()).position
            assert await other.receive() == f'{{"position":"{position}","value":{TEXT}}}'
            assert await events.event() == Event(TEXT, str(position))
        assert await relay.latest() == RawJSON(TEXT)
        relay.publish(RawJSON(LINES))
        assert await sender.receive() == LINES
    with TestClient(app) as client:
        relay.publish(RawJSON(TEXT)).result(PATIENCE)
        answer = client.get("/relay")
        assert (answer.text, answer.headers["content-type"]) == (TEXT, "application/json")


async def test_multiplexed_json(app: FastAPI, relay: Topic[[], RawJSON]) -> None:
    """In the protocol's JSON, where a message is a line, only line ends are left out."""
    async with lifespan(app), speaking(app, JSON_SIDE) as speaker:
        await speaker.subscribed("relay")
        await speaker.send(f'{{"id":100,"publish":{{"channel":"relay","data":{TEXT}}}}}')
        text = await speaker.client.receive_text()
        assert f'"pub":{{"data":{TEXT},"offset":1' in text
        relay.publish(RawJSON(LINES))
        assert '"data":[1, 2],' in "".join([text, await speaker.client.receive_text()])
        await speaker.send(f'{{"id":101,"rpc":{{"method":"call","data":{TEXT}}}}}')
        assert f'{{"id":101,"rpc":{{"data":{TEXT}}}}}' in await speaker.client.receive_text()
        await speaker.send(f'{{"id":102,"subscribe":{{"channel":"stream","data":{TEXT}}}}}')
        heard = ""
        while "unsubscribe" not in heard:
            heard += await speaker.client.receive_text()
        assert f'"data":{TEXT}' in heard
        assert '"data":[1, 2]' in heard


async def test_multiplexed_protobuf(app: FastAPI, relay: Topic[[], RawJSON]) -> None:
    """In Protobuf, every byte is kept; data that is not JSON is refused, since JSON clients could not read it."""
    async with lifespan(app), speaking(app, PROTOBUF_SIDE) as speaker:
        await speaker.subscribed("relay")
        await relay.publish(RawJSON(TEXT))
        assert TEXT.encode() in await speaker.client.receive_bytes()
        await relay.publish(RawJSON(LINES))
        assert LINES.encode() in await speaker.client.receive_bytes()


@pytest.mark.parametrize("text", ["{", "NaN", "1e999", '"\\ud800"', "\ufeff1", ""])
async def test_bad_json_is_refused(app: FastAPI, relay: Topic[[], RawJSON], text: str) -> None:
    """A message that is not JSON gets an error of its own, and disturbs nothing."""
    async with lifespan(app), connect(app, "/relay") as sender, connect(app, "/call") as caller:
        for client in (sender, caller):
            await client.send_text(text)
            assert (await client.receive_json())["error"]["code"] == 422
            await client.send_text("1")
            assert await client.receive() == "1"
            await client.send_bytes(b"1")
            assert "Expected a JSON text message" in (await client.receive_json())["error"]["message"]
    with TestClient(app) as http:
        answer = http.post("/call", content=text.encode())
        assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "json_invalid")


def test_over_http(app: FastAPI) -> None:
    """A POST's body is the message, and the answer is the value; in JSON Lines, line ends are left out."""
    with TestClient(app) as http:
        answer = http.post("/call", content=TEXT.encode())
        assert (answer.text, answer.headers["content-type"]) == (TEXT, "application/json")
        assert http.post("/call", content=LINES).text == LINES
        assert http.post("/stream", content=TEXT.encode()).text == f"{TEXT}\n[1, 2]\n"
        events = http.post("/stream", content=b"0", headers={"accept": "text/event-stream"}).text
        assert events.startswith("data: 0\n\ndata: [1,\ndata:  2]\n\n")
        assert http.post("/call", content=b"1" * 100_000).status_code == 413
        assert http.post("/call/short", content="12345").text == "12345"
        answer = http.post("/call/short", content="123456")
        assert (answer.status_code, answer.json()["detail"][0]["type"]) == (422, "too_long")


async def test_on_websockets(app: FastAPI) -> None:
    """Calls and streams of all kinds pass messages on unchanged."""
    async with lifespan(app), connect(app, "/call") as call, connect(app, "/duplex") as duplex:
        for client in (call, duplex):
            await client.send_text(TEXT)
            assert await client.receive() == TEXT
        async with connect(app, "/stream") as stream:
            await stream.send_text(TEXT)
            assert [await stream.receive(), await stream.receive()] == [TEXT, LINES]
        async with connect(app, "/call/short") as short:
            await short.send_text("123456")
            assert (await short.receive_json())["error"]["detail"][0]["type"] == "too_long"


async def test_table(app: FastAPI, live: Live) -> None:
    """A table of raw JSON knows its rows by a field, and passes them on unchanged."""
    stock = live.topic("/stock", RawJSON, by="id")
    async with lifespan(app), connect(app, "/stock") as client:
        for text in ('{"id": 1, "n": 1.0}', '{"id":2}', '{"id":  1, "n": 2.0}'):
            await stock.publish(RawJSON(text))
            assert await client.receive() == f'{{"key":{RawJSON(text).value()["id"]},"value":{text}}}'
        assert await stock.snapshot() == [RawJSON('{"id":2}'), RawJSON('{"id":  1, "n": 2.0}')]
        with pytest.raises(ValueError, match="expected an object with the field 'id'"):
            await stock.publish(RawJSON("[]"))
        await stock.remove(2)
        assert await client.receive_json() == {"key": 2, "removed": True}


async def test_feed(app: FastAPI, live: Live) -> None:
    """A feed yields raw JSON."""

    @live.feed("/feed", keep=5, replay=5)
    async def feed() -> AsyncIterator[RawJSON]:
        yield RawJSON(TEXT)

    typed: Feed[[], RawJSON] = feed
    async with lifespan(app), connect(app, "/feed") as client:
        assert await client.receive() == TEXT
        assert (await farewell(client)).code == 1000
        assert await typed.snapshot() == [RawJSON(TEXT)]


async def test_other_values_are_refused(app: FastAPI, relay: Topic[[], RawJSON]) -> None:
    """Only a RawJSON is published: text could be JSON, or a string of JSON."""
    wrong: Any = relay.publish
    async with lifespan(app):
        others: tuple[Any, ...] = ("{}", b"{}", {}, None)
        for value in others:
            with pytest.raises(InvalidValue, match=r"write RawJSON\(text\)"):
                wrong(value)


def test_publishing_over_http(app: FastAPI, relay: Topic[[], RawJSON]) -> None:
    """POST /live/publish keeps the value as well, alone and in a list."""
    one = f'{{"tags": {{"a": "b"}}, "value": {TEXT}, "path": "/relay"}}'
    headers = {"x-api-key": KEY, "content-type": "application/json"}
    with TestClient(app) as http:
        assert http.post("/live/publish", content=one.encode(), headers=headers).status_code == 200
        assert http.get("/relay").text == TEXT
        batch = f'[{{"path":"/relay","value":0}}, {one.replace("1.10", "1.100")}]'
        assert http.post("/live/publish", content=batch.encode(), headers=headers).status_code == 200
        assert http.get("/relay").text == TEXT.replace("1.10", "1.100")


def test_openapi_shows_any_json(app: FastAPI, live: Live, relay: Topic[[], RawJSON]) -> None:
    """Messages and values are any JSON; the rows of a table are a list of it."""
    live.topic("/stock", RawJSON, by="id")
    with TestClient(app) as http:
        paths = http.get("/openapi.json").json()["paths"]
    body = paths["/call"]["post"]["requestBody"]
    assert body == {"required": True, "content": {"application/json": {"schema": {"description": "Any JSON."}}}}
    assert "requestBody" in paths["/stream"]["post"]
    for path, method in (("/call", "post"), ("/relay", "get")):
        schema = paths[path][method]["responses"]["200"]["content"]["application/json"]["schema"]
        assert "type" not in schema
    rows = paths["/stock"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert (rows["type"], rows["items"]) == ("array", {})


def test_declarations(live: Live) -> None:
    """It is neither a part of a value nor of a key; validators apply to it."""
    with pytest.raises(DeclarationError, match="use RawJSON itself"):
        live.topic("/list", list[RawJSON])
    with pytest.raises(DeclarationError, match="RawJSON is a whole"):

        @live.feed("/feed")
        async def feed(key: RawJSON) -> AsyncIterator[int]:
            yield 1

    with pytest.raises(DeclarationError, match="two messages"):

        @live.call("/two")
        def two(one: RawJSON, other: RawJSON) -> int:
            return 1

    def checked(raw: RawJSON) -> RawJSON:
        if raw.value() != {}:
            raise ValueError("must be empty")
        return raw

    assert live.topic("/checked", Annotated[RawJSON, AfterValidator(checked)]).path == "/checked"


async def test_other_processes(url: str) -> None:
    """Processes of the app, and publishers without the app's code, pass it on unchanged."""
    apps = [FastAPI(), FastAPI()]
    topics = [Live(each, broker=url).topic("/relay", RawJSON, by="i") for each in apps]
    async with lifespan(apps[0]), lifespan(apps[1]), connect(apps[1], "/relay") as watcher:
        await topics[0].publish(RawJSON(TEXT))
        assert await watcher.receive() == f'{{"key":2,"value":{TEXT}}}'
        async with Publisher(url) as publisher:
            await publisher.publish("/relay", RawJSON(TEXT.replace("1.10", "1.0")))
            with pytest.raises(InvalidValue):
                publisher.publish("/relay", json.loads(TEXT))
        assert await watcher.receive() == f'{{"key":2,"value":{TEXT.replace("1.10", "1.0")}}}'
