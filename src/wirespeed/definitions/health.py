"""The health of a source: watchers learn whether the values that they have are still being kept up to date."""

import json
import re
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self

from ..codec import safe_detail
from ..log.position import Position

MOST_REASON = 500
"""Most characters of the reason that an app provides."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""Names of headers."""
_TEXT = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""Values of headers: Latin-1 without control characters."""


class SourceHealth(NamedTuple):
    """The health of the source of a key's values."""

    state: Literal["live", "failing", "stale"]
    """``"live"``: values arrive as they come. ``"failing"``: the feed's generator keeps failing and is started again.
    ``"stale"``: the process has been without its broker for a while, and does not know newer values."""
    since: float
    """Unix time in seconds at which the state began."""
    reason: str = ""
    """Reason that the app has provided for its clients; empty for none."""

    @classmethod
    def ago(cls, state: Literal["live", "failing", "stale"], seconds: float = 0.0, reason: str = "") -> Self:
        """Return a state that began some seconds ago."""
        return cls(state, round(time.time() - seconds, 3), reason[:MOST_REASON])

    def as_json(self) -> str:
        """Return it as JSON in ASCII; without a reason if there is none."""
        given = self._asdict()
        return json.dumps(given if self.reason else {"state": self.state, "since": self.since}, separators=(",", ":"))

    def as_note(self, at: Position) -> bytes:
        """Return it as a note for other processes, with the position of the newest entry before it began."""
        return json.dumps([*self, *at], separators=(",", ":")).encode()

    @classmethod
    def of_note(cls, note: bytes) -> tuple[Self, Position]:
        """Return what :meth:`as_note` has written."""
        state, since, reason, epoch, offset = json.loads(note)
        return cls(state, since, reason), Position(epoch, offset)


class SourceRefusal(NamedTuple):
    """The refusal of a key's watchers by the feed's generator, which has raised an ``HTTPException``."""

    status: int
    detail: Any = None
    """Detail for clients, in the types of JSON."""
    close: tuple[int, str] | None = None
    """WebSocket close code and reason that the generator requested; None if it requested none."""
    headers: Mapping[str, str] = MappingProxyType({})
    """Headers of the refusal over HTTP."""

    @classmethod
    def plain(cls, status: int, detail: Any, close: tuple[int, str] | None, headers: Mapping[Any, Any]) -> Self:
        """Return a refusal that an app has made, as all surfaces and all processes can pass it on.

        Its detail is written in the types of JSON, and headers that HTTP cannot carry are left out.
        """
        # FastAPI's answers are of UTF-8, which has no halves of surrogate pairs.
        plain = json.loads(json.dumps(safe_detail(detail), ensure_ascii=False).encode(errors="replace"))
        # As text: Retry-After is easily written as a number.
        texts = {str(name): str(value).strip() for name, value in headers.items()}
        can_be_sent = {name: text for name, text in texts.items() if _NAME.fullmatch(name) and _TEXT.fullmatch(text)}
        return cls(status, plain, close, can_be_sent)

    def as_note(self) -> bytes:
        """Return it as a note for other processes."""
        return json.dumps(self._replace(headers=dict(self.headers)), separators=(",", ":")).encode()

    @classmethod
    def of_note(cls, note: bytes) -> Self:
        """Return what :meth:`as_note` has written."""
        status, detail, close, headers = json.loads(note)
        return cls(status, detail, None if close is None else (close[0], close[1]), headers)
