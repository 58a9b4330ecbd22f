"""Carrying a connection on when FastAPI is done with it.

FastAPI resolves parameters and dependencies; what it needed for that, some fifteen frames and two exit stacks, would
stay in memory as long as the endpoint does. So the endpoint of a feed or topic leaves its session here and returns,
and the middleware, further out, goes on with it: an idle connection takes 4 KiB less, and dependencies with
``yield`` end early.
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
    """What can be carried on."""

    async def carried(self, receive: Receive, send: Send) -> None:
        """Goes on until the connection is over, with the ``receive`` and ``send`` of the middleware."""

    def unwatch(self) -> None:
        """Does not go on: the app has failed after it was left."""


class CarryOn:
    """The middleware.

    Args:
        app: What it is around.
        refused: Called with the scope and the status of each answer that refuses a handshake.
    """

    def __init__(self, app: ASGIApp, refused: Callable[[Scope, int], None]) -> None:
        self._app = app
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app, and after it what it has left to be carried on."""
        # Commands of a multiplexed connection are answered, and counted, by that.
        if scope["type"] != "websocket" or admission_of(scope) is not None:
            await self._app(scope, receive, send)
            return
        if uvicorn is not None:
            uvicorn.hold(receive)
        left: list[Carried] = []
        before = dict(scope)
        scope[_KEY] = (left, receive)
        try:
            await self._app(scope, receive, noting(scope, send, self._refused))
        except BaseException:
            for each in left:
                each.unwatch()
            raise
        if left:
            # What routing and FastAPI have put into the scope would stay as long as the connection.
            scope.clear()
            scope.update(before)
            del before
            await left.pop().carried(receive, send)


def carry_on(session: Carried, scope: Scope, receive: Receive) -> bool:
    """Leaves a session to the middleware, if that has the same ``receive``: nobody in between wants to see messages.

    Args:
        session: What is to go on.
        scope: The connection's scope.
        receive: The connection's ``receive``, as the endpoint got it.
    """
    left, outer = scope.get(_KEY, (None, None))
    if left is None or outer != receive:
        return False
    left.append(session)
    return True
