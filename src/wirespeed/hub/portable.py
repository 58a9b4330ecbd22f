"""Logs why connections are not on the fast lane, once for each reason."""

import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("wirespeed")

_IN_PROCESS = ("starlette.testclient", "wirespeed.testing", "asyncio.", "anyio.")
"""Modules of test clients, which have no fast lane."""

_DEPTH = 5
"""Depth of wrappers around wrappers that is searched."""


class PortableReasons:
    """The reasons that were logged already."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._names: set[str] = set()

    def note(self, reason: str, level: int = logging.INFO) -> None:
        """Log a reason, once."""
        if reason and reason not in self._known:
            self._known.add(reason)
            logger.log(level, "Connections take the portable lane, which is slower: %s.", reason)

    def note_receive(self, receive: Callable[..., Any], is_server: Callable[[object], bool]) -> None:
        """Log why a ``receive`` does not belong to a connection that can take the fast lane."""
        if is_server(getattr(receive, "__self__", None)):
            self.note("something accepted the connection before Wirespeed")
            return
        name = _name(receive)
        if name in self._names:
            return
        self._names.add(name)
        if _is_wrapper(receive, is_server, _DEPTH):
            self.note(
                f"{name} wraps ASGI's receive, so each message passes through it. OpenTelemetry does without if it is "
                'instrumented with exclude_spans=["receive", "send"]',
                logging.WARNING,
            )
        elif not name.startswith(_IN_PROCESS):
            self.note(f"ASGI's receive is {name}, which is not of uvicorn's default WebSocket implementation")


def _is_wrapper(receive: object, is_server: Callable[[object], bool], depth: int) -> bool:
    """Return True if a callable refers to a method of a connection that could take the fast lane."""
    if is_server(getattr(receive, "__self__", None)):
        return True
    if depth == 0 or not callable(receive):
        return False
    return any(_is_wrapper(each, is_server, depth - 1) for each in _held(receive))


def _held(receive: object) -> list[object]:
    """Return the callables that a closure, a partial or a callable object refers to."""
    cells = getattr(receive, "__closure__", None) or ()
    held = [cell.cell_contents for cell in cells if _is_filled(cell)]
    held.extend(getattr(receive, "args", ()))
    held.append(getattr(receive, "func", None))
    owner = getattr(receive, "__self__", None)
    held.extend(vars(owner).values() if hasattr(owner, "__dict__") else ())
    return [each for each in held if callable(each)]


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - raises if it is empty
    except ValueError:
        return False
    return True


def _name(receive: Any) -> str:
    code = getattr(receive, "__code__", None)
    if code is not None:  # functools.wraps() gives a wrapper the name of what it wraps, but not its code
        return f"{receive.__globals__.get('__name__')}.{code.co_qualname}"
    owner = getattr(receive, "__self__", None)
    holder = receive if owner is None else type(owner)
    module = getattr(holder, "__module__", None) or type(receive).__module__
    return f"{module}.{getattr(receive, '__qualname__', type(receive).__qualname__)}"
