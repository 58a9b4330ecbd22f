"""The floor of a stream: the same generators and the encoder alone, in a process of their own, without a socket."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from pydantic import TypeAdapter

from benchmarks.peers import wirespeed_app as app
from benchmarks.peers.shapes import Hello, TickDataclass, TickModel, TickTypedDict
from benchmarks.processes import obey

_HELLO = Hello(message="hello")

SOURCES: dict[str, tuple[Callable[[], AsyncIterator[Any]], Callable[[Any], bytes]]] = {
    "text": (lambda: app.text("hi"), str.encode),
    "dict": (lambda: app.as_dict(_HELLO), TypeAdapter(dict[str, Any]).serializer.to_json),
    "dataclass": (lambda: app.as_dataclass(_HELLO), TypeAdapter(TickDataclass).serializer.to_json),
    "typeddict": (lambda: app.as_typeddict(_HELLO), TypeAdapter(TickTypedDict).serializer.to_json),
    "model": (lambda: app.as_model(_HELLO), TypeAdapter(TickModel).serializer.to_json),
}


class Floor:
    """The one order of this worker."""

    def spend(self, kind: str, runs: int) -> dict[str, int]:
        """Return the CPU and wall nanoseconds of some runs."""
        return asyncio.run(_spend(*SOURCES[kind], runs))


async def _spend(
    generate: Callable[[], AsyncIterator[Any]], encode: Callable[[Any], bytes], runs: int
) -> dict[str, int]:
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    for _ in range(runs):
        async for value in generate():
            encode(value)
    return {"cpu": time.process_time_ns() - cpu, "wall": time.perf_counter_ns() - wall}


if __name__ == "__main__":
    for line in sys.stdin:
        obey(Floor(), line)
