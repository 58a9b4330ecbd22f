"""The browser client, as one file that pages load. npm builds it with the package if Node.js is available then."""

import gzip
import logging
from functools import cache, lru_cache
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

logger = logging.getLogger("wirespeed")

BUILT = Path(__file__).parent.parent / "static" / "wirespeed.js"

MISSING = """\
This installation of Wirespeed has no browser client: npm was missing, or failed, when the package was built.

Install Node.js 20 or newer, which includes npm, and then Wirespeed again:

    pip install --force-reinstall --no-deps path/to/wirespeed

In a checkout, `make run` builds the client, too. Everything else works without it; pages can use the official
`centrifuge` package instead.
"""

_A_YEAR = 365 * 24 * 60 * 60


class Script(NamedTuple):
    """The client, ready to be sent."""

    hash: str
    plain: bytes
    zipped: bytes


@lru_cache(maxsize=1)
def _script(changed: int) -> Script:
    plain = BUILT.read_bytes()
    return Script(sha256(plain).hexdigest()[:16], plain, gzip.compress(plain, mtime=0))


@cache
def _warn_once() -> None:
    """Log what is missing: pip shows the warning of the build only with ``-v``."""
    logger.warning(
        "A page has requested the browser client, and this installation of Wirespeed has none. Install Node.js 20 or "
        "newer, and then Wirespeed again: pip install --force-reinstall --no-deps path/to/wirespeed"
    )


async def serve_script(request: Request) -> Response:
    """Answer a GET for the client.

    Browsers ask each time whether it has changed (RFC 9110, section 13), unless the page names its hash, as ``?v=``:
    then they keep it. Pages of all origins may load it; the server that they connect to decides on them.
    """
    try:
        script = _script(BUILT.stat().st_mtime_ns)
    except OSError:
        _warn_once()
        return PlainTextResponse(MISSING, HTTPStatus.SERVICE_UNAVAILABLE, {"cache-control": "no-store"})
    is_named = request.query_params.get("v") == script.hash
    headers = {
        "access-control-allow-origin": "*",
        "cache-control": f"public, max-age={_A_YEAR}, immutable" if is_named else "no-cache",
        "etag": f'"{script.hash}"',
        "vary": "accept-encoding",
    }
    if script.hash in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    body = script.plain
    if "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["content-encoding"] = script.zipped, "gzip"
    return Response(body, headers=headers, media_type="text/javascript")
