"""The app of :mod:`.churn` behind a middleware that has a task and a queue of its own for each response."""

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from tests.apps.churn import app


class Passing(BaseHTTPMiddleware):
    """Lets everything pass."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Lets a request pass."""
        return await call_next(request)


app.add_middleware(Passing)
