"""The health of a source: watchers learn whether the values that they have are still being kept up to date."""

import json
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self

MOST_REASON = 500
"""Most characters of the reason that an app provides."""


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


class SourceRefusal(NamedTuple):
    """The refusal of a key's watchers by the feed's generator, which has raised an ``HTTPException``."""

    status: int
    detail: Any = None
    """Detail for clients."""
    close: tuple[int, str] | None = None
    """WebSocket close code and reason that the generator requested; None if it requested none."""
    headers: Mapping[str, str] = MappingProxyType({})
    """Headers of the refusal over HTTP."""
