"""The floor: the same generators and the encoder alone, in a process of its own, without a socket.

`python -m benchmarks.floor` reads lines like `dict 5` (a case and a number of runs) and answers each with
the CPU and the wall time that these runs took, in nanoseconds.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from pydantic import TypeAdapter

from benchmarks.peers import ours
from benchmarks.peers.shapes import Hello, TickDataclass, TickModel, TickTypedDict

_HELLO = Hello(message="hello")

SOURCES: dict[str, tuple[Callable[[], AsyncIterator[Any]], Callable[[Any], bytes]]] = {
    "text": (lambda: ours.text("hi"), str.encode),
    "dict": (lambda: ours.as_dict(_HELLO), TypeAdapter(dict[str, Any]).serializer.to_json),
    "dataclass": (lambda: ours.as_dataclass(_HELLO), TypeAdapter(TickDataclass).serializer.to_json),
    "typeddict": (lambda: ours.as_typeddict(_HELLO), TypeAdapter(TickTypedDict).serializer.to_json),
    "model": (lambda: ours.as_model(_HELLO), TypeAdapter(TickModel).serializer.to_json),
}


async def spend(case: str, runs: int) -> tuple[int, int]:
    """The CPU and wall nanoseconds of some runs."""
    generate, encode = SOURCES[case]
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    for _ in range(runs):
        async for value in generate():
            encode(value)
    return time.process_time_ns() - cpu, time.perf_counter_ns() - wall


def main() -> None:
    for line in sys.stdin:
        case, runs = line.split()
        cpu, wall = asyncio.run(spend(case, int(runs)))
        print(cpu, wall, flush=True)


if __name__ == "__main__":
    main()
