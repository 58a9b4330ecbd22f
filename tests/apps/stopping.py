"""The app of :mod:`.churn` behind a middleware with its own task and queue for each response."""

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from tests.apps.churn import app


class Passing(BaseHTTPMiddleware):
    """Passes every request on."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Pass a request on."""
        return await call_next(request)


app.add_middleware(Passing)
