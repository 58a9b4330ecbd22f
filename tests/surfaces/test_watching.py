"""The watching core: whatever happens, a place among the watchers of a key is given back exactly once."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException

from tests.exchanges import Exchange
from tests.hub.watching import Client, handle, topic
from tests.live.source import refusal
from wirespeed import Live, Settings
from wirespeed.definitions import TopicDefinition
from wirespeed.frames import TEXT
from wirespeed.hub import Hub
from wirespeed.surfaces.refusals import refusing
from wirespeed.surfaces.watching import Watching
from wirespeed.surfaces.wires import RawWire
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio

SCOPE = {"type": "websocket", "path": "/news"}
WIRE = RawWire(TEXT)


class Leaver(Client):
    """A client that leaves as soon as it learns of an end."""

    def __init__(self, watching: Watching, room: int | None = None) -> None:
        super().__init__(room)
        self.watching = watching

    def completed(self) -> None:
        self.watching.leave()

    def not_served(self) -> None:
        self.watching.leave()


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """A hub with room for one key."""
    async with Hub(Settings(max_keys=1)) as hub:
        yield hub


@pytest.fixture
def news(hub: Hub) -> TopicDefinition[..., Any]:
    """A topic of text."""
    news = topic(path="/news")
    hub.bind(news, "/news")
    return news


def places(hub: Hub, news: TopicDefinition[..., Any]) -> int:
    """Return the number of keys that are live: one if any client has a place."""
    return hub.watching(news).keys


async def test_long_keys_are_refused(app: FastAPI, live: Live) -> None:
    """A key in an address has at most 4,096 bytes; the app itself publishes under any."""

    @live.topic("/room", str, keep="latest")
    def room(name: str) -> None: ...

    longest, longer = "é" * 2044 + "e", "é" * 2045  # beside name=''
    async with lifespan(app):
        for name in (longest, longer):
            await room.publish("hello", name)
        async with connect(app, f"/room?name={quote(longest)}") as client:
            assert await client.receive() == "hello"
        assert (await refusal(app, f"/room?name={quote(longer)}")).status == 414
        for accept in ("*/*", "text/event-stream"):
            async with Exchange(app, f"/room?name={quote(longer)}", {"accept": accept}) as exchange:
                assert exchange.status == 414
        assert await room.latest(longer) == "hello"
    assert live.statistics().refused == {"status 414": 3}


async def test_values_published_after_the_entry_are_written(hub: Hub, news: TopicDefinition[..., Any]) -> None:
    """The place is reserved on entering: a value published before the watch begins is not missed."""
    client = Client()
    async with Watching(hub, refusing(hub, SCOPE), news, {}) as watching:
        handle(news).publish("before")
        watching.begin(client.lane, WIRE, client, None)
        handle(news).publish("after")
        hub.flush()
    assert client.values == ["before", "after"]
    assert places(hub, news) == 0


async def test_place_is_given_back_before_the_watch_begins(hub: Hub, news: TopicDefinition[..., Any]) -> None:
    """A client that never begins to watch leaves nothing behind, with or without an error."""
    async with Watching(hub, refusing(hub, SCOPE), news, {}):
        assert places(hub, news) == 1
    assert places(hub, news) == 0
    with pytest.raises(ValueError, match="in between"):
        async with Watching(hub, refusing(hub, SCOPE), news, {}):
            raise ValueError("in between")
    assert places(hub, news) == 0


async def test_watch_that_cannot_begin(hub: Hub, news: TopicDefinition[..., Any]) -> None:
    """A sink that raises when the watch begins costs the place, once."""

    def raises(wake: object) -> None:
        if wake is not None:
            raise ValueError("no wakes")

    client = Client()
    client.lane.watched_by = raises  # type: ignore[method-assign]
    other = Client()
    async with Watching(hub, refusing(hub, SCOPE), news, {}) as kept:
        kept.begin(other.lane, WIRE, other, None)
        with pytest.raises(ValueError, match="no wakes"):
            async with Watching(hub, refusing(hub, SCOPE), news, {}) as watching:
                watching.begin(client.lane, WIRE, client, None)
        assert hub.watching(news).watchers == 1
    assert places(hub, news) == 0


async def test_kept_watch_outlives_its_block(hub: Hub, news: TopicDefinition[..., Any]) -> None:
    """A watch that has a new owner ends when that one leaves; to leave twice changes nothing."""
    client, other = Client(), Client()
    async with (
        Watching(hub, refusing(hub, SCOPE), news, {}) as watching,
        Watching(hub, refusing(hub, SCOPE), news, {}) as second,
    ):
        watching.begin(client.lane, WIRE, client, None)
        second.begin(other.lane, WIRE, other, None)
        kept = watching.keep()
    assert hub.watching(news).watchers == 1
    kept.leave()
    kept.leave()
    assert places(hub, news) == 0


async def test_kept_place_is_given_back_by_an_error(hub: Hub, news: TopicDefinition[..., Any]) -> None:
    """An error after the handing over ends the watch all the same: its new owner may never have got it."""
    client, error = Client(), ValueError("afterwards")
    watching = Watching(hub, refusing(hub, SCOPE), news, {})
    async with watching:
        watching.begin(client.lane, WIRE, client, None)
        watching.keep()
    assert places(hub, news) == 1
    await watching.__aexit__(ValueError, error, None)
    assert places(hub, news) == 0


async def test_end_that_comes_while_the_watch_begins(hub: Hub, news: TopicDefinition[..., Any]) -> None:
    """A client that leaves while the first values are written to it does not watch afterwards."""
    async with Watching(hub, refusing(hub, SCOPE), news, {}) as watching:
        handle(news).publish("spoilt")
        leaver = Leaver(watching)

        def raises(frames: bytes, messages: int) -> bool:
            raise ValueError("cannot be written")

        leaver.lane.offer = raises  # type: ignore[method-assign]
        watching.begin(leaver.lane, WIRE, leaver, None)
        assert (watching.watcher, hub.watching(news).watchers) == (None, 0)
        assert places(hub, news) == 0


async def test_refusals_are_counted_and_leave_nothing_behind(hub: Hub, news: TopicDefinition[..., Any]) -> None:
    """A key beyond the limit is refused with 503 and counted by its reason."""
    other = topic(path="/other")
    hub.bind(other, "/other")
    async with Watching(hub, refusing(hub, SCOPE), news, {}):
        with pytest.raises(HTTPException) as caught:
            async with Watching(hub, refusing(hub, dict(SCOPE)), other, {}):
                pass
    assert caught.value.status_code == 503
    assert hub.statistics().refused == {"too many keys": 1}
    assert places(hub, news) == 0


async def test_hub_that_has_stopped(hub: Hub, news: TopicDefinition[..., Any]) -> None:
    """A client that comes when the app has stopped is refused with 503."""
    await hub.__aexit__(None, None, None)
    with pytest.raises(HTTPException) as caught:
        async with Watching(hub, refusing(hub, SCOPE), news, {}):
            pass
    assert caught.value.status_code == 503
