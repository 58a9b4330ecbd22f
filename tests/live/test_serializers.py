"""Text with a serializer of the app's: every surface sends what FastAPI sends for the same type."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, NewType

import pytest
from fastapi import FastAPI
from pydantic import Base64Bytes, Base64Str, PlainSerializer, WrapSerializer
from typing_extensions import TypeAliasType

from tests.centrifuge.sides import SIDES, Side
from tests.exchanges import Exchange
from tests.live.multiplexing import speaking
from tests.live.posting import post
from tests.waiting import NEVER
from wirespeed import Live, Snapshot, Tagged, Topic
from wirespeed.client.arrivals import decoder
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio

SECRET = 's"ecret\n'
EVENTS = {"accept": "text/event-stream"}


def mask(text: str) -> str:
    """Return a text of which only the first letter and the last one are shown."""
    return f"{text[0]}***{text[-1]}"


Masked = Annotated[str, PlainSerializer(mask)]
TYPES = [
    pytest.param(Masked, id="Annotated"),
    pytest.param(Annotated[str, PlainSerializer(mask, when_used="json")], id="for JSON only"),
    pytest.param(Annotated[str, WrapSerializer(lambda text, inner: mask(inner(text)))], id="WrapSerializer"),
    pytest.param(NewType("Name", Masked), id="NewType"),
    pytest.param(TypeAliasType("Alias", Masked), id="alias"),
]


@pytest.fixture(params=SIDES, ids=repr)
def side(request: pytest.FixtureRequest) -> Side:
    """Return each of the two formats."""
    chosen: Side = request.param
    return chosen


class Scene:
    """An app that sends the secret everywhere, and that has an endpoint of FastAPI's for comparison."""

    def __init__(self, type_: Any) -> None:
        self.app = FastAPI()
        live = Live(self.app)

        async def values() -> AsyncIterator[Any]:
            yield SECRET

        async def again() -> AsyncIterator[Any]:
            yield SECRET
            await asyncio.Event().wait()

        async def value() -> Any:
            return SECRET

        values.__annotations__["return"] = again.__annotations__["return"] = AsyncIterator[type_]
        value.__annotations__["return"] = type_
        live.stream("/stream")(values)
        live.stream("/resumed", resume=NEVER)(values)
        live.feed("/feed")(again)
        live.call("/call")(value)
        self.topic: Topic[[], Any] = live.topic("/topic", type_, keep=10, replay=10)
        self.app.get("/fastapi")(value)

    async def sent(self) -> str:
        """Return the text that FastAPI sends."""
        async with Exchange(self.app, "/fastapi") as response:
            text: str = json.loads(await response.body())
        assert text != SECRET
        return text


@pytest.fixture(params=TYPES)
def scene(request: pytest.FixtureRequest) -> Scene:
    """Return an app for each of the types."""
    return Scene(request.param)


async def test_websockets(scene: Scene) -> None:
    """Raw WebSockets get the serialised text as it is, or as JSON beside its position."""
    async with lifespan(scene.app):
        sent = await scene.sent()
        await scene.topic.publish(SECRET)
        for path in ("/stream", "/resumed", "/feed", "/topic"):
            async with connect(scene.app, path) as client:
                assert await client.receive_text() == sent
        async with connect(scene.app, "/topic?positions=1") as client:
            assert (await client.receive_json())["value"] == sent
        async with connect(scene.app, "/call") as client:
            await client.send_text("")
            assert await client.receive_text() == sent


async def test_http(scene: Scene) -> None:
    """Lines and bodies of JSON have it in quotes; events and plain text have it as it is."""
    async with lifespan(scene.app):
        sent = await scene.sent()
        await scene.topic.publish(SECRET)
        for path in ("/stream", "/resumed", "/resumed?resume=1", "/call"):
            async with post(scene.app, path, b"", {}) as response:
                assert json.loads(await response.rest()) == sent
        for path in ("/stream", "/resumed?resume=1"):
            async with post(scene.app, path, b"", EVENTS) as response:
                lines = (await response.rest()).decode().split("\n")
            data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
            assert "\n".join(data) == sent
        for path in ("/feed", "/topic"):
            async with Exchange(scene.app, path) as newest:
                assert (await newest.body()).decode() == sent
            async with Exchange(scene.app, path, EVENTS) as events:
                assert (await events.event()).data == sent


@pytest.mark.parametrize("data", [{}, {"data": {"wirespeed": {"batches": True}}}], ids=["values", "batches"])
async def test_multiplexed(scene: Scene, side: Side, data: dict[str, Any]) -> None:
    """All data of a multiplexed connection is JSON, so the text has quotes."""
    async with lifespan(scene.app), speaking(scene.app, side) as speaker:
        sent = await scene.sent()
        for channel in ("stream", "resumed", "feed", "topic"):
            await speaker.subscribed(channel, **data)
            if channel == "topic":
                await scene.topic.publish(SECRET)
            push = await speaker.push()
            while "pub" not in push:
                push = await speaker.push()  # the end of a stream
            assert (push["channel"], push["pub"]["data"]) == (channel, [sent] if data else sent)
        assert await speaker.ask({"rpc": {"method": "call"}}) == {"rpc": {"data": sent}}


async def test_read_back(scene: Scene) -> None:
    """The app reads what was sent."""
    async with lifespan(scene.app):
        await scene.topic.publish(SECRET)
        sent = await scene.sent()
        assert await scene.topic.latest() == sent
        assert [each.value for each in await scene.topic.history()] == [sent]


async def test_read_back_by_its_type() -> None:
    """The app and clients read what was sent by its type, as values of all other types."""
    app = FastAPI()
    live = Live(app)
    text, data = live.topic("/text", Base64Str, replay=1), live.topic("/bytes", Base64Bytes, replay=1)
    async with lifespan(app):
        await text.publish("Cg==")  # publishing validates, too
        await data.publish(b"/w==")
        async with connect(app, "/text") as client:
            assert await client.receive_text() == "Cg=="
        async with connect(app, "/bytes") as client:
            sent = await client.receive_bytes()
        assert sent == b"/w=="
        assert await text.latest() == decoder(Base64Str)(b'"Cg=="') == "\n"
        assert await data.latest() == decoder(Base64Bytes)(sent) == b"\xff"
        assert [each.value for each in await data.history()] == [b"\xff"]
        assert decoder(bytes)(sent) == sent


def around(type_: Any) -> list[Any]:
    """Return types of what a feed yields, with the serializer outside of ``Tagged``, ``Snapshot`` or a union."""
    masks = PlainSerializer(mask)
    return [
        Annotated[Tagged[type_], masks],
        Annotated[Tagged[type_] | type_, masks],
        NewType("Yielded", Annotated[Tagged[type_], masks]),
        TypeAliasType("Aliased", Annotated[Tagged[type_], masks]),
    ]


@pytest.mark.parametrize("yielded", around(str))
async def test_serializer_around_tags(yielded: Any) -> None:
    """A serializer around ``Tagged`` applies to the values."""
    app = FastAPI()

    async def tagged() -> AsyncIterator[Any]:
        yield Tagged(SECRET, {"a": "b"})
        await asyncio.Event().wait()

    tagged.__annotations__["return"] = AsyncIterator[yielded]
    Live(app).feed("/tagged")(tagged)
    async with lifespan(app), connect(app, "/tagged") as client:
        assert await client.receive_text() == mask(SECRET)


async def test_serializer_around_snapshots() -> None:
    """A serializer around ``Snapshot`` applies to the rows."""
    app = FastAPI()
    Row = dict[str, str]  # noqa: N806 - a type
    hide = PlainSerializer(lambda row: row | {"name": mask(row["name"])})

    @Live(app).feed("/rows", by="id")
    async def rows() -> AsyncIterator[Annotated[Snapshot[Row] | Row, hide]]:
        yield Snapshot([{"id": "1", "name": SECRET}])
        await asyncio.Event().wait()

    async with lifespan(app), connect(app, "/rows") as client:
        assert (await client.receive_json())["value"] == {"id": "1", "name": mask(SECRET)}
