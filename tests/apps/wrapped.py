"""The engine's app behind middleware that wraps ``receive``, as tracing does."""

from functools import wraps

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.apps.engine import endless
from wirespeed import Live


class Wrapping:
    """Middleware that sees each message."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        @wraps(receive)  # as tracing does: it copies the name of the wrapped function
        async def wrapped() -> Message:
            return await receive()

        await self.app(scope, wrapped, send)


app = FastAPI()
live = Live(app)
live.stream("/endless")(endless)
app.add_middleware(Wrapping)
