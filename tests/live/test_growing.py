"""Growing texts on every surface: clients that apply pieces get what was appended, and all others the whole."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Annotated, Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import AliasChoices, BaseModel, Field, JsonValue, PlainSerializer, field_serializer, model_serializer
from typing_extensions import TypeAliasType, TypedDict

from tests.centrifuge.sides import JSON_SIDE, SIDES, Side
from tests.exchanges import Exchange
from tests.live.multiplexing import speaking
from tests.live.source import End, Source, farewell, refusal, texts
from tests.waiting import PATIENCE
from wirespeed import Append, DeclarationError, Live, LogFull, NoSuchRow, Publisher, RawJSON, Settings, Tagged, Topic
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio

OURS = {"wirespeed": {"appends": True}}


class Chat(BaseModel):
    text: Annotated[str, Field(serialization_alias="body", validation_alias=AliasChoices("body", "text"))] = ""
    id: int
    likes: int = 0


@pytest.fixture
def answer(live: Live) -> Topic[[], str]:
    """A text that grows."""
    return live.topic("/answer", str, grows=True)


@pytest.fixture
def chat(live: Live) -> Topic[[], Chat]:
    """A table with a text that grows."""
    return live.topic("/chat", Chat, by="id", grows="text")


def ours(side: Side, **more: Any) -> dict[str, Any]:
    """Return the data by which our own clients ask for pieces."""
    wants = {"wirespeed": {**OURS["wirespeed"], **more}}
    return {"data": wants if side is JSON_SIDE else json.dumps(wants).encode()}


def plain(data: Any) -> Any:
    """Return data as either format has it."""
    return json.loads(data) if isinstance(data, bytes) else data


# Surfaces


async def test_raw_websockets(app: FastAPI, answer: Topic[[], str]) -> None:
    """A bare client gets the whole text each time; one that asks for pieces gets what was appended, then the whole."""
    async with lifespan(app), connect(app, "/answer") as bare, connect(app, "/answer?append=1") as client:
        answer.append("Once ")
        assert (await texts(bare, 1), await client.receive_json()) == (["Once "], {"value": "Once "})
        answer.append('"upon"\n')
        assert (await texts(bare, 1), await client.receive_json()) == (['Once "upon"\n'], {"append": '"upon"\n'})
        answer.append("a ")
        answer.append("time")
        assert (await texts(bare, 1), await client.receive_json()) == (
            ['Once "upon"\na time'],
            {"append": "a time"},
        )
        answer.publish("The end.")
        assert (await texts(bare, 1), await client.receive_json()) == (["The end."], {"value": "The end."})


async def test_client_that_returns(app: FastAPI, answer: Topic[[], str]) -> None:
    """A client with a position of the text gets the pieces since then; one from before it, the whole."""
    async with lifespan(app):
        before = await answer.publish("an earlier text")
        await answer.publish("a")
        since = await answer.append("b")
        end = [await answer.append(each) for each in "cd"][-1]
        assert (await answer.latest(), [each.position for each in await answer.history()]) == ("abcd", [end])
        async with connect(app, f"/answer?positions=1&append=1&since={since}") as client:
            assert await client.receive_json() == {"position": str(end), "append": "cd"}
        async with connect(app, f"/answer?positions=1&since={since}") as client:
            assert await client.receive_json() == {"position": str(end), "value": "abcd"}
        for path in (f"/answer?append=1&since={before}", "/answer?append=1", "/answer?append=1&since=other:7"):
            async with connect(app, path) as client:
                assert await client.receive_json() == {"value": "abcd"}


async def test_rows(app: FastAPI, chat: Topic[[], Chat]) -> None:
    """The text of a row grows under its name in JSON; other fields are replaced with the row."""
    async with lifespan(app), connect(app, "/chat") as bare, connect(app, "/chat?append=1") as client:
        chat.publish(Chat(id=7, text="Hel", likes=1))
        for each in (bare, client):
            assert await each.receive_json() == {"key": 7, "value": {"id": 7, "likes": 1, "body": "Hel"}}
        chat.append(7, 'lo "you"')
        assert await client.receive_json() == {"key": 7, "append": {"body": 'lo "you"'}}
        assert await bare.receive_json() == {"key": 7, "value": {"id": 7, "likes": 1, "body": 'Hello "you"'}}
        assert await chat.snapshot() == [Chat(id=7, text='Hello "you"', likes=1)]
        chat.remove(7)
        with pytest.raises(NoSuchRow, match="no row 7"):
            await chat.append(7, "!")
        assert await client.receive_json() == await bare.receive_json() == {"key": 7, "removed": True}
        chat.publish(Chat(id=7, text="again"))
        chat.append(7, "!")
        assert (await client.receive_json())["value"]["body"] == "again!"


@dataclass
class Data:
    id: int
    text: Annotated[str, Field(serialization_alias="body")]


class Typed(TypedDict):
    id: int
    text: Annotated[str, Field(serialization_alias="body")]


@pytest.mark.parametrize("type_", [Data, Typed])
async def test_rows_of_other_types(app: FastAPI, live: Live, type_: Any) -> None:
    """The text of a dataclass or TypedDict grows under its name in JSON, too."""
    table: Topic[[], Any] = live.topic("/rows", type_, by="id", grows="text")
    async with lifespan(app):
        await table.publish(type_(id=7, text="Hel"))
        await table.append(7, "lo")
        assert await table.snapshot() == [type_(id=7, text="Hello")]


async def test_server_sent_events(app: FastAPI, answer: Topic[[], str], chat: Topic[[], Chat]) -> None:
    """Pieces are events of the type ``append`` with a JSON string, and of rows messages; GET returns the whole."""
    accept = {"accept": "text/event-stream"}
    async with lifespan(app):
        await answer.append("a")
        await chat.publish(Chat(id=1, text="x"))
        async with (
            Exchange(app, "/answer?append=1", accept) as pieces,
            Exchange(app, "/answer", accept) as bare,
            Exchange(app, "/chat?append=1", accept) as rows,
        ):
            assert (await pieces.event()).data == (await bare.event()).data == "a"
            assert json.loads((await rows.event()).data)["value"]["body"] == "x"
            position = await answer.append("b\r\nc")
            await chat.append(1, "y")
            event = await pieces.event()
            assert (event.type, json.loads(event.data), event.id) == ("append", "b\r\nc", str(position))
            assert (await bare.event()).data == "ab\nc"
            assert json.loads((await rows.event()).data) == {"key": 1, "append": {"body": "y"}}
        async with Exchange(app, "/answer?append=1", accept | {"last-event-id": str(position)}) as back:
            await answer.append("d")
            assert (await back.event()).data == '"d"'
        async with Exchange(app, "/answer") as whole:
            assert (await whole.body()).decode() == "ab\r\ncd"


@pytest.mark.parametrize("side", SIDES, ids=repr)
async def test_official_clients(app: FastAPI, answer: Topic[[], str], side: Side) -> None:
    """A client that asks for nothing gets whole values; ``?append=1`` in the channel asks for pieces."""
    async with lifespan(app), speaking(app, side) as official, speaking(app, side) as asking:
        await answer.publish("a")
        for speaker, channel in ((official, "answer"), (asking, "answer?append=1")):
            assert "data" not in await speaker.subscribed(channel)
            assert plain(await speaker.pub(channel)) == "a"
        answer.append("b")
        assert plain(await official.pub("answer")) == "ab"
        assert plain(await asking.pub("answer?append=1")) == {"append": "b"}


@pytest.mark.parametrize("side", SIDES, ids=repr)
@pytest.mark.parametrize("batches", [False, True])
async def test_our_clients(app: FastAPI, answer: Topic[[], str], side: Side, batches: bool) -> None:
    """They learn with the subscribe that pieces may come, alone or in arrays, and recover what they have missed."""

    def items(data: Any) -> Any:
        found = plain(data)
        return found if batches else [found]

    async with lifespan(app), speaking(app, side) as speaker:
        await answer.publish("a")
        heard = await speaker.subscribed("answer", **ours(side, batches=batches))
        assert plain(heard["data"]) == OURS
        assert items(await speaker.pub("answer")) == ["a"]
        position = await answer.append("b")
        assert items(await speaker.pub("answer")) == [{"append": "b"}]
        await speaker.ask({"unsubscribe": {"channel": "answer"}})
        answer.append("c")
        answer.append("d")
        place = {"recover": True, "epoch": position.epoch, "offset": position.offset}
        heard = await speaker.subscribed("answer", **place, **ours(side, batches=batches))
        assert heard["recovered"]
        assert [items(each["data"]) for each in heard["publications"]] == [[{"append": "cd"}]]


async def test_subscription_to_what_does_not_grow(app: FastAPI, live: Live) -> None:
    """Our clients always ask, and learn that nothing grows; others that ask are refused."""
    live.topic("/news", str)
    async with lifespan(app), speaking(app, JSON_SIDE) as speaker:
        assert "data" not in await speaker.subscribed("news", **ours(JSON_SIDE))
        assert await speaker.refused("news?append=1") == 107
        assert (await refusal(app, "/news?append=1")).status == 422


async def test_slow_client(app: FastAPI, answer: Topic[[], str]) -> None:
    """A client that does not read gets all that it has missed as one piece."""
    async with lifespan(app), connect(app, "/answer?append=1&max_rate=1") as client:
        answer.append("begin ")
        assert await client.receive_json() == {"value": "begin "}
        for number in range(1_000):
            answer.append(f"{number} ")
        assert await client.receive_json() == {"append": "".join(f"{number} " for number in range(1_000))}


# Feeds


@pytest.mark.parametrize("synchronous", [False, True])
async def test_feed_appends(app: FastAPI, live: Live, synchronous: bool) -> None:
    """A generator yields the whole, or text to append; the type of the feed is that of the whole."""

    def pieces() -> Iterator[str | Append]:
        yield "Once "
        yield Append("upon ")
        yield Append("a time")

    async def values() -> AsyncIterator[str | Append]:
        for each in pieces():
            yield each
        await asyncio.Event().wait()

    def blocking() -> Iterator[str | Append]:
        yield from pieces()

    feed: Any = live.feed("/story", grows=True, linger=0)(blocking if synchronous else values)
    async with lifespan(app), connect(app, "/story?append=1") as client:
        seen = await client.receive_json()
        text = seen["value"]
        while text != "Once upon a time":
            text += (await client.receive_json())["append"]
        assert feed._definition.value_type is str


async def test_run_begins_a_new_text(app: FastAPI, live: Live) -> None:
    """The first piece of a run begins a new text: what a run that has failed has yielded is not continued."""
    source = Source()

    @live.feed("/story", grows=True)
    async def story() -> AsyncIterator[str | Append]:
        async for value in source.values():
            yield value

    async with lifespan(app), connect(app, "/story?append=1") as client:
        source.put(Append("half a "))
        assert await client.receive_json() == {"value": "half a "}
        source.put(RuntimeError("the model is gone"), Append("a whole "))
        assert await client.receive_json() == {"value": "a whole "}
        source.put(Append("story"))
        assert await client.receive_json() == {"append": "story"}
        assert await story.latest() == "a whole story"
        source.put(End)


async def test_finished_text(app: FastAPI, live: Live) -> None:
    """A feed that has ended stays complete: a late watcher gets the whole text and the end, and nothing runs again."""
    source = Source()

    @live.feed("/story", grows=True)
    async def story() -> AsyncIterator[str | Append]:
        async for value in source.values():
            yield value

    source.put(Append("Once "), Append("upon a time"), End)
    async with lifespan(app):
        for path in ("/story?append=1", "/story?append=1&positions=1"):
            async with connect(app, path) as client:
                frames = [await client.receive_json()]
                while frames[0]["value"] + "".join(each["append"] for each in frames[1:]) != "Once upon a time":
                    frames.append(await client.receive_json())
                assert (await farewell(client)).code == 1000
        async with Exchange(app, "/story") as whole:
            assert await whole.body() == b"Once upon a time"
        assert source.began == [None]


async def test_feed_of_rows(app: FastAPI, live: Live) -> None:
    """A generator appends to a row that it has yielded; tags stay those of the row."""

    @live.feed("/chat", by="id", grows="text")
    async def chat() -> AsyncIterator[Chat | Tagged[Chat] | Append]:
        yield Tagged(Chat(id=1, text="a"), {"of": "bot"})
        yield Append("b", row=1)
        await asyncio.Event().wait()

    async with lifespan(app), connect(app, "/chat") as client:
        row = await client.receive_json()
        assert (row if row["value"]["body"] == "ab" else await client.receive_json())["value"]["body"] == "ab"
        (entry,) = await chat.history()
        assert (entry.value, entry.tags) == (Chat(id=1, text="ab"), {"of": "bot"})


# Publishing


async def test_text_is_bounded(app: FastAPI) -> None:
    """A text does not grow beyond ``max_log_bytes``; publishing it whole begins again."""
    answer = Live(app, settings=Settings(max_log_bytes=10)).topic("/answer", str, grows=True)
    async with lifespan(app):
        await answer.append("0123456789")
        with pytest.raises(LogFull, match="the text cannot grow any more"):
            await answer.append("!")
        await answer.publish("new")
        await answer.append("!")
        assert await answer.latest() == "new!"


async def test_wrong_appends(app: FastAPI, live: Live, answer: Topic[[], str], chat: Topic[[], Chat]) -> None:
    """Only text is appended, only where something grows, and in a table only to a row."""
    news: Any = live.topic("/news", str)
    wrong: Any = answer
    async with lifespan(app):
        with pytest.raises(TypeError, match="declare it with grows="):
            news.append("a")
        with pytest.raises(TypeError, match="grows by text"):
            wrong.append(5)
        with pytest.raises(TypeError, match="grows by text"):
            chat.append("a")
        receipt = answer.append("\ud800")
        with pytest.raises(UnicodeEncodeError):
            await receipt
        with pytest.raises(NoSuchRow):
            await chat.append(1, "a")
        assert await answer.latest() is None
        await answer.append("")
        assert await answer.latest() == ""


Shout = Annotated[str, PlainSerializer(str.upper)]


class Shouted(BaseModel):
    """A row whose text is serialised by a function."""

    id: int
    text: str

    @field_serializer("text")
    def shout(self, text: str) -> str:
        """Return the text as it is sent."""
        return text.upper()


@dataclass
class ShoutedRow:
    """The same as a dataclass."""

    id: int
    text: Shout


class ShoutedFields(TypedDict):
    """The same as a dictionary."""

    id: int
    text: Shout


class ShoutedWhole(BaseModel):
    """A row that is serialised by a function as a whole."""

    id: int
    text: str

    @model_serializer
    def shout(self) -> dict[str, Any]:
        """Return the row as it is sent."""
        return {"id": self.id, "text": self.text.upper()}


class ShoutedTree(BaseModel):
    """A row that contains rows."""

    id: int
    text: Shout
    answers: "list[ShoutedTree]"


ShoutAlias = TypeAliasType("ShoutAlias", Shout)


class ShoutedTwice(BaseModel):
    """A row with two fields of the same named type."""

    id: int
    title: ShoutAlias
    text: ShoutAlias


@dataclass
class Tree:
    """A row without serializers that contains rows."""

    id: int
    text: str
    answers: "list[Tree]"


@pytest.mark.parametrize(
    ("type_", "options", "problem"),
    [
        (str, {"grows": True, "keep": 10}, "write keep='latest'"),
        (int, {"grows": True}, "grows=True needs values of the type str"),
        (Chat, {"grows": True, "by": "id"}, "write the name of the field"),
        (Chat, {"grows": "text"}, "write by=, too"),
        (Chat, {"grows": "id", "by": "id"}, "cannot be the one that identifies"),
        (Chat, {"grows": "likes", "by": "id"}, "needs a field of the type str"),
        (Chat, {"grows": "nothing", "by": "id"}, "needs a field of the type str"),
        (RawJSON, {"grows": "text", "by": "id"}, "which RawJSON is not"),
        (Shout, {"grows": True}, "leave out the serializer of the type"),
        (Shouted, {"grows": "text", "by": "id"}, "leave out the serializer of the field"),
        (ShoutedRow, {"grows": "text", "by": "id"}, "leave out the serializer of the field"),
        (ShoutedFields, {"grows": "text", "by": "id"}, "leave out the serializer of the field"),
        (ShoutedTree, {"grows": "text", "by": "id"}, "leave out the serializer of the field"),
        (ShoutedTwice, {"grows": "text", "by": "id"}, "leave out the serializer of the field"),
        (dict[str, int | Shout], {"grows": "text", "by": "id"}, "leave out the serializer of the field"),
        (ShoutedWhole, {"grows": "text", "by": "id"}, "or of the whole type"),
        (Annotated[Chat, PlainSerializer(dict)], {"grows": "text", "by": "id"}, "or of the whole type"),
    ],
)
def test_declarations_that_cannot_work(live: Live, type_: Any, options: Any, problem: str) -> None:
    """Only a text grows, of which the newest is kept."""
    with pytest.raises(DeclarationError, match=problem):
        live.topic("/answer", type_, **options)


@pytest.mark.parametrize("type_", [Tree, dict[str, JsonValue], dict[str, str | datetime | PurePath]])
def test_declarations_without_a_serializer_of_the_text(live: Live, type_: Any) -> None:
    """Types that contain themselves, and serializers of other values, are no problem."""
    assert live.topic("/rows", type_, by="id", grows="text").path == "/rows"


def test_feed_that_does_not_grow(live: Live) -> None:
    """A feed that yields pieces says what grows."""

    async def story() -> AsyncIterator[str | Append]:
        yield ""

    with pytest.raises(DeclarationError, match="declare grows=True"):
        live.feed("/story")(story)


def test_publication_by_post() -> None:
    """Programs append by POST, to a text and to a row; a wrong field is named."""
    app, key = FastAPI(), "a long and random text"
    live = Live(app, publish_key=key)
    answer = live.topic("/answer", str, grows=True)
    live.topic("/chat", Chat, by="id", grows="text")
    live.topic("/news", str)
    with TestClient(app, headers={"x-api-key": key}) as client:
        batch: list[Any] = [{"path": "/answer", "append": "a"}, {"path": "/answer", "append": "b"}]
        assert client.post("/live/publish", json=batch).status_code == 200
        assert client.get("/answer").text == "ab"
        row = {"path": "/chat", "value": {"id": 1, "text": "x"}}
        batch = [row, {"path": "/chat", "row": 1, "append": "y"}]
        assert client.post("/live/publish", json=batch).status_code == 200
        assert client.get("/chat").json() == [{"id": 1, "likes": 0, "body": "xy"}]
        assert client.post("/live/publish", json={"path": "/chat", "row": 2, "append": "y"}).status_code == 404
        for item in ({"path": "/news", "append": "a"}, {"path": "/answer", "append": "a", "value": "b"}):
            assert client.post("/live/publish", json=item).status_code == 422
    assert answer.path == "/answer"


# Several processes


async def test_processes_share_a_text(url: str) -> None:
    """Watchers of all processes get the pieces, one that comes in the middle the whole, from any process."""

    def made() -> tuple[FastAPI, Topic[[], str], Topic[[], Chat]]:
        app = FastAPI()
        live = Live(app, broker=url)
        return app, live.topic("/answer", str, grows=True), live.topic("/chat", Chat, by="id", grows="text")

    (one, answer, chat), (two, same, _), (three, late, _) = made(), made(), made()
    async with AsyncExitStack() as stack:
        for app in (one, two):
            await stack.enter_async_context(lifespan(app))
        client = await stack.enter_async_context(connect(two, "/answer?append=1&positions=1"))
        rows = await stack.enter_async_context(connect(two, "/chat?append=1"))
        await answer.append("a")
        assert (await client.receive_json())["value"] == "a"
        since = await same.append("b")
        assert (await client.receive_json())["append"] == "b"
        for each in "cde":
            answer.append(each)
        text = ""
        async with asyncio.timeout(PATIENCE):
            while text != "cde":
                text += (await client.receive_json())["append"]
        await chat.publish(Chat(id=1, text="x"))
        assert (await rows.receive_json())["value"]["body"] == "x"
        await chat.append(1, "y")
        assert await rows.receive_json() == {"key": 1, "append": {"body": "y"}}
        with pytest.raises(NoSuchRow):
            await chat.append(2, "y")
        await stack.enter_async_context(lifespan(three))
        assert await late.latest() == "abcde"
        newcomer = await stack.enter_async_context(connect(three, "/answer?append=1"))
        assert await newcomer.receive_json() == {"value": "abcde"}
        await same.append("f")
        assert await newcomer.receive_json() == {"append": "f"}
        back = await stack.enter_async_context(connect(two, f"/answer?append=1&since={since}"))
        assert await back.receive_json() == {"append": "cdef"}
        async with Publisher(url) as publisher:
            await publisher.topic("/answer").append("g")
            await publisher.topic("/chat").append(1, "z")
        assert await newcomer.receive_json() == {"append": "g"}
        assert await rows.receive_json() == {"key": 1, "append": {"body": "z"}}


async def test_another_process_takes_over(url: str) -> None:
    """The run in the next process begins a new text, for the watchers of all processes; none sees a mixture."""

    def made(name: str) -> FastAPI:
        app = FastAPI()

        @Live(app, broker=url).feed("/story", grows=True)
        async def story() -> AsyncIterator[str | Append]:
            yield Append(f"{name}: ")
            for _ in range(3):
                await asyncio.sleep(0)
                yield Append("word ")
            await asyncio.Event().wait()

        return app

    async def until(client: Any, text: str, end: str) -> str:
        while text != end:
            frame = await client.receive_json()
            text = frame["value"] if "value" in frame else text + frame["append"]
            assert end.startswith(text) or text.startswith("one")
        return text

    one, two = made("one"), made("two")
    async with lifespan(two), AsyncExitStack() as stack, asyncio.timeout(PATIENCE):
        async with lifespan(one), connect(one, "/story?append=1") as first:
            await until(first, "", "one: word word word ")
            client = await stack.enter_async_context(connect(two, "/story?append=1"))
            text = await until(client, "", "one: word word word ")
        await until(client, text, "two: word word word ")
