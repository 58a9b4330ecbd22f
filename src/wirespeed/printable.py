"""Printable log records: text from clients cannot put escape sequences or forged lines into the log."""

import logging
import traceback
from typing import Any


def printable(text: str) -> str:
    """Return a text with all characters escaped that are not printable."""
    return text if text.isprintable() else repr(text)[1:-1]


class PrintableFilter(logging.Filter):
    """Escapes the arguments of log records, and the text of their exceptions.

    The package adds it to its logger, so that it applies to every log line.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Make a record printable, and let it pass."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(_argument, record.args))
        if record.exc_info and record.exc_text is None:
            record.exc_text = _traceback(record.exc_info[1])  # formatters use this text if it is set
        return True


_INDENT = "    "
_START = "Traceback (most recent call last):"


def _traceback(error: BaseException | None) -> str:
    """Return a traceback in printable form.

    The second line of a message and those after it are indented, so that none of them looks like a line of the log.
    """
    parts = [] if error is None else [part.removesuffix("\n") for part in traceback.format_exception(error)]
    lines: list[str] = []
    is_message = False  # notes may follow a message, one part each
    for part in parts:
        if part.startswith("\n"):  # the sentence between two exceptions
            is_message = False
            lines += part.split("\n")
        elif part.startswith(" ") or (part == _START and not is_message):
            lines += map(printable, part.split("\n"))
        else:
            first, *more = map(printable, part.split("\n"))
            lines += [f"{_INDENT}{first}" if is_message else first, *(_INDENT + line for line in more)]
            is_message = True
    return "\n".join(lines)


def _argument(value: Any) -> Any:
    if isinstance(value, BaseException):
        try:
            text = str(value)
        except Exception:  # the user's __str__
            return f"a {type(value).__name__}, whose str() fails"
        return value if text.isprintable() else printable(text)
    return printable(value) if isinstance(value, str) else value
