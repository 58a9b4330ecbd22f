"""The console of one app: its routes, its feeds, and the hub that serves them beside the hub of the app."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import EllipsisType
from typing import Any

from fastapi import Depends, FastAPI, params
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket

from ...declare import declare_feed, endpoint_of
from ...definitions import Definition, FeedDefinition, WatchedOptions
from ...hub import Hub
from ...hub.insight.insight import Insight
from ...settings import MIB
from ...surfaces.admitted import mark
from ...surfaces.multiplex.admission import admission_of
from ...surfaces.runs import feed_refusal
from ...surfaces.watch import serve_watcher
from ..serving import EXPLAINS, PostRoute, check_origin, refusing_when_unavailable
from .collect import Collector
from .feeds import View, feeds_of
from .options import Console, Decision, decide
from .page import ConsoleRoute, go_to_page, serve_file, serve_page

logger = logging.getLogger("wirespeed")

RECHECK = 60.0
"""Seconds after which the guards of an open page are called again."""
LINGER = 2.0
"""Seconds that a feed of the console continues after its last watcher has left: pages are loaded again."""
MOST_KEYS = 256
"""Different views that may be watched at the same time, in one process."""
MOST_BYTES = 64 * MIB
"""Bytes that the newest values of all views may have."""


class Chosen(BaseModel):
    """The client to disconnect."""

    process: str
    id: str


class ServedConsole:
    """The console of one app, whether it has one or not.

    It has a hub of its own: its feeds are not among those of the app, its watchers not among the clients, and neither
    takes room from them or appears in their figures. Only revocations concern both.

    Args:
        prefix: The path below which it is.
        apart: The definitions that no command of a multiplexed connection reaches; its feeds are added.
    """

    def __init__(self, app: FastAPI, decision: Decision, prefix: str, hub: Hub, apart: set[Definition]) -> None:
        self._decision = decision
        self._prefix = prefix
        self._apart = apart
        if (options := decision.console) is None:
            return
        self._app = app
        self._dependencies = options.dependencies
        settings = replace(hub.settings, max_keys=MOST_KEYS, max_logs_bytes=MOST_BYTES)
        self._hub = Hub(settings, takes_part=False, refusal=feed_refusal)
        self._hub.sessions.admissions = hub.sessions.admissions  # its clients are revoked with the others
        self._insight = Insight(hub)
        about = {"may_disconnect": options.disconnect, "prefix": prefix}
        self._collector = Collector(app, hub, self._insight, about)
        self._add_files(prefix)
        self._add_feeds(f"{prefix}/console")
        self._add_disconnect(f"{prefix}/console", allowed=options.disconnect)

    @property
    def is_on(self) -> bool:
        """True if the app has the console."""
        return self._decision.console is not None

    def log(self) -> None:
        """Log whether the app has the console, and why."""
        level = logging.WARNING if self._decision.is_surprising else logging.INFO
        if not self.is_on:
            logger.log(level, "The console is off: %s.", self._decision.reason)
        else:
            logger.log(level, "The console is on at %s/: %s.", self._prefix, self._decision.reason)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve the console within a block, and close its connections at the end."""
        self.log()
        if not self.is_on:
            yield
            return
        async with self._hub:
            yield

    def _add_files(self, prefix: str) -> None:
        files = {prefix: go_to_page, f"{prefix}/": serve_page, f"{prefix}/console/{{file}}": serve_file}
        for path, endpoint in files.items():
            setattr(endpoint, EXPLAINS, True)
            self._app.router.add_api_route(
                path,
                endpoint,
                methods=["GET", "HEAD"],
                dependencies=self._dependencies,
                include_in_schema=False,
                response_model=None,
                route_class_override=ConsoleRoute,
            )

    def _add_feeds(self, prefix: str) -> None:
        for feed in feeds_of(self._collector):
            self._add_feed(f"{prefix}/{feed.__name__}", feed)

    def _add_disconnect(self, prefix: str, *, allowed: bool) -> None:
        insight = self._insight

        async def disconnect(chosen: Chosen) -> None:
            """Disconnect a client, in any process."""
            if not allowed:
                raise HTTPException(403, "This console may not disconnect clients: see Console(disconnect=True).")
            if not await insight.drop(chosen.process, chosen.id):
                raise HTTPException(404, "There is no such client.")
            logger.info("The console has disconnected the client %s of the process %s.", chosen.id, chosen.process)

        setattr(disconnect, EXPLAINS, True)
        self._app.router.add_api_route(
            f"{prefix}/disconnect",
            disconnect,
            methods=["POST"],
            status_code=204,
            dependencies=[Depends(check_origin), *self._dependencies],
            include_in_schema=False,
            response_model=None,
            route_class_override=PostRoute,
        )

    def _add_feed(self, path: str, function: View) -> None:
        options = WatchedOptions(keep="latest", retain=None, after_end="restart", recheck=RECHECK)
        feed = declare_feed(path, function, options, linger=LINGER, dependencies=(), run="each")
        self._hub.bind(feed, path)
        self._apart.add(feed)
        endpoint = endpoint_of(WebSocket, feed, feed.key.parameters, self._serve)
        del endpoint.__wirespeed__  # type: ignore[attr-defined]  # by which it would be one of the app's definitions
        setattr(endpoint, EXPLAINS, True)
        guards: list[params.Depends] = [Depends(check_origin), *self._dependencies]
        self._app.router.add_api_websocket_route(path, endpoint, dependencies=guards)

    async def _serve(self, websocket: WebSocket, feed: FeedDefinition[..., Any], arguments: Mapping[str, Any]) -> None:
        if (admission := admission_of(websocket.scope)) is not None:  # the guards are called again
            await admission.capture(feed, arguments, websocket)
            return
        mark(self._hub, websocket.scope)
        with refusing_when_unavailable():
            await serve_watcher(websocket, feed, self._hub, arguments)


def add_console(
    app: FastAPI, given: Console | EllipsisType | None, prefix: str | None, hub: Hub, apart: set[Definition]
) -> ServedConsole:
    """Add the console to an app, if it is to have one; see :func:`.decide` and :class:`ServedConsole`."""
    return ServedConsole(app, decide(app, given, prefix), prefix or "", hub, apart)
