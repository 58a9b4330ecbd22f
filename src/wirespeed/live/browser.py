"""The browser client, as one file that pages load. npm builds it with the package if Node.js is available then."""

import logging
from functools import cache
from http import HTTPStatus
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from .files import built, respond

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
        script = built(BUILT)
    except OSError:
        _warn_once()
        return PlainTextResponse(MISSING, HTTPStatus.SERVICE_UNAVAILABLE, {"cache-control": "no-store"})
    headers = {"access-control-allow-origin": "*"}
    if request.query_params.get("v") == script.hash:
        headers["cache-control"] = f"public, max-age={_A_YEAR}, immutable"
    return respond(request, script, "text/javascript", headers)
