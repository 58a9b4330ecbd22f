"""Options of feeds and topics: the logs that they lead to, and combinations that are refused."""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from tests.hub.watching import watch_options
from wirespeed.declare.keeping import log_kind_of
from wirespeed.errors import DeclarationError
from wirespeed.log.record import Retention

NAN = float("nan")


class Model(BaseModel):
    symbol: str = Field(alias="s")


@dataclass
class Data:
    symbol: str


class Typed(TypedDict):
    symbol: str


class Ranked(BaseModel):
    symbol: str
    rank: int = Field(0, exclude=True)


@pytest.mark.parametrize("keep", [1, 100, timedelta(seconds=5), timedelta(days=1)])
def test_many_entries_are_kept(keep: Any) -> None:
    """A number bounds the entries, a duration their age."""
    retention = log_kind_of("x", str, watch_options(keep=keep)).retention
    assert retention.kind == "last"
    if isinstance(keep, int):
        assert (retention.entries, retention.seconds) == (keep, None)
    else:
        assert retention.entries > 1_000_000_000
        assert retention.seconds == keep.total_seconds()


def test_newest_value_is_kept() -> None:
    """``"latest"`` keeps the newest value, so that no value can be lost."""
    retention = Retention("latest", retain=300.0, keeps_end=True)
    assert log_kind_of("x", str, watch_options()).retention == retention
    restarted = log_kind_of("x", str, watch_options(after_end="restart")).retention
    assert restarted == retention._replace(keeps_end=False)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Model, Model(s="BTC")),
        (Annotated[Model, "note"], Model(s="BTC")),
        (Data, Data("BTC")),
        (Typed, {"symbol": "BTC"}),
        (dict[str, str], {"symbol": "BTC"}),
        (dict, {"symbol": "BTC"}),
    ],
)
def test_table_knows_its_rows(type_: Any, value: Any) -> None:
    """The row is the value of the ``by`` field, for each kind of type with fields."""
    kept = log_kind_of("x", type_, watch_options(by="symbol"))
    assert kept.retention.kind == "table"
    assert kept.values.row_of is not None
    assert kept.values.row_of(value) == "BTC"


@pytest.mark.parametrize(("retain", "seconds"), [(None, math.inf), (0, 0), (7.5, 7.5)])
def test_logs_are_retained(retain: float | None, seconds: float) -> None:
    """None retains a log for as long as there is room."""
    assert log_kind_of("x", str, watch_options(keep=5, retain=retain)).retention.retain == seconds


def test_values_are_encoded_by_their_type() -> None:
    """A log's payloads are the values as they are sent."""
    assert log_kind_of("x", Model, watch_options()).values.encode(Model(s="BTC")) == b'{"s":"BTC"}'
    assert log_kind_of("x", str, watch_options()).values.encode("text") == b"text"


@pytest.mark.parametrize(
    ("options", "type_", "problem"),
    [
        ({"keep": 0}, str, "keep must be 'latest', a number of entries, or a timedelta"),
        ({"keep": -1}, str, "keep must be"),
        ({"keep": True}, str, "keep must be"),
        ({"keep": 1.5}, str, "keep must be"),
        ({"keep": "newest"}, str, "keep must be"),
        ({"keep": timedelta(0)}, str, "keep must be"),
        ({"keep": 5, "by": "symbol"}, Model, "leave keep= out"),
        ({"replay": 3}, str, "write keep=100"),
        ({"keep": 5, "replay": -1}, str, "replay must be a number of entries"),
        ({"keep": 5, "replay": "all"}, str, "replay must be a number of entries"),
        ({"on_lag": "skip"}, str, "a slow watcher of this one skips"),
        ({"keep": 5, "on_lag": "wait"}, str, "on_lag must be 'close' or 'skip'"),
        ({"max_rate": 0.5}, str, "max_rate must be at least 1 per second"),
        ({"max_rate": NAN}, str, "max_rate must be"),
        ({"max_rate": "10"}, str, "max_rate must be"),
        ({"max_rate": timedelta(seconds=1)}, str, "max_rate must be"),
        ({"max_rate": 10**400}, str, "max_rate must be"),
        ({"max_rate": True}, str, "max_rate must be"),
        ({"retain": -1}, str, "retain must be a number of seconds"),
        ({"retain": timedelta(minutes=5)}, str, "retain must be"),
        ({"retain": 10**400}, str, "retain must be"),
        ({"recheck": 10**400}, str, "recheck must be"),
        ({"retain": NAN}, str, "retain must be"),
        ({"keep": 5, "history": "all"}, str, "history must be True, 'resume' or False"),
        ({"history": False}, str, "history= withholds earlier values"),
        ({"keep": 5, "replay": 1, "history": "resume"}, str, "replay= sends the earlier values"),
        ({"by": "symbol"}, str, "needs values with fields"),
        ({"by": "symbol"}, list[Model], "needs values with fields"),
        ({"by": "price"}, Model, "is not a field of Model, which has symbol"),
        ({"by": "price"}, Typed, "is not a field of Typed"),
        ({"by": "price"}, Data, "is not a field of Data"),
        ({"by": "symbol", "order_by": "-rank"}, Ranked, "order_by='rank' is excluded"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], type_: Any, problem: str) -> None:
    """The error names the definition and says what to write instead."""
    with pytest.raises(DeclarationError, match=problem) as error:
        log_kind_of("feed '/x' (x)", type_, watch_options(**options))
    assert error.value.what == "feed '/x' (x)"
