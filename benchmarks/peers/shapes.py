"""The values that every Python server of this benchmark sends, and the message that starts a run."""

from dataclasses import dataclass

from pydantic import BaseModel
from typing_extensions import TypedDict

COUNT = 10_000
ENDLESS_VALUE = "x" * 100


class Hello(BaseModel):
    message: str


class TickModel(BaseModel):
    message: str
    number: int


@dataclass
class TickDataclass:
    message: str
    number: int


class TickTypedDict(TypedDict):
    message: str
    number: int
