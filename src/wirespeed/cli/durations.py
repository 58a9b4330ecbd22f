"""Durations and positions, as people write them."""

import re

from .failures import usage

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(text: str, option: str) -> float:
    """Return the seconds of a duration such as ``500ms``, ``10s``, ``5m``, ``1h`` or ``1.5``.

    Raises:
        CommandError: It is not a duration, or is zero.
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)?", text.strip())
    if match is None or not (found := float(match[1]) * SECONDS[match[2] or "s"]):
        raise usage(f"{option} {text[:40]!r} is not a duration.", "Write one such as 500ms, 10s, 5m or 1h.")
    return found
