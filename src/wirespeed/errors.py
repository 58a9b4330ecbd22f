"""The errors of Wirespeed, by who is at fault.

WirespeedError
├── DeclarationError    the developer: a declaration cannot work
├── BindingError        the developer: an app has no ``Live``, or more than one
├── InvalidKey          the developer: a feed or topic does not have this key
├── InvalidValue        the developer: a value does not have the type of its topic
├── Unavailable         something that passes: a client may try again
│   ├── Stopped         the developer: the app has stopped
│   ├── BacklogFull     the app's event loop, or the broker: it is too slow for the publications
│   ├── TooManyLogs     the developer: too many keys are watched at a time
│   ├── NotLoaded       the developer, or a database: the first values of a log cannot be loaded
│   ├── BrokerDown      the broker: it cannot be reached
│   └── BrokerFull      the broker: it has no room
├── LogFull             the developer: a table has too many rows, or a text is too long
├── NoSuchRow           the developer: text was appended to a row that a table does not have
├── WatchEnded          the developer: a loop over a feed or topic has lost values; or the feed refuses or fails
├── TopicComplete       the developer: the key of the topic is complete
├── BrokerRefused       the broker: it does not take the publication, and would not later
├── Fenced              the process: another one holds the lease now
├── SourceError         the source of a feed: its generator raises it, with a reason for the watchers
├── InvalidMessage      the client: a message does not have the type that it should
├── InboxFull           the client: too many messages wait
├── RunGone             the client: it resumes a run that is over, or is not its own
├── TokensUnavailable   the key server: a token cannot be verified now
├── InvalidToken        the client: a token is forged, or is for something else
└── TokenExpired        the client: a token has expired
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


class WirespeedError(Exception):
    """The base of every error that Wirespeed raises."""

    def __post_init__(self) -> None:
        self.args = tuple(vars(self).values())  # however they were passed: pickle needs them


@dataclass(eq=False)
class DeclarationError(WirespeedError):
    """A declaration cannot work; raised by the declaration itself, before anything is served."""

    what: str
    """Definition, as a reader would find it: ``stream '/count' (count)``."""
    problem: str
    """Sentence about the problem and its solution."""

    def __str__(self) -> str:
        return f"{self.what}: {self.problem}"


class BindingError(WirespeedError):
    """The app has no ``Live``, or more than one; or it has not started."""


@dataclass(eq=False)
class InvalidKey(WirespeedError):
    """A feed or topic does not have this key: an argument is missing, unknown, or does not validate."""

    what: str
    """Feed or topic."""
    problem: str
    """Problem of the arguments."""

    def __str__(self) -> str:
        return f"{self.what}: no such key: {self.problem}"


@dataclass(eq=False)
class InvalidValue(WirespeedError):
    """A value does not have the type of its topic."""

    what: str
    """Topic."""
    detail: Mapping[str, Any]
    """First of Pydantic's errors."""

    def __str__(self) -> str:
        where = ".".join(str(part) for part in self.detail["loc"])
        place = f" at {where}" if where else ""
        return f"{self.what}: the value does not fit{place}: {self.detail['msg']}, not {self.detail['input']!r:.100}"


class Unavailable(WirespeedError):
    """The app cannot do something now. Every surface answers a client with 503, or with a temporary error."""

    cause: ClassVar[str] = "unavailable"
    """Name under which refusals are counted."""
    advice: ClassVar[str] = "Not available now."
    """Sentence for clients; the error itself is for the log."""


@dataclass(eq=False)
class RunGone(WirespeedError):
    """A run cannot be resumed."""

    why: str
    """Reason."""

    def __str__(self) -> str:
        return f"The run cannot be resumed: {self.why}."


@dataclass(eq=False)
class Stopped(Unavailable):
    """The app or its event loop has stopped, so nothing is published any more."""

    cause = "stopped"
    advice = "The app has stopped."

    what: str
    """Topic."""
    why: str = "the app has stopped"
    """Reason."""

    def __str__(self) -> str:
        return f"{self.what}: not published, because {self.why}"


@dataclass(eq=False)
class BacklogFull(Unavailable):
    """Too many publications, or actions of threads, wait for the event loop or the broker."""

    cause = "backlog full"
    advice = "Too many publications are waiting; try again."

    what: str
    """Topic, or the action."""
    waiting: int
    """Number of bytes that wait."""

    def __str__(self) -> str:
        return (
            f"{self.what}: refused, because {self.waiting} bytes are waiting already. Check that "
            "the app has started, that nothing blocks its event loop, and that its broker can be reached."
        )


@dataclass(eq=False)
class LogFull(WirespeedError):
    """A table has no room for another row, or a text cannot grow any more; the value was not published."""

    rows: int
    """Largest number of rows; 0 for a text without rows."""
    size: int
    """Number of bytes from which on no further row or text is accepted."""

    def __str__(self) -> str:
        if not self.rows:
            return f"the text cannot grow any more (at most {self.size} bytes)"
        return f"the table has no room for another row (at most {self.rows} rows and {self.size} bytes)"


@dataclass(eq=False)
class WatchEnded(WirespeedError):
    """A loop over the values of a feed or topic has ended before these have."""

    what: str
    """Definition: ``feed '/price/{symbol}' (price)``."""
    why: str
    """Reason."""
    lost: int = 0
    """Number of values lost, if that is the reason."""
    status: int = 0
    """HTTP status with which the feed's generator refuses its watchers; 500 if the loop could not be served."""

    def __str__(self) -> str:
        return f"{self.what}: a loop over its values has ended: {self.why}"


@dataclass(eq=False)
class TopicComplete(WirespeedError):
    """A key of a topic is complete; the value was not published."""

    what: str
    """Name of the key's log: the topic's path and the key."""

    def __str__(self) -> str:
        return f"{self.what}: not published, because it is complete; publish under another key"


@dataclass(eq=False)
class NoSuchRow(WirespeedError):
    """Text was appended to a row that does not exist, or was removed; nothing was published."""

    row: object
    """Key of the row."""

    def __str__(self) -> str:
        return f"the table has no row {self.row!r} to append to; publish the row first"


@dataclass(eq=False)
class TooManyLogs(Unavailable):
    """As many keys are watched as may be."""

    cause = "too many keys"
    advice = "Too many keys are watched at a time; try again."

    logs: int
    """Largest number of keys."""

    def __str__(self) -> str:
        return f"too many keys are watched at a time (at most {self.logs})"


@dataclass(eq=False)
class NotLoaded(Unavailable):
    """The first values of a topic's log could not be loaded, or are not loaded yet. The next request tries again."""

    cause = "not loaded"
    advice = "The stored values cannot be loaded; try again."

    what: str
    """Topic."""
    problem: str = "its loader failed"
    """Reason."""

    def __str__(self) -> str:
        return f"{self.what}: not loaded: {self.problem}"


@dataclass(eq=False)
class BrokerDown(Unavailable):
    """The broker cannot be reached, or the connection was lost before its reply arrived."""

    cause = "broker down"
    advice = "The broker cannot be reached; try again."

    problem: str = "the broker cannot be reached"
    """Problem of the connection."""

    def __str__(self) -> str:
        return self.problem


@dataclass(eq=False)
class BrokerFull(Unavailable):
    """The broker has no room for a publication, which was not stored."""

    cause = "broker full"
    advice = "The broker is full; try again."

    problem: str = "the broker has no room"
    """The broker's own words."""

    def __str__(self) -> str:
        return self.problem


@dataclass(eq=False)
class BrokerRefused(WirespeedError):
    """The broker does not take a publication, and would not later."""

    name: str
    """Name of the log."""
    problem: str
    """Sentence about the reason."""

    def __str__(self) -> str:
        return f"{self.name}: not published: {self.problem}"


@dataclass(eq=False)
class Fenced(WirespeedError):
    """A publication was refused, because another process holds the lease of the feed's generator now."""

    name: str
    """Name of the log."""

    def __str__(self) -> str:
        return f"{self.name}: not published, because another process runs this generator now"


@dataclass(eq=False)
class InvalidMessage(WirespeedError):
    """A client's message does not have the type that it should."""

    message: str
    """Sentence for the client."""
    detail: Any = None
    """FastAPI's list of validation errors, ``loc`` beginning with ``"body"``; or the detail of an ``HTTPException``."""
    code: int = 422
    """HTTP status code."""

    def __str__(self) -> str:
        return self.message


@dataclass(eq=False)
class InboxFull(WirespeedError):
    """More messages of a client wait to be handled than may."""

    messages: int
    """Largest number of messages that may wait."""
    size: int
    """Largest number of bytes that they may have together."""

    def __str__(self) -> str:
        return f"too many messages are waiting to be handled (at most {self.messages} messages and {self.size} bytes)"


@dataclass(eq=False)
class SourceError(WirespeedError):
    """The source of a feed fails. A feed's generator raises it, and is started again as after any other error."""

    reason: str = ""
    """Reason that the feed's watchers receive; empty for none."""

    def __post_init__(self) -> None:
        if not isinstance(self.reason, str):  # the text of another error is not for clients by accident
            raise TypeError(f"the reason of a SourceError is a text for clients, not {self.reason!r:.100}")

    def __str__(self) -> str:
        return self.reason or "the source fails"


@dataclass(eq=False)
class InvalidToken(WirespeedError):
    """A client's token is forged, or is for something else."""

    problem: str = "invalid token"
    """Problem of the token, for the log."""

    def __str__(self) -> str:
        return self.problem


class TokenExpired(WirespeedError):
    """A client's token has expired; the client is asked for a new one."""

    def __str__(self) -> str:
        return "token expired"


class TokensUnavailable(WirespeedError):
    """A client's token cannot be verified now; the client may try again."""
