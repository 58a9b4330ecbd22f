"""The browser client, as one file that pages load; npm builds it with the package, where there is npm."""

import gzip
from functools import lru_cache
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

BUILT = Path(__file__).parent.parent / "static" / "wirespeed.js"

MISSING = """\
The browser client is not part of this installation of Wirespeed, since npm was not there, or failed, when it was built.

Install Node.js 20 or newer, which brings npm, and then Wirespeed once more:

    pip install --force-reinstall --no-deps path/to/wirespeed

In a checkout `make run` builds it, too. Everything else works without it; pages can use the official `centrifuge`
package instead.
"""

_A_YEAR = 365 * 24 * 60 * 60


class Script(NamedTuple):
    """The client, ready to be sent.

    Args:
        hash: Names this very content.
        plain: As it is.
        zipped: With gzip.
    """

    hash: str
    plain: bytes
    zipped: bytes


@lru_cache(maxsize=1)
def _script(changed: int) -> Script:
    plain = BUILT.read_bytes()
    return Script(sha256(plain).hexdigest()[:16], plain, gzip.compress(plain, mtime=0))


async def serve_script(request: Request) -> Response:
    """Answers a GET for the client.

    Browsers ask whether it has changed each time (RFC 9110, section 13), unless the page names its hash, as ``?v=``:
    then they keep it. Pages of all origins may load it; it is who they connect to that decides on them.
    """
    try:
        script = _script(BUILT.stat().st_mtime_ns)
    except OSError:
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
