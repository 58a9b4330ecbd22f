"""The AsyncAPI documents of all examples and of the demo: they are valid, and all that the apps send is as they say."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from jsonschema import ValidationError
from pydantic import WithJsonSchema

from tests.brokers.valkey import Valkey
from tests.conforming import URL, Conforming
from tests.parsing import complaints
from wirespeed import Live
from wirespeed.asyncapi import document
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[1]

Scene = Callable[[Conforming, Any], Awaitable[None]]


def loaded(path: Path) -> ModuleType:
    """Return an example as a module of its own."""
    name = f"described_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)  # where Pydantic looks for names
    spec.loader.exec_module(module)
    return module


async def post(client: Conforming, path: str, **body: Any) -> None:
    """Make a request of the app's own, and keep its cookies."""
    async with AsyncClient(transport=ASGITransport(client.app), base_url=URL) as http:
        answer = await http.post(path, json=body)
        assert answer.status_code == 200
        if "session" in http.cookies:
            client.headers = {"cookie": f"session={http.cookies['session']}"}


async def assistant(client: Conforming, _: Any) -> None:
    await post(client, "/login", name="ada")
    await client.watch("/draft", 3, {"text": "count to 3"})
    async with (
        client.opened("/chat/{user}", user="ada") as chat,
        client.opened("/answered/{user}", user="ada") as answered,
        client.opened("/ask") as ask,
    ):
        await ask.send({"text": "count to 2"})
        await ask.values(1)
        await chat.values(4)
        (number,) = await answered.values(1)
    await client.watch("/chat/{user}", 2, user="ada")
    async with client.opened("/retry/{number}", number=number) as retry:
        await retry.values(1)
    await client.watch("/stop")


async def chat(client: Conforming, _: Any) -> None:
    async with client.opened("/chat") as socket:
        await socket.send({"name": "Ada", "text": "Hello"})
        await socket.values(1)
    await client.watch("/chat")


async def cursors(client: Conforming, _: Any) -> None:
    async with client.opened("/cursors") as all_of_them:
        async with client.opened("/me") as mine:
            await mine.values(1)
            await mine.send({"x": 0, "y": 0.5, "name": "Ada"})
            await all_of_them.values(1)
            await client.watch("/cursors")
        assert (await all_of_them.receive())[0] == "removed"


async def dashboard(client: Conforming, app: Any) -> None:
    await post(client, "/login", name="ada")
    order = {"symbol": "BTC", "side": "buy", "amount": 1, "limit": 1_000_000.0}
    async with client.opened("/fills/{user}", user="ada") as fills, client.opened("/orders/{user}", user="ada") as own:
        await client.watch("/order", message=order)
        await own.values(1)
        await fills.values(1)
    await client.watch("/orders/{user}", user="ada")
    await client.watch("/quotes", 4)
    await client.watch("/cancel/{number}", number=1)


async def jobs(client: Conforming, app: Any) -> None:
    async with client.opened("/jobs") as changes, client.opened("/start") as start:
        await start.send({"steps": 1})
        (number,) = await start.values(1)
        await changes.values(2)
    await client.watch("/jobs")
    async with client.opened("/jobs/{id}/log", id=number) as log:
        await log.values(2)
    await client.watch("/clear")


async def notes(client: Conforming, _: Any) -> None:
    async with client.opened("/notes") as socket:
        await client.watch("/notes/add", message={"text": "Buy milk"})
        await socket.values(3)
        await client.watch("/notes")
        await client.watch("/notes/{number}/change", message={"done": True}, number=1)
        async with client.opened("/notes/{number}/remove", number=1) as remove:
            await remove.values(1)


async def publish_from_thread(client: Conforming, _: Any) -> None:
    await asyncio.gather(client.watch("/jobs/{number}", number=3), post(client, "/jobs/3"))


async def sdk_page(client: Conforming, _: Any) -> None:
    await client.watch("/price/{symbol}", 3, symbol="BTC")
    await client.watch("/machines", 3)
    await client.watch("/work", 3, {"steps": 3})
    async with client.opened("/chat") as socket:
        await socket.send({"text": "Hello"})
        await socket.values(1)


async def live_chart(client: Conforming, _: Any) -> None:
    await client.watch("/price/{symbol}", 2, symbol="ETH")
    await client.watch("/trades", 2)
    await client.watch("/backtest", 2, {"days": 2})


async def demo(client: Conforming, app: Any) -> None:
    for path in ("/price/{symbol}", "/ticks/{symbol}"):
        await client.watch(path, 2, symbol="SOL")
    await client.watch("/market", 1000)
    await client.watch("/server")
    await client.watch("/now", 2)
    async with client.opened("/crowd") as crowd:
        await crowd.send({"symbol": "BTC", "count": 2, "rate": 10})
        await crowd.values(1)
    async with client.opened("/chat") as socket:
        await socket.send({"name": "Ada", "text": "Hello"})
        await socket.values(1)
    for path, message in (("/test", "go"), ("/test/json", {"message": "hello"})):
        async with client.opened(path) as stream:
            await stream.send(message)
            await stream.values(3)


async def demo_workers(client: Conforming, _: Any) -> None:
    await client.watch("/counter", 2)
    await client.watch("/workers")
    await client.watch("/worker")
    client.unseen.discard("kill")  # it ends the process


def watching(address: str, count: int = 2, message: Any = None, **parameters: Any) -> Scene:
    """Return a scene of an example with one channel."""

    async def scene(client: Conforming, _: Any) -> None:
        await client.watch(address, count, message, **parameters)

    return scene


SCENES: dict[str, Scene] = {
    "assistant": assistant,
    "chat": chat,
    "cursors": cursors,
    "dashboard": dashboard,
    "jobs": jobs,
    "json_counter": watching("/test", 3, {"message": "hello"}),
    "live_chart": live_chart,
    "notes": notes,
    "price_feed": watching("/price/{symbol}", symbol="BTC"),
    "publish_from_thread": publish_from_thread,
    "sdk_page": sdk_page,
    "server_stats": watching("/server", 1),
    "table": watching("/rooms", 6),
    "tail": watching("/log", 1),
    "text_counter": watching("/test", 3, "go"),
}


async def play(app: FastAPI, module: Any, scene: Scene) -> None:
    """Run an app, and check that its document is right about all of its channels."""
    client = Conforming(app)
    async with lifespan(app):
        await scene(client, module)
    assert client.unseen == set()


def test_every_example_has_a_scene() -> None:
    """No example is left out."""
    assert {each.stem for each in (ROOT / "examples").glob("*.py")} == SCENES.keys()


@pytest.mark.parametrize("name", sorted(SCENES.keys() - {"jobs"}))
async def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The document of an example is valid, and true about each of its channels on all of their surfaces."""
    monkeypatch.setenv("ASSISTANT_DATABASE", str(tmp_path / "assistant.db"))
    monkeypatch.setenv("NOTES_DATABASE", f"sqlite+aiosqlite:///{tmp_path / 'notes.db'}")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    (tmp_path / "log").write_text("first\nsecond\nthird\n")
    module = loaded(ROOT / "examples" / f"{name}.py")
    await play(module.app, module, SCENES[name])


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # the worker may outlive the app
async def test_example_with_a_broker(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, for the example whose worker is another process."""
    monkeypatch.setenv("WIRESPEED_BROKER", f"redis://127.0.0.1:{valkey.port}")
    module = loaded(ROOT / "examples" / "jobs.py")
    await play(module.app, module, jobs)


async def test_demo() -> None:
    """The same, for the demo, and for what its cluster adds."""
    from demo import app, workers

    await play(app.app, app, demo)
    cluster = FastAPI()
    Live(cluster)
    cluster.include_router(workers.router)
    await play(cluster, workers, demo_workers)


# The tests of the document can fail


SCHEMA: dict[str, Any] = {"type": "object", "properties": {"number": {"type": "integer"}, "other": {"type": "string"}}}


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("number", {"type": "string"}),
        ("other", None),
        ("missing", {"type": "string"}),
    ],
)
async def test_wrong_schema_is_found(name: str, schema: Any, app: FastAPI, live: Live) -> None:
    """A value of another type, a property without a schema, and one that is missing are found."""
    properties = SCHEMA["properties"] | {name: schema}
    wrong = {
        "type": "object",
        "required": list(properties),
        "properties": {each: schema for each, schema in properties.items() if schema is not None},
    }

    @live.stream("/values")
    async def values() -> AsyncIterator[Annotated[Any, WithJsonSchema(wrong)]]:
        yield {"number": 1, "other": "text"}

    client = Conforming(app)
    async with lifespan(app), client.opened("/values") as socket:
        with pytest.raises(ValidationError):
            await socket.values(1)
    assert client.unseen == {"values"}


async def test_wrong_message_is_found(app: FastAPI, live: Live) -> None:
    """A message that the document does not describe is not sent; the app refuses it as well."""

    @live.call("/add")
    def add(numbers: list[int]) -> int:
        return sum(numbers)

    client = Conforming(app)
    async with lifespan(app), client.opened("/add") as socket:
        with pytest.raises(ValidationError):
            await socket.send("text")
        await socket.client.send_json("text")
        assert (await socket.receive())[0] == "error"
        await socket.send([1, 2])
        assert await socket.values(1) == [3]


def test_invalid_document_is_found(app: FastAPI, live: Live) -> None:
    """The parser names the place of a mistake, and of a reference to nothing."""
    live.topic("/news", str)
    made = document(app)
    made["operations"]["news.send"]["action"] = "shout"
    made["channels"]["news"]["messages"]["value"]["payload"] = {"$ref": "#/components/schemas/Nothing"}
    said = " ".join(complaints(made))
    assert "operations/news.send/action" in said
    assert "Nothing" in said
