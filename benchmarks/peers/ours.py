"""Wirespeed, as its users write it."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import FastAPI

from benchmarks.peers.shapes import COUNT, ENDLESS_VALUE, Hello, TickDataclass, TickModel, TickTypedDict
from wirespeed import Live, Message

app = FastAPI()
live = Live(app)


@live.stream("/text")
async def text(message: Annotated[str, Message()]) -> AsyncIterator[str]:
    for number in range(1, COUNT + 1):
        yield str(number)


@live.stream("/dict")
async def as_dict(hello: Hello) -> AsyncIterator[dict[str, Any]]:
    for number in range(1, COUNT + 1):
        yield {"message": f"{hello.message} - {number}", "number": number}


@live.stream("/dataclass")
async def as_dataclass(hello: Hello) -> AsyncIterator[TickDataclass]:
    for number in range(1, COUNT + 1):
        yield TickDataclass(message=f"{hello.message} - {number}", number=number)


@live.stream("/typeddict")
async def as_typeddict(hello: Hello) -> AsyncIterator[TickTypedDict]:
    for number in range(1, COUNT + 1):
        yield {"message": f"{hello.message} - {number}", "number": number}


@live.stream("/model")
async def as_model(hello: Hello) -> AsyncIterator[TickModel]:
    for number in range(1, COUNT + 1):
        yield TickModel(message=f"{hello.message} - {number}", number=number)


@live.stream("/endless")
async def endless(message: Annotated[str, Message()]) -> AsyncIterator[str]:
    while True:
        yield ENDLESS_VALUE
