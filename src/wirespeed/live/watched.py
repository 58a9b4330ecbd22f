"""The routes of a feed or topic."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter
from typing import Any

from fastapi import APIRouter, Depends, params
from starlette.routing import BaseRoute

from ..declare import declare_handler, declare_key, declare_loader, endpoints
from ..definitions import Placed, Watched, describe, words_of
from .openapi import documented, note
from .serving import CountedRoute, check_origin, get_watched, serve_watched


@dataclass(eq=False)
class WatchedRoutes:
    """The routes of a feed or topic in a router.

    A topic is declared in up to three steps. Each step replaces the routes of the previous one.
    """

    _router: APIRouter
    _watched: Watched[Any, Any]
    _guards: Sequence[params.Depends]
    _name: str | None
    _http: bool
    """True if GET is offered."""
    _documentation: Mapping[str, Any]
    _more: list[Parameter] = field(default_factory=list)
    _added: list[BaseRoute] = field(default_factory=list)

    def declare(self) -> None:
        """Add the routes, in place of those of a previous step."""
        routes = self._router.routes
        place = routes.index(self._added[0]) if self._added else len(routes)
        for route in self._added:
            routes.remove(route)
        count = len(routes)
        if not self._watched.is_open():
            self._add()
        self._added = routes[count:]
        # At their old place, because the first route that matches is the one that serves.
        routes[count:] = []
        routes[place:place] = self._added

    def _add(self) -> None:
        watched = self._watched
        made = endpoints(watched, self._more, serve_watched, get_watched if self._http else None)
        name = self._name or (words_of(watched.path) if watched.function is None else made.endpoint.__name__)
        guards = [Depends(check_origin), *self._guards]
        self._router.add_api_websocket_route(watched.path, made.endpoint, name=name, dependencies=guards)
        note(made.endpoint, self._router, self._documentation)
        if made.http is not None:
            # HEAD has a route of its own, which OpenAPI does not show.
            (described,) = describe([Placed(watched.path, watched, http=True)])
            is_answered = {"get", "sse"} & set(described.surfaces)  # bytes that are withheld have neither
            in_openapi = documented(described, options=self._documentation) if is_answered else _NOT_IN_OPENAPI
            for method, options in {"GET": in_openapi, "HEAD": _NOT_IN_OPENAPI}.items():
                self._router.add_api_route(
                    watched.path,
                    made.http,
                    methods=[method],
                    name=name,
                    dependencies=self._guards,
                    route_class_override=CountedRoute,
                    **options,
                )

    def take_key(self, function: Callable[..., Any]) -> None:
        """Give the topic the key that the parameters of a function declare."""
        declare_key(self._watched, function)
        self._name = self._name or getattr(function, "__name__", None)
        self.declare()

    def take_handler(self, function: Callable[..., Any]) -> None:
        """Give the topic the handler of its watchers' messages."""
        self._watched.handler, self._more = declare_handler(self._watched, function)
        self.declare()

    def take_loader(self, function: Callable[..., Any]) -> None:
        """Give the topic the loader of its first values."""
        self._watched.loader = declare_loader(self._watched, function)


_NOT_IN_OPENAPI: dict[str, Any] = {"include_in_schema": False, "response_model": None}
