"""What is sent: five ways to hold the same values, and how a client knows that it got the right ones."""

import json
from dataclasses import dataclass

from benchmarks.client import RawClient
from benchmarks.peers.shapes import COUNT


class WrongValueError(Exception):
    """A server sent something else than the benchmark asks of everybody."""


@dataclass(frozen=True)
class Case:
    """A kind of value. `aim` is how many times less CPU than the plain FastAPI loop we want to need."""

    name: str
    title: str
    message: str
    aim: float

    def check_run(self, client: RawClient) -> int:
        """Receive one run, frame by frame: each value, their order, their number. Returns its size in bytes."""
        client.say(self.message)
        size = 0
        for number, (payload, frame_size) in zip(range(1, COUNT + 1), client.frames(), strict=False):
            self._check(payload, number)
            size += frame_size
        client.expect_silence()
        return size

    def _check(self, payload: bytes, number: int) -> None:
        # JSON is compared as JSON: some peers write a space after the colon.
        sent: object = payload.decode() if self.name == "text" else json.loads(payload)
        hoped = str(number) if self.name == "text" else {"message": f"hello - {number}", "number": number}
        if sent != hoped:
            raise WrongValueError(f"value {number} is {sent!r} and not {hoped!r}")


_HELLO = '{"message":"hello"}'

TEXT = Case("text", "text", "hi", aim=20)
DICT = Case("dict", "JSON of a dict", _HELLO, aim=12)
DATACLASS = Case("dataclass", "JSON of a dataclass", _HELLO, aim=12)
TYPEDDICT = Case("typeddict", "JSON of a TypedDict", _HELLO, aim=12)
MODEL = Case("model", "JSON of a Pydantic model", _HELLO, aim=5)
CASES = (TEXT, DICT, DATACLASS, TYPEDDICT, MODEL)
