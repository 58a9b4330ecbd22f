"""Findings of ``wirespeed doctor``."""

from enum import StrEnum
from typing import Any, NamedTuple


class Level(StrEnum):
    """The weight of a finding."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing is wrong."""
    SLOW = "slow"
    WRONG = "wrong"


class Finding(NamedTuple):
    """One thing that was found."""

    level: Level
    check: str
    """Name of the check."""
    text: str
    """The finding, as a part of a sentence."""
    fix: str = ""
    """The remedy; empty if there is nothing to do."""
    data: Any = None
    """Data for other checks."""

    def plain(self) -> dict[str, str]:
        """Return the finding as JSON has it."""
        return {"check": self.check, "level": self.level.value, "text": self.text, "fix": self.fix}


def ok(check: str, text: str, data: Any = None) -> Finding:
    """Return a finding that nothing is wrong."""
    return Finding(Level.OK, check, text, "", data)


def note(check: str, text: str, fix: str = "") -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(Level.NOTE, check, text, fix)


def slow(check: str, text: str, fix: str) -> Finding:
    """Return a finding that costs speed or memory."""
    return Finding(Level.SLOW, check, text, fix)


def wrong(check: str, text: str, fix: str) -> Finding:
    """Return a finding that does not work, or is not safe."""
    return Finding(Level.WRONG, check, text, fix)
