"""Sessions that outlive their endpoint.

FastAPI resolves parameters and dependencies. The fifteen frames and two exit stacks that it needs for that stay in
memory for as long as the endpoint runs. So the endpoint of a feed or topic leaves its session here and returns, and our
middleware, further out, continues it: an idle connection takes 4 KiB less, and dependencies with ``yield`` end early.
"""

from collections.abc import Callable
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from .multiplex.admission import admission_of
from .refusals import noting

try:
    from ..lanes import uvicorn
except ImportError:  # the fast lane's module may be missing; everything works without it
    uvicorn = None  # type: ignore[assignment]

_KEY = "wirespeed.carry"


class Carried(Protocol):
    """A session that can outlive its endpoint."""

    async def carried(self, receive: Receive, send: Send) -> None:
        """Continue until the connection is over, with the ``receive`` and ``send`` of the middleware."""

    def unwatch(self) -> None:
        """End the session instead: the app has failed after the endpoint left it."""


class CarryOn:
    """The middleware that continues sessions."""

    def __init__(
        self, app: ASGIApp, refused: Callable[[Scope, int], None], mark: Callable[[Scope], None] = lambda _: None
    ) -> None:
        self._app = app
        self._refused = refused
        self._mark = mark

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app, and then the session that an endpoint has left, if any."""
        # Commands of a multiplexed connection are answered, and counted, by that.
        if scope["type"] != "websocket" or admission_of(scope) is not None:
            await self._app(scope, receive, send)
            return
        if uvicorn is not None:
            uvicorn.hold(receive)
        left: list[Carried] = []
        before = dict(scope)
        scope[_KEY] = (left, receive)
        self._mark(scope)
        try:
            await self._app(scope, receive, noting(scope, send, self._refused))
        except BaseException:
            for each in left:
                each.unwatch()
            raise
        if left:
            # Whatever routing and FastAPI have put into the scope would stay for as long as the connection.
            scope.clear()
            scope.update(before)
            del before
            await left.pop().carried(receive, send)


def carry_on(session: Carried, scope: Scope, receive: Receive) -> bool:
    """Leave a session to the middleware; return True if that worked.

    It works if the middleware has the same ``receive``: then no other middleware in between has to see messages.
    """
    left, outer = scope.get(_KEY, (None, None))
    if left is None or outer != receive:
        return False
    left.append(session)
    return True
