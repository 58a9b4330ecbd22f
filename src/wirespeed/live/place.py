"""The routes of a feed or topic."""

from collections.abc import Callable, Sequence
from inspect import Parameter
from typing import Any

from fastapi import APIRouter, Depends, params
from starlette.routing import BaseRoute

from ..declare import Surfaces, declare_handler, endpoints, key_of
from ..definitions import Topic, Watched
from ..surfaces.get import documented
from .serving import CountedRoute, check_origin, get_watched, serve_watched


class Place:
    """Where a feed or topic is served: its routes, which are made anew when more becomes known of it.

    Args:
        routes: Where routes are added.
        watched: The feed or topic.
        guards: What guards each watcher.
        name: The name of the routes.
        http: Whether it can be had by GET.
    """

    def __init__(
        self,
        routes: APIRouter,
        watched: Watched[Any, Any],
        guards: Sequence[params.Depends],
        *,
        name: str | None,
        http: bool,
    ) -> None:
        self._routes = routes
        self._watched = watched
        self._guards = list(guards)
        self._name = name
        self._http = http
        self._function: Callable[..., Any] | None = None
        self._more: list[Parameter] = []
        self._added: list[BaseRoute] = []

    def declare(self, function: Callable[..., Any] | None) -> None:
        """Adds the routes, or makes them anew.

        Args:
            function: What the user wrote; None for a topic that was only assigned yet.
        """
        self._function = function
        routes = self._routes.routes
        place = routes.index(self._added[0]) if self._added else len(routes)
        for route in self._added:
            routes.remove(route)
        self._added.clear()
        if not self._watched.is_open():
            self._add()
        # Where they were, since the first route that matches is the one that serves.
        routes[len(routes) - len(self._added) :] = []
        routes[place:place] = self._added

    def _add(self) -> None:
        surfaces = Surfaces(serve_watched, get_watched if self._http else None)
        made = endpoints(self._watched, self._function, self._more, surfaces)
        name = self._name or (None if self._function is None else made.endpoint.__name__)
        guards = [Depends(check_origin), *self._guards]
        self._routes.add_api_websocket_route(self._watched.path, made.endpoint, name=name, dependencies=guards)
        self._added.append(self._routes.routes[-1])
        if made.get is not None:
            self._routes.add_api_route(
                self._watched.path,
                made.get,
                methods=["GET"],
                name=name,
                dependencies=self._guards,
                route_class_override=CountedRoute,
                **documented(self._watched),
            )
            self._added.append(self._routes.routes[-1])
            self._routes.add_api_route(  # a route of its own, which OpenAPI does not show
                self._watched.path,
                made.get,
                methods=["HEAD"],
                name=name,
                dependencies=self._guards,
                route_class_override=CountedRoute,
                include_in_schema=False,
                response_model=None,
            )
            self._added.append(self._routes.routes[-1])

    def take_key(self, function: Callable[..., Any]) -> None:
        """A function says what the key of the topic is."""
        self._watched.what, self._watched.key = key_of(self._watched, function)
        self._name = self._name or getattr(function, "__name__", None)
        self.declare(function)

    def take_handler(self, topic: Topic[..., Any], function: Callable[..., Any]) -> None:
        """A function takes the messages of watchers."""
        topic.handler, self._more = declare_handler(topic, function)
        self.declare(self._function)
