"""Two processes with a growing text: whatever the network does, all watchers end with the text that the broker has."""

import asyncio
import json
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.brokers.simulated import Network
from tests.hub.stepping import SteppedLoop, running
from tests.hub.test_two_processes import HARM, Weather, processes, rows
from tests.hub.watching import Client, topic
from wirespeed.definitions import Receipt, TopicDefinition
from wirespeed.errors import BrokerDown, NoSuchRow
from wirespeed.hub import Hub
from wirespeed.log.base import Append, Removed
from wirespeed.log.position import Position
from wirespeed.surfaces.wires import raw_wire


class Reader(Client):
    """A client that applies pieces, or gets whole values, and goes on with its position in other processes."""

    def __init__(self, watched: TopicDefinition[..., Any], *, grows: bool) -> None:
        super().__init__()
        self.watched = watched
        self.grows = grows
        self.hub: Hub | None = None

    @property
    def seen(self) -> list[tuple[None, Any]]:
        """The messages, with whole values."""
        texts: dict[Any, Any] = {}
        found: list[tuple[None, Any]] = []
        for frame in map(json.loads, self.values):
            row = json.dumps(frame.get("key"))
            if "append" in frame:
                appended = frame.pop("append")
                texts[row] = (
                    texts[row] + appended
                    if isinstance(appended, str)
                    else {**texts[row], "text": texts[row]["text"] + appended["text"]}
                )
                frame["value"] = texts[row]
            elif "value" in frame:
                texts[row] = frame["value"]
            found.append((None, frame))
        return found

    async def move(self, hub: Hub) -> None:
        """Continue in a process."""
        if self.hub is not None:
            self.leave(await self.hub.engine(), self.watched.path)
        self.hub = None
        positions = [json.loads(each).get("position") for each in self.values]
        since = next((Position.parse(each) for each in reversed(positions) if each), None)
        engine = await hub.engine()
        ticket = await engine.enter(self.watched, self.watched.path, {}, since)
        wire = raw_wire(self.watched, positions=True, grows=self.grows)
        self.watcher = engine.watch(ticket, self.lane, wire, self, None)
        self.hub = hub


@pytest.mark.parametrize("by", [None, "id"])
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    is_sparse=st.booleans(),
    seed=st.integers(0, 1 << 32),
    steps=st.lists(st.sampled_from([*HARM, *["append"] * 12, *["move"] * 3]), min_size=10, max_size=100),
)
def test_texts_converge(by: str | None, is_sparse: bool, seed: int, steps: list[str]) -> None:
    """Clients that move between processes, too, have the whole text, without a piece missing or twice."""
    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        runner.run(_texts_converge(Network(is_sparse=is_sparse), by, Random(seed), steps))


async def _texts_converge(network: Network, by: str | None, random: Random, steps: list[str]) -> None:
    watched = topic(dict[str, Any] if by else str, keep="latest", by=by, grows="text" if by else True)
    async with processes(network) as hubs:
        readers = [Reader(watched, grows=grows) for grows in (True, True, True, False)]
        for reader in readers:
            await reader.move(random.choice(hubs))
        network.is_calm = False
        moving, receipts = await _storm(network, watched, readers, hubs, random, steps)
        network.clear_up()
        await running().pass_time(120)
        await asyncio.gather(*moving)
        for reader in [each for each in readers if each.hub is None]:
            await reader.move(hubs[0])
        receipts += [hubs[1].publish(watched, "", piece(watched, "!", row), None) for row in range(3 if by else 1)]
        await running().pass_time(120)
        for receipt in receipts:
            with suppress(NoSuchRow):
                receipt.result(0)
        held = {each.row: each.payload for _, each in network.server.logs[watched.path].entries if each.payload}
        for reader in readers:
            expected = {row: json.loads(payload) if by else payload.decode() for row, payload in held.items()}
            assert rows(reader.seen) == expected


async def _storm(
    network: Network, watched: Any, readers: list[Reader], hubs: list[Hub], random: Random, steps: list[str]
) -> tuple[list[asyncio.Task[None]], list[Receipt]]:
    """Publish, and let readers move, while the network does harm; return the moves, and the receipts of pieces."""
    weather, moving, receipts = Weather(network, watched.path, random), [], []
    for number, step in enumerate(steps):
        row, hub = number % 3, random.choice(hubs)
        if step == "append":
            receipts.append(hub.publish(watched, "", piece(watched, f"{number} ", row), None))
        elif step == "publish":
            text = f"[{number}] "
            value = {"text": text, "id": row} if watched.options.by else text
            hub.publish(watched, "", Removed(row) if watched.options.by and random.random() < 0.3 else value, None)
        elif step == "move" and (idle := [each for each in readers if each.hub is not None]):
            moving.append(asyncio.create_task(_move(random.choice(idle), hub)))
        elif step == "time":
            await running().pass_time(random.choice([0.05, 0.5, 5.0]))
        else:
            weather.blow(step)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return moving, receipts


def piece(watched: TopicDefinition[..., Any], text: str, row: int) -> Any:
    """Return a piece, of a row if there are rows."""
    return watched.log_kind.values.taken(Append(text, row if watched.options.by else None))


async def _move(reader: Reader, hub: Hub) -> None:
    with suppress(BrokerDown):
        if reader.hub is not None:
            await reader.move(hub)
