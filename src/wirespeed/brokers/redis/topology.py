"""The primaries: at a fixed address, at the one that Sentinel names, or spread over a Cluster."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from .address import Address, Endpoint
from .link import LOST, ReplyError

PATIENCE = 2.0
"""Seconds to wait for the answer of one server before the next one is asked."""

Owners = list[Endpoint | None]
"""The primary of each slot; None if there is none."""


class Topology(ABC):
    """Finds the primaries."""

    @abstractmethod
    async def locate(self) -> Owners:
        """Return the primary of each slot, as it is now.

        Raises:
            Exception: One of ``LOST``: no server has answered.
        """

    def slot(self, key: str) -> int:
        """Return the slot of a key."""
        return 0


class Fixed(Topology):
    """One server, at a fixed address."""

    def __init__(self, address: Address) -> None:
        self._owners: Owners = [*address.endpoints]

    async def locate(self) -> Owners:
        return self._owners


class Sentinels(Topology):
    """One primary, which Sentinels watch and replace."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def locate(self) -> Owners:
        address = self._address
        found = await _first_answer(
            address, address.endpoints, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.service, to_sentinel=True
        )
        return [Endpoint(found[0].decode(), int(found[1]))]


class Cluster(Topology):
    """Several primaries, with a part of the slots each."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._known: set[Endpoint] = set()

    async def locate(self) -> Owners:
        # Those that were seen last, too: the servers of the URL may all have been replaced since.
        known = [*self._known, *self._address.endpoints]
        shards = await _first_answer(self._address, known, "CLUSTER", "SLOTS")
        owners: Owners = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, primary, *_ in shards:
            owner = Endpoint(primary[0].decode(), int(primary[1]))
            owners[first : last + 1] = [owner] * (last + 1 - first)
        self._known = {owner for owner in owners if owner is not None}
        return owners

    def slot(self, key: str) -> int:
        return int(key_slot(key.encode()))


def topology_of(address: Address) -> Topology:
    """Return the topology that a URL describes."""
    kinds: dict[str, type[Fixed | Sentinels | Cluster]] = {"one": Fixed, "sentinel": Sentinels, "cluster": Cluster}
    return kinds[address.kind](address)


async def _first_answer(
    address: Address, endpoints: Iterable[Endpoint], *command: str, to_sentinel: bool = False
) -> Any:
    """Ask one server after the other, and return the first answer that is not empty."""
    problems = []
    # In any order: one that is out of date would otherwise be asked first again.
    for endpoint in random.sample(asked := list(dict.fromkeys(endpoints)), len(asked)):
        try:
            async with asyncio.timeout(PATIENCE):
                if answer := await _answer(address.connection(endpoint, to_sentinel=to_sentinel), endpoint, command):
                    return answer
            problems.append(f"{endpoint}: unknown")
        except LOST as error:
            problems.append(f"{endpoint}: {error}")
    raise ReplyError(f"{' '.join(command)}: {'; '.join(problems)}")


async def _answer(connection: Any, endpoint: Endpoint, command: Sequence[str]) -> Any:
    try:
        await connection.connect()
        await connection.send_command(*command)
        answer = await connection.read_response(disable_decoding=True)
    finally:
        await connection.disconnect(nowait=True)
    if command[0] == "CLUSTER":
        for _, _, primary, *_ in answer:
            # A server that does not know its own address names none: it is the one that was asked.
            primary[0] = primary[0] or endpoint.host.encode()
    return answer
