"""Commands of the multiplexed surface that wait: for a decision about their subscription, or for room."""

import asyncio
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI

from tests.centrifuge.sides import Fields
from tests.lanes.turns import turns, until
from tests.live.multiplexing import speaking
from tests.live.test_multiplex import Gate, news_of
from wirespeed import Live, Message, Settings
from wirespeed.surfaces.multiplex.inbound import QUEUE, ROOM, TASK
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio

HISTORY: Fields = {"history": {"channel": "news"}}


@pytest.mark.parametrize("is_late", [False, True])
async def test_calls_begin_in_order(app: FastAPI, is_late: bool) -> None:
    """A call that fits does not overtake a large one that waits for room, whether it waits, too, or has just come."""
    live, begun = Live(app), ""
    ends = {name: asyncio.Event() for name in "abcLs"}

    @live.call("/hold")
    async def hold(text: Annotated[str, Message()]) -> bool:
        nonlocal begun
        begun += text[0]
        return await ends[text[0]].wait()

    def call(text: str) -> Fields:
        return {"rpc": {"method": "hold", "data": text}}

    async with lifespan(app), speaking(app) as speaker:
        ids = await speaker.say(*map(call, "abc"), call("L" * 25_000), *([] if is_late else [call("s")]))
        await until(lambda: begun == "abc")
        ends["a"].set()
        await speaker.reply(ids[0])
        if is_late:
            ids += await speaker.say(call("s"))
        await turns(20)
        assert begun == "abc"
        for end in ends.values():
            end.set()
        for id_ in ids[1:]:
            assert "rpc" in await speaker.reply(id_)
        assert begun == "abcLs"


async def test_subscribes_that_are_in_progress_are_bounded(app: FastAPI) -> None:
    """Only as many subscribes reach the app at once as there is room for; the others follow, in order."""
    live, gate = Live(app), Gate()

    @live.topic("/number/{n}", str, dependencies=[Depends(gate)])
    def number(n: int) -> None: ...

    async with lifespan(app), speaking(app) as speaker:
        ids = await speaker.say(*({"subscribe": {"channel": f"number/{n}"}} for n in range(100)))
        await turns(100)
        assert 1 < gate.came <= ROOM // TASK
        gate.open()
        for id_ in ids:
            assert "subscribe" in await speaker.reply(id_)


async def test_commands_that_wait_are_bounded(app: FastAPI) -> None:
    """While a few commands wait for a decision, those behind them are done; while many do, no more are read."""
    live, gate = Live(app), Gate()
    news_of(live, dependencies=[Depends(gate)])
    async with lifespan(app), speaking(app) as speaker:
        (subscribe,) = await speaker.say({"subscribe": {"channel": "news"}})
        few = await speaker.say(*[HISTORY] * 10)
        assert "unsubscribe" in await speaker.ask({"unsubscribe": {"channel": "other"}})
        many = await speaker.say(*[HISTORY] * (QUEUE // 1024), {"unsubscribe": {"channel": "other"}})
        assert await speaker.quiet() == []
        gate.open()
        assert "subscribe" in await speaker.reply(subscribe)
        heard = [next(iter(await speaker.reply(id_))) for id_ in few + many]
        assert heard == ["history"] * (len(heard) - 1) + ["unsubscribe"]


async def test_commands_that_wait_count_as_in_progress(app: FastAPI) -> None:
    """A command that would wait is refused while too many are in progress, or wait, on all channels together."""
    live, gate = Live(app, settings=Settings(max_subscriptions=2, max_inbox_messages=2)), Gate()
    news_of(live, dependencies=[Depends(gate)])
    news_of(live, "/more", dependencies=[Depends(gate)])
    more: Fields = {"history": {"channel": "more"}}
    async with lifespan(app), speaking(app) as speaker:
        subscribes = await speaker.say({"subscribe": {"channel": "news"}}, {"subscribe": {"channel": "more"}})
        ids = await speaker.say(HISTORY, HISTORY, more)
        assert (await speaker.reply(ids[2]))["error"]["code"] == 111
        gate.open()
        assert ["subscribe" in await speaker.reply(each) for each in subscribes] == [True, True]
        assert ["history" in await speaker.reply(each) for each in ids[:2]] == [True, True]
