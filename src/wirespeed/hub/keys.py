"""Keys that are live in any process of an app, listed in turns."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from ..codec import json_of
from ..definitions import Watched
from ..isolation import isolated
from .processes import MOST_BYTES, Processes
from .turns import in_turns

_KEYS = "keys"

Values = Mapping[str, Any]


class Keys:
    """Lists the keys of feeds and topics in all processes.

    Args:
        names: The feeds and topics of the app, with their names.
        live: Returns the keys that are live in this process.
        processes: The other processes.
    """

    def __init__(
        self,
        names: Mapping[Watched[Any, Any], str],
        live: Callable[[Watched[Any, Any]], list[Values]],
        processes: Processes,
    ) -> None:
        self._names = names
        self._live = live
        self._processes = processes
        processes.slow[_KEYS] = self._list_for_other

    async def everywhere(self, watched: Watched[Any, Any], timeout: float) -> list[Values]:
        """Return the keys that are live in any process that answers in time, each once."""
        answers = await self._processes.ask_all(_KEYS, self._names[watched].encode(), timeout)
        found = {watched.key.text(each): each async for each in _one_by_one(self._live(watched))}
        for answer in answers.bodies.values():
            with isolated("A process has sent a list of keys that is malformed."):
                async for each in _one_by_one(json.loads(answer)):
                    values = watched.key.of_call((), each)
                    found[watched.key.text(values)] = values
        return list(found.values())

    async def _list_for_other(self, body: bytes) -> bytes:
        """Return as many keys as fit into a message."""
        name, keys, size = body.decode(), list[bytes](), 1
        watched = next((each for each, path in self._names.items() if path == name), None)
        async for each in _one_by_one([] if watched is None else self._live(watched)):
            assert watched is not None
            key = json_of(watched.key.plain(each))
            size += len(key) + 1
            if size > MOST_BYTES:
                break
            keys.append(key)
        return b"[%b]" % b",".join(keys)


async def _one_by_one(keys: list[Values]) -> AsyncIterator[Values]:
    async for some in in_turns(keys):
        for each in some:
            yield each
