"""Built files of the package, as browsers get them: compressed, and only if they have changed."""

import gzip
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response


class File(NamedTuple):
    """A file, ready to be sent."""

    hash: str
    plain: bytes
    zipped: bytes


@lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> File:
    plain = path.read_bytes()
    return File(sha256(plain).hexdigest()[:16], plain, gzip.compress(plain, mtime=0))


def built(path: Path) -> File:
    """Return a file as it is now.

    Raises:
        OSError: It cannot be read.
    """
    return _read(path, path.stat().st_mtime_ns)


def respond(request: Request, file: File, media_type: str, headers: Mapping[str, str]) -> Response:
    """Answer a GET for a file. Browsers ask each time whether it has changed (RFC 9110, section 13).

    Args:
        headers: The headers of the response, which may have another ``cache-control``.
    """
    headers = {"cache-control": "no-cache", "etag": f'"{file.hash}"', "vary": "accept-encoding", **headers}
    if file.hash in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    body = file.plain
    if "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["content-encoding"] = file.zipped, "gzip"
    return Response(body, headers=headers, media_type=media_type)
