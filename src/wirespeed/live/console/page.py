"""The page of the console and its files, which npm builds with the package if Node.js is available then."""

import re
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ...routes import LiveRoute
from ..files import built, respond
from ..serving import check_size

STATIC = Path(__file__).parents[2] / "static" / "console"

MISSING = """\
This installation of Wirespeed has no console: npm was missing, or failed, when the package was built.

Install Node.js 20 or newer, which includes npm, and then Wirespeed again:

    pip install --force-reinstall --no-deps path/to/wirespeed

In a checkout, `make run` builds the console, too. Everything else works without it.
"""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The content security policy of the page: its own files and connections to its own server, and nothing else."""

HEADERS = {
    "cache-control": "private, no-cache",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}

_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class ConsoleRoute(LiveRoute):
    """A route of the console."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            check_size(request)
            return await handle(request)

        return handle_bounded


async def serve_page(request: Request) -> Response:
    """Answer a GET for the page, whose links to its files, data and documents are relative."""
    try:
        return respond(request, built(STATIC / "index.html"), "text/html", HEADERS)
    except OSError:
        headers = {"cache-control": "no-store"}
        return PlainTextResponse(MISSING, HTTPStatus.SERVICE_UNAVAILABLE, headers)


async def serve_file(request: Request) -> Response:
    """Answer a GET for a file of the page."""
    name = request.path_params["file"]
    media_type = _TYPES.get(Path(name).suffix)
    if media_type is None or not _NAME.fullmatch(name):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    try:
        return respond(request, built(STATIC / name), media_type, HEADERS)
    except OSError:
        raise HTTPException(HTTPStatus.NOT_FOUND) from None


async def go_to_page(request: Request) -> Response:
    """Redirect to the page. The address is relative: a proxy may have removed the beginning of the path."""
    last = request.url.path.rpartition("/")[2]
    return Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers={"location": f"{last}/"})
