"""Text for terminals: colours where they are wanted, and no control characters of others."""

import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

JOINER = "\u200d"
"""Joins emoji; it has no effect on a terminal."""


def clean(text: str, *, json: bool = False) -> str:
    """Return a text in which all characters are escaped that could control a terminal, or reorder what it shows.

    Args:
        text: The text.
        json: True to write escapes that JSON has.
    """
    if text.isprintable():
        return text
    escape = _json_escape if json else _escape
    return "".join(each if each.isprintable() or each == JOINER else escape(each) for each in text)


def clean_lines(text: str) -> str:
    """Return a text with its lines and tabs as they are, and all other control characters escaped."""
    return "\n".join(clean(line.replace("\t", "    ")) for line in text.split("\n"))


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))


def is_terminal() -> bool:
    """Return True if stdout is a terminal."""
    return sys.stdout.isatty()


@cache
def _rich() -> type["Console"]:
    from rich.console import Console

    return Console


def output() -> "Console":
    """Return a console for stdout: without colours in a pipe, or where NO_COLOR is set."""
    return _rich()(highlight=False, markup=False, emoji=False)


def messages() -> "Console":
    """Return a console for stderr."""
    return _rich()(stderr=True, highlight=False, markup=False, emoji=False)
