"""Connecting to a server, and giving it up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.waiting import NEVER, until
from wirespeed.client import connect, server, watch

pytestmark = pytest.mark.anyio


class Visit(asyncio.Protocol):
    """A connection to a server that never answers."""

    def __init__(self, visits: list["Visit"]) -> None:
        self.is_open = True
        visits.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False


@asynccontextmanager
async def silent() -> AsyncIterator[tuple[str, list[Visit]]]:
    """Serve without an answer; yield the URL, and all connections."""
    visits: list[Visit] = []
    listening = await asyncio.get_running_loop().create_server(lambda: Visit(visits), "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", visits


async def connecting(url: str) -> None:
    """Connect."""
    async with connect(url, timeout=NEVER):
        pass


async def watching(url: str) -> None:
    """Connect and watch."""
    async for _ in watch(url, "feed", timeout=NEVER):
        pass


@pytest.mark.parametrize("visit", [connecting, watching])
async def test_attempt_that_is_cancelled_leaves_nothing(visit: Callable[[str], Awaitable[None]]) -> None:
    """A cancelled attempt to connect leaves neither a connection nor a task that makes another one."""
    async with silent() as (url, visits):
        before = asyncio.all_tasks()
        attempt = asyncio.ensure_future(visit(url))
        await until(lambda: visits)
        attempt.cancel()
        await asyncio.wait([attempt])
        assert attempt.cancelled()
        assert asyncio.all_tasks() == before
        await until(lambda: not visits[0].is_open)


async def test_token_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that is cancelled while it waits for ``get_token`` cancels that."""
    monkeypatch.setattr(server, "CLOSE_TIMEOUT", 0)
    asked = asyncio.Event()
    before = asyncio.all_tasks()

    async def get_token() -> str:
        asked.set()
        await asyncio.Event().wait()
        return ""

    async def main() -> None:
        async with connect("http://127.0.0.1:1", get_token=get_token):
            pass

    attempt = asyncio.create_task(main())
    await asked.wait()
    attempt.cancel()
    await asyncio.wait([attempt])
    await until(lambda: asyncio.all_tasks() == before)


async def test_what_on_connection_raises_ends_connecting() -> None:
    """If the first attempt fails, and ``on_connection`` raises, so does ``connect``."""

    def give_up(change: object) -> None:
        raise LookupError(change)

    async with silent() as (url, _):
        pass
    with pytest.raises(LookupError, match="state='connecting'"):
        async with connect(url, on_connection=give_up):
            pass
