"""From what a feed or topic is declared to keep, to what its logs hold."""

import dataclasses
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter, itemgetter
from typing import Any, Literal, get_origin

from pydantic import BaseModel
from typing_extensions import is_typeddict

from ..codec import encoder, plain_type
from ..errors import DeclarationError
from ..log.keep import Keep, Last, Latest, Table
from ..settings import Settings

KeepOption = Literal["latest"] | int | timedelta
OnLag = Literal["close", "skip"]

_DEFAULTS = Settings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What was asked for, as ``live.feed`` and ``live.topic`` take it."""

    keep: KeepOption
    by: str | None
    replay: int
    on_lag: OnLag | None
    max_rate: float | None
    retain: float | None
    presence: bool = False
    join_leave: bool = False
    deltas: bool = False

    def checked(self, what: str, type_: Any) -> Keep:
        """What the logs hold.

        Args:
            what: How errors name the feed or topic.
            type_: The type of its values.

        Raises:
            DeclarationError: It does not fit together.
            pydantic.errors.PydanticUserError: Pydantic knows no way to serialise the type.
        """
        for problem in self._problems():
            raise DeclarationError(what, problem)
        common: dict[str, Any] = {
            "encode": encoder(type_).encode,
            "failed": _nobody,
            "retain": math.inf if self.retain is None else self.retain,
        }
        if self.by is not None:
            size, rows = _DEFAULTS.max_log_bytes, _DEFAULTS.max_table_rows
            return Table(row_of=_row_of(what, type_, self.by), rows=rows, size=size, **common)
        if self.keep == "latest":
            return Latest(**common)
        if isinstance(self.keep, timedelta):
            common["seconds"] = self.keep.total_seconds()
        entries = sys.maxsize if isinstance(self.keep, timedelta) else self.keep
        return Last(entries=entries, size=_DEFAULTS.max_log_bytes, **common)

    def _problems(self) -> "list[str]":
        newest_only = self.keep == "latest"
        checks = {
            "keep is 'latest', a number of entries, or a timedelta": not _is_keep(self.keep),
            "by= makes a table, which keeps the newest value of each row: leave keep= out": (
                self.by is not None and not newest_only
            ),
            "replay= is for logs with more than the newest value: write keep=100, for example": (
                newest_only and self.replay != 0
            ),
            "on_lag= is for logs with more than the newest value: who is slow skips to that": (
                newest_only and self.on_lag is not None
            ),
            "replay is a number of entries, 0 or more": not isinstance(self.replay, int) or self.replay < 0,
            "on_lag is 'close' or 'skip'": self.on_lag not in (None, "close", "skip"),
            "max_rate is at least 1 per second": self.max_rate is not None and not self.max_rate >= 1,
            "retain is a number of seconds, 0 or more, or None for as long as there is room": (
                self.retain is not None and not self.retain >= 0
            ),
        }
        return [problem for problem, is_so in checks.items() if is_so]


def _is_keep(keep: object) -> bool:
    if isinstance(keep, timedelta):
        return keep > timedelta(0)
    return keep == "latest" or (isinstance(keep, int) and not isinstance(keep, bool) and keep > 0)


def _row_of(what: str, type_: Any, by: str) -> Callable[[Any], Any]:
    plain = plain_type(type_)
    if (get_origin(plain) or plain) is dict or get_origin(plain) is Mapping:
        return itemgetter(by)
    names = _fields(plain)
    if names is None:
        raise DeclarationError(what, f"by={by!r} needs values with fields: a model, a dataclass, a TypedDict or a dict")
    if by not in names:
        raise DeclarationError(what, f"by={by!r} is no field of {plain.__name__}: it has {', '.join(sorted(names))}")
    return itemgetter(by) if is_typeddict(plain) else attrgetter(by)


def _fields(plain: Any) -> set[str] | None:
    if isinstance(plain, type) and issubclass(plain, BaseModel):
        return set(plain.model_fields)
    if dataclasses.is_dataclass(plain):
        return {field.name for field in dataclasses.fields(plain)}
    if is_typeddict(plain):
        return set(plain.__annotations__)
    return None


def _nobody(error: Exception, value: Any) -> None:
    """Replaced by the hub's own."""
