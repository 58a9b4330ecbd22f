"""The AsyncAPI document of an app, and its route."""

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from fastapi import FastAPI, params
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ..documents import About, asyncapi, located
from ..frameworks import routes_version
from .documented import documented_app
from .files import File, respond
from .serving import EXPLAINS, required_serving

_HOST = re.compile(r"[\w.:\[\]-]{1,255}", re.ASCII)
_ADDRESSES = 8
"""Number of addresses for which the document is kept, ready to be sent. Clients choose the Host that they send."""


class _Address(NamedTuple):
    """The address of a server, as its clients see it."""

    host: str
    secure: bool
    pathname: str
    """Path below which the app is served; empty for the root."""


@dataclass
class _Made:
    """The document of an app, until its routes change."""

    version: object
    about: About
    document: Mapping[str, Any]
    """The document without what depends on the address."""
    ready: dict[_Address, File] = field(default_factory=dict)


class Documents:
    """The documents of one app, which are made when they are first needed, and again when its routes change."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._lock = Lock()
        self._made: _Made | None = None

    def at(self, address: _Address) -> dict[str, Any]:
        """Return the document of an app at one address; it belongs to the cache."""
        with self._lock:
            made = self._current()
            return located(made.document, made.about, **address._asdict())

    def known(self, address: _Address) -> File | None:
        """Return what clients of one address receive; None if it is not made yet."""
        made = self._made
        return None if made is None or made.version != routes_version(self._app) else made.ready.get(address)

    def ready(self, address: _Address) -> File:
        """Return what clients of one address receive. It may take a while, and may be called in any thread."""
        document = self.at(address)
        plain = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        found = File(sha256(plain).hexdigest()[:16], plain, gzip.compress(plain, 6, mtime=0))
        with self._lock:
            ready = self._current().ready
            while len(ready) >= _ADDRESSES:
                del ready[next(iter(ready))]
            ready[address] = found
        return found

    def _current(self) -> _Made:
        version = routes_version(self._app)
        if self._made is None or self._made.version != version:
            about, definitions = documented_app(self._app)
            self._made = _Made(version, about, asyncapi(about, definitions))
        return self._made


def document(app: FastAPI, *, server: str = "http://localhost:8000") -> dict[str, Any]:
    """Return the AsyncAPI 3 document about the streams, calls, feeds and topics of an app.

    Args:
        app: The app, which has a ``Live``.
        server: The address of the server, for the document's ``servers``. A path in it takes the place of the app's
            ``root_path``.

    Raises:
        BindingError: The app has no ``Live``.
        ValueError: ``server`` is not an address.
    """
    required_serving(app)
    parts = urlsplit(server)
    if not parts.netloc or parts.scheme not in ("http", "https", "ws", "wss"):
        raise ValueError(f"server must be an address such as 'https://example.com', not {server!r}")
    documents: Documents = app.state.wirespeed_documents
    pathname = (parts.path.rstrip("/") or app.root_path).rstrip("/")
    return deepcopy(documents.at(_Address(parts.netloc, parts.scheme in ("https", "wss"), pathname)))


def add_document(app: FastAPI, prefix: str | None, dependencies: Sequence[params.Depends]) -> None:
    """Give an app its document, with a route below a prefix. It answers 404 if the app has no ``openapi_url``.

    Args:
        prefix: The path of the multiplexed connection; None for a document without a route.
        dependencies: The dependencies that guard the route.
    """
    app.state.wirespeed_documents = Documents(app)
    if prefix is not None:
        route = APIRoute(
            f"{prefix}/asyncapi.json",
            _serve,
            methods=["GET", "HEAD"],
            dependencies=dependencies,
            include_in_schema=False,
            response_model=None,
            dependency_overrides_provider=app,
        )
        app.router.routes.append(route)


async def _serve(request: Request) -> Response:
    """Answer a GET. Pages of all origins may read the document, if they may make the request."""
    app: FastAPI = request.app
    if not app.openapi_url:  # as FastAPI decides about its own
        return Response(status_code=HTTPStatus.NOT_FOUND)
    documents: Documents = app.state.wirespeed_documents
    address = _address_of(request)
    # In a thread, because an app may have many definitions, and its event loop has values to write.
    if (ready := documents.known(address)) is None:
        ready = await run_in_threadpool(documents.ready, address)
    headers = {"access-control-allow-origin": "*", "vary": "accept-encoding, host"}
    return respond(request, ready, "application/json", headers)


setattr(_serve, EXPLAINS, True)


def _address_of(request: Request) -> _Address:
    host = request.headers.get("host", "")
    pathname: str = request.scope.get("root_path", "")
    # A client may send any Host; the document must be valid all the same.
    known = host if _HOST.fullmatch(host) else "localhost"
    return _Address(known, request.scope.get("scheme") in ("https", "wss"), pathname.rstrip("/"))
