"""The state of a value is sent as it was when it was yielded or published."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Annotated, Any, Literal

import pytest
from fastapi import FastAPI
from pydantic import AfterValidator, BaseModel

from tests.exchanges import Exchange
from tests.waiting import PATIENCE
from wirespeed import Live, Settings, Tagged
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio

KEEPS: list[dict[str, Any]] = [{"keep": "latest"}, {"by": "id"}, {"keep": 10}, {"keep": timedelta(hours=1)}]


class State(BaseModel):
    """A model that can change."""

    id: int
    words: list[str]


def changed(state: State) -> None:
    """Change an object in all of its parts."""
    state.id = 99
    state.words.append("later")


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("tagged", [False, True])
@pytest.mark.parametrize("way", ["loop", "thread", "before the start"])
async def test_topic_sends_what_was_published(
    keep: dict[str, Any], tagged: bool, way: Literal["loop", "thread", "before the start"]
) -> None:
    """The object may change at once: in the loop, in a thread, and before the start."""
    app = FastAPI()
    topic = Live(app).topic("/state", State, **keep)
    state, tags = State(id=1, words=["a"]), {"kind": "x"}

    def publish() -> None:
        topic.publish(Tagged(state, tags) if tagged else state)
        changed(state)
        tags["kind"] = "y"

    if way == "before the start":
        publish()
    async with lifespan(app), connect(app, "/state") as client:
        if way == "loop":
            publish()
        elif way == "thread":  # the loop stands still meanwhile
            thread = threading.Thread(target=publish)
            thread.start()
            thread.join(PATIENCE)
        if way != "before the start" or not isinstance(keep.get("keep"), int | timedelta):
            value = await client.receive_json()
            assert value.get("value", value) == {"id": 1, "words": ["a"]}
        else:
            await asyncio.sleep(0)
        held = await topic.history()
        assert [each.value for each in held] == [State(id=1, words=["a"])]
        assert held[0].tags == ({"kind": "x"} if tagged else {})


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("synchronous", [False, True])
async def test_feed_sends_what_was_yielded(keep: dict[str, Any], synchronous: bool) -> None:
    """A generator may update and yield the same object repeatedly, at any speed."""
    app = FastAPI()
    live = Live(app)
    over = threading.Event()

    def states() -> Iterator[State]:
        state = State(id=1, words=[])
        yield state
        changed(state)

    async def counting() -> AsyncIterator[State]:
        for state in states():
            yield state
        await asyncio.Event().wait()

    def counting_in_thread() -> Iterator[State]:
        yield from states()
        over.wait(PATIENCE)

    feed = live.feed("/state", **keep)(counting_in_thread if synchronous else counting)
    async with lifespan(app):
        try:
            async with connect(app, "/state") as client:
                value = await client.receive_json()
                assert value.get("value", value) == {"id": 1, "words": []}
                assert await feed.snapshot() == [State(id=1, words=[])]
        finally:
            over.set()


async def test_what_is_read_back_is_not_the_stored_object() -> None:
    """Changing the results of `latest()` and `snapshot()` has no effect on the log."""
    app = FastAPI()
    topic = Live(app).topic("/state", State, keep="latest")
    async with lifespan(app):
        topic.publish(State(id=1, words=["a"]))
        for read in (await topic.latest(), (await topic.snapshot())[0], (await topic.history())[0].value):
            assert read is not None
            changed(read)
        assert await topic.latest() == State(id=1, words=["a"])


class Failing(BaseModel):
    """A model that may not be encodable."""

    value: Any


@pytest.mark.parametrize("keep", [{"keep": "latest"}, {"keep": 10}])
@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize("watched", [False, True])
async def test_publication_that_cannot_be_encoded_fails_alone(
    keep: dict[str, Any], in_thread: bool, watched: bool
) -> None:
    """Its receipt raises, it counts as failed and not as published, and the previous value stays."""
    app = FastAPI()
    topic = Live(app).topic("/state", Failing, **keep)

    def publish() -> Any:
        return topic.publish(Failing(value=object()))

    async with lifespan(app):
        await topic.publish(Failing(value=1))
        client = connect(app, "/state")
        if watched:
            await client.__aenter__()
        receipt = await asyncio.to_thread(publish) if in_thread else publish()
        with pytest.raises(ValueError, match="Unable to serialize"):
            await receipt
        assert await topic.latest() == Failing(value=1)
        statistics = topic.statistics()
        assert (statistics.published, statistics.failed) == (1, 1)
        if watched:
            await client.__aexit__(None, None, None)


@pytest.mark.parametrize("watched", [False, True])
async def test_removal_of_a_missing_row_is_no_publication(watched: bool) -> None:
    """It changes nothing and is not counted, with or without watchers."""
    app = FastAPI()
    table = Live(app).topic("/rows", State, by="id")
    async with lifespan(app), AsyncExitStack() as stack:
        if watched:
            await stack.enter_async_context(connect(app, "/rows"))
        await table.publish(State(id=1, words=[]))
        for row in (2, 1, 1):
            await table.remove(row)
        assert table.statistics().published == 2


async def test_get_waits_for_a_value_of_the_present_run() -> None:
    """A feed that keeps entries does not answer with one from before its pause."""
    app = FastAPI()
    live = Live(app)
    runs = 0

    @live.feed("/runs", keep=10, linger=0)
    async def counted() -> AsyncIterator[int]:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0)
        yield runs
        await asyncio.Event().wait()

    async with lifespan(app):
        for number in (1, 2, 3):
            async with Exchange(app, "/runs") as exchange:
                assert await exchange.body() == str(number).encode()


async def test_get_that_starts_a_table_gives_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client receives all rows, even if the generator was paused in between."""
    monkeypatch.setattr("wirespeed.runs.drive.SLICE", 0.0)
    app = FastAPI()
    live = Live(app)

    @live.feed("/rows", by="id")
    async def rows() -> AsyncIterator[State]:
        for number in range(500):
            yield State(id=number, words=[])
        await asyncio.Event().wait()

    async with lifespan(app), Exchange(app, "/rows") as exchange:
        assert len(json.loads(await exchange.body())) == 500


async def test_a_default_names_the_key_that_its_value_does() -> None:
    """With any validator, a client that sends another value never receives the default's values."""
    app = FastAPI()
    live = Live(app)

    @live.topic("/next", str, keep="latest")
    def following(number: Annotated[int, AfterValidator(lambda number: number + 1)] = 5) -> None:
        """Return the key that follows."""

    async with lifespan(app):
        following.publish("that of the default")
        following.publish("that of 4", 4)
        for path, value in (
            ("/next", "that of the default"),
            ("/next?number=5", "that of the default"),
            ("/next?number=4", "that of 4"),
        ):
            async with Exchange(app, path) as exchange:
                assert await exchange.body() == value.encode()
            async with connect(app, path) as client:
                assert await client.receive() == value


async def test_clients_do_not_evict_the_values_of_others() -> None:
    """At the limit of keys, requests for unknown keys by GET or WebSocket evict no values."""
    app = FastAPI()
    topic = Live(app, settings=Settings(max_keys=3)).topic("/word/{word}", str)

    @topic
    def words(word: str) -> None:
        """Yield words."""

    async with lifespan(app):
        for word in "abc":
            await words.publish(word, word=word)
        for number in range(10):
            async with Exchange(app, f"/word/{number}") as exchange:
                assert exchange.status == 404
            async with connect(app, f"/word/{number}"):
                assert await words.snapshot(word=str(number)) == []
        assert [await words.latest(word=word) for word in "abc"] == ["a", "b", "c"]
