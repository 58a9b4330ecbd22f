"""Settings: the defaults are safe, and impossible limits are refused."""

import dataclasses
import math
from typing import Any

import pytest

from wirespeed import Settings

LIMITS = [field.name for field in dataclasses.fields(Settings) if field.type in (int, float)]


def test_defaults_are_valid() -> None:
    """No setting is required, and compression is off by default."""
    settings = Settings()
    assert settings.compression is False
    assert settings.lane == "auto"


def test_largest_message_may_wait() -> None:
    """With the defaults, the inbox has room for the largest message."""
    assert Settings().max_inbox_bytes >= Settings().max_message_bytes


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("value", [0, -1])
def test_limit_is_above_zero(limit: str, value: int) -> None:
    """A limit of zero or less is refused by its name."""
    arguments: dict[str, Any] = {limit: value}
    with pytest.raises(ValueError, match=rf"Settings\.{limit} must be above zero, not {value}"):
        Settings(**arguments)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("value", ["10", math.nan, None, True])
def test_limit_is_a_number(limit: str, value: Any) -> None:
    """A limit that is not a number is refused by its name."""
    arguments: dict[str, Any] = {limit: value}
    with pytest.raises(ValueError, match=rf"Settings\.{limit} must be an? (int|number), not"):
        Settings(**arguments)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("value", [2**63, 10**400])
def test_limit_fits_into_a_machine_word(limit: str, value: int) -> None:
    """A limit too large for the timers and counters that use it is refused by its name."""
    arguments: dict[str, Any] = {limit: value}
    with pytest.raises(ValueError, match=rf"Settings\.{limit} must be at most \d+"):
        Settings(**arguments)


@pytest.mark.parametrize("value", [0.5, math.inf])
def test_bytes_are_whole(value: Any) -> None:
    """Bytes and counts are whole numbers; seconds need not be."""
    for limit in ("max_waiting_bytes", "max_keys"):
        with pytest.raises(ValueError, match=rf"Settings\.{limit} must be an int, not {value}"):
            Settings(**{limit: value})
    assert Settings(stall_timeout=value).stall_timeout == value


def test_unknown_lane_is_refused() -> None:
    """The error names the valid lanes."""
    with pytest.raises(ValueError, match="'auto' or 'portable', not 'fast'"):
        Settings(lane="fast")  # type: ignore[arg-type]


def test_settings_do_not_change() -> None:
    """One object can be shared by many apps."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().max_threads = 2  # type: ignore[misc]
