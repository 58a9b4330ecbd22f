"""The errors of Wirespeed, by who is at fault.

WirespeedError
├── DeclarationError    the developer: what was declared cannot work
├── BindingError        the developer: an app and its ``Live`` do not fit together
├── InvalidMessage      the client: a message that the stream does not take
└── InboxFull           the client: more messages than may wait
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
