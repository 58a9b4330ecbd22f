"""Middleware that sees only HTTP and so cannot guard WebSockets."""

import logging

from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware

logger = logging.getLogger("wirespeed.guards")


def warn_of_middleware(app: FastAPI) -> None:
    """Log a warning if the app has middleware that never sees a WebSocket: a guard in it would not apply to them."""
    found = [name for each in app.user_middleware if (name := _name(each.cls, each.kwargs.get("dispatch")))]
    if found:
        logger.warning(
            "Middleware that sees only HTTP: %s. If it guards paths, it does not apply to WebSockets, neither on "
            "the paths of feeds, topics, streams and calls nor on the multiplexed connection; move the guard to "
            "dependencies=[Depends(...)].",
            ", ".join(dict.fromkeys(found)),
        )


def _name(middleware: object, dispatch: object) -> str | None:
    if not (isinstance(middleware, type) and issubclass(middleware, BaseHTTPMiddleware)):
        return None
    shown = middleware if dispatch is None else dispatch
    return f"{getattr(shown, '__module__', '?')}.{getattr(shown, '__qualname__', repr(shown))}"
