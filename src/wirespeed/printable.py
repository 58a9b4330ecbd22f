"""Log records whose text is printable, whatever clients have put into it: no escape sequences, no forged lines."""

import logging
from typing import Any


def printable(text: str) -> str:
    """Return a text in which everything that is not printable is escaped."""
    return text if text.isprintable() else repr(text)[1:-1]


class PrintableFilter(logging.Filter):
    """Escapes the arguments of log records, and the text of their exceptions.

    The package adds it to its logger, so that no place that logs can forget it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, in printable form."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(_argument, record.args))
        if record.exc_info and record.exc_text is None:
            # Formatters use this text if it is there. Only the line ends of the traceback itself are left as they are.
            text = _FORMATTER.formatException(record.exc_info)
            record.exc_text = "\n".join(map(printable, text.split("\n")))
        return True


_FORMATTER = logging.Formatter()


def _argument(value: Any) -> Any:
    if isinstance(value, BaseException):
        text = str(value)
        return value if text.isprintable() else printable(text)
    return printable(value) if isinstance(value, str) else value
