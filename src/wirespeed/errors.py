"""The errors of Wirespeed, by who is at fault.

WirespeedError
├── DeclarationError    the developer: what was declared cannot work
├── BindingError        the developer: an app and its ``Live`` do not fit together
├── InvalidKey          the developer: no such key of a feed or topic
├── InvalidValue        the developer: a value that a topic does not take
├── Stopped             the developer: the app is over
├── BacklogFull         nobody, or the broker: more publications than may wait
├── LogFull             the developer: more rows than the table was declared to have
├── TooManyLogs         the developer: more logs are watched at a time than a process may have
├── BrokerDown          the broker: it cannot be reached
├── Fenced              the process: another one holds the lease now
├── InvalidMessage      the client: a message that the stream does not take
├── InboxFull           the client: more messages than may wait
├── TokensUnavailable   nobody, or the key server: a token cannot be verified now
├── InvalidToken        the client: a token that is forged, or for something else
└── TokenExpired        the client: a token that was good once
"""

from collections.abc import Mapping, Sequence
from typing import Any


class WirespeedError(Exception):
    """The base of every error that Wirespeed raises."""


class DeclarationError(WirespeedError):
    """A declaration cannot work; raised where it stands, before anything is served.

    Args:
        what: The thing declared, as a reader would find it: ``stream '/count' (count)``.
        problem: What is wrong with it and what to write instead.
    """

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(what, problem)
        self.what = what
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.what}: {self.problem}"


class BindingError(WirespeedError):
    """An app and its ``Live`` do not fit together: none, or more than one."""


class InvalidKey(WirespeedError):
    """There is no such key: an argument is missing, unknown, or does not validate.

    Args:
        what: The feed or topic.
        problem: What is wrong with the arguments.
    """

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(what, problem)
        self.what = what
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.what}: no such key: {self.problem}"


class InvalidValue(WirespeedError):
    """A value does not fit the type of its topic.

    Args:
        what: The topic.
        detail: The first of Pydantic's errors.
    """

    def __init__(self, what: str, detail: Mapping[str, Any]) -> None:
        super().__init__(what, detail)
        self.what = what
        self.detail = detail

    def __str__(self) -> str:
        where = ".".join(str(part) for part in self.detail["loc"])
        place = f" at {where}" if where else ""
        return f"{self.what}: the value does not fit{place}: {self.detail['msg']}, not {self.detail['input']!r:.100}"


class Stopped(WirespeedError):
    """The app is over, or its event loop: nothing is published any more.

    Args:
        what: The topic.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what}: not published, since the app has stopped"


class BacklogFull(WirespeedError):
    """More publications wait for the event loop, or for the broker, than may.

    Args:
        what: The topic.
        waiting: How many bytes wait.
    """

    def __init__(self, what: str, waiting: int) -> None:
        super().__init__(what, waiting)
        self.what = what
        self.waiting = waiting

    def __str__(self) -> str:
        waiting = f"{self.waiting} bytes of publications wait already"
        return f"{self.what}: {waiting}; has the app started, and is its loop free?"


class LogFull(WirespeedError):
    """A table has no room for a further row; the value was not published.

    Args:
        rows: How many rows there may be.
        size: At how many bytes no further row is taken.
    """

    def __init__(self, rows: int, size: int) -> None:
        super().__init__(rows, size)
        self.rows = rows
        self.size = size

    def __str__(self) -> str:
        return f"the table has no room for a further row (at most {self.rows}, together at most {self.size} bytes)"


class TooManyLogs(WirespeedError):
    """All the logs that there may be are being watched.

    Args:
        logs: How many there may be.
    """

    def __init__(self, logs: int) -> None:
        super().__init__(logs)
        self.logs = logs

    def __str__(self) -> str:
        return f"too many logs are watched at a time (at most {self.logs})"


class BrokerDown(WirespeedError):
    """The broker cannot be reached, or the connection was lost before its reply arrived.

    Args:
        problem: What happened.
    """

    def __init__(self, problem: str = "the broker cannot be reached") -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class Fenced(WirespeedError):
    """A publication was refused, because another process holds the lease of the feed's generator now.

    Args:
        name: Name of the log.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name}: not published, since another process runs this generator now"


class InvalidMessage(WirespeedError):
    """A client's message does not fit what the stream takes.

    Args:
        message: One sentence for the client.
        detail: FastAPI's list of validation errors, ``loc`` beginning with ``"body"``; safe to send as JSON.
        code: An HTTP status code.
    """

    def __init__(self, message: str, detail: Sequence[Mapping[str, Any]] = (), code: int = 422) -> None:
        super().__init__(message, detail, code)
        self.message = message
        self.detail = detail
        self.code = code

    def __str__(self) -> str:
        return self.message


class InboxFull(WirespeedError):
    """A client sent more than may wait to be handled.

    Args:
        messages: How many messages may wait.
        size: How many bytes they may have together.
    """

    def __init__(self, messages: int, size: int) -> None:
        super().__init__(messages, size)
        self.messages = messages
        self.size = size

    def __str__(self) -> str:
        return f"too many messages wait to be handled (at most {self.messages}, together at most {self.size} bytes)"


class InvalidToken(WirespeedError):
    """A client's token is forged, or is for something else.

    Args:
        problem: What is wrong with it, for the log.
    """

    def __init__(self, problem: str = "invalid token") -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class TokenExpired(WirespeedError):
    """A client's token was good once: it is asked for a new one."""

    def __str__(self) -> str:
        return "token expired"


class TokensUnavailable(WirespeedError):
    """A client's token cannot be verified now: it may come back with it later."""
