"""The architecture: imports point strictly down, and each thing is known to one place only.

Files are modules, ``lanes/asgi.py``; packages of ``wirespeed`` and single files beside them are rooms, ``lanes``.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import wirespeed

HOUSE = Path(wirespeed.__file__).parent
MODULES = sorted(path.relative_to(HOUSE).as_posix() for path in HOUSE.rglob("*.py"))

FLOORS = [
    {
        "errors",
        "settings",
        "frames",
        "rate",
        "identity",
        "spelling",
        "weight",
        "isolation",
        "printable",
        "raw",
        "readback",
        "tracing",
    },
    {"codec", "log", "lanes", "centrifuge", "pieces"},
    {"definitions", "brokers", "runs"},
    {"documents", "hub", "frameworks"},
    {"surfaces", "declare", "routes"},
    {"live"},
    {"asyncapi", "client", "metrics", "publisher", "testing", "tokens"},
    {"cli"},
    {"__init__", "__main__"},
]
"""The floors of the house, from the ground up. Rooms on one floor do not import each other."""

ROOMS = {
    "log": [
        {"cache", "numbering", "position"},
        {"base", "record"},
        {"latest", "ring", "table"},
        {"growing", "ordered"},
        {"kinds"},
    ],
    "brokers": [{"cluster"}, {"broker"}, {"repair"}, {"redis"}, {"url"}],
    "hub": [
        {"ages", "buckets", "clock", "loop_lag"},
        {"admissions", "clients", "deadlines", "figures", "item", "mishaps", "running", "traces", "turns"},
        {"kept", "outbox", "portable", "postbox", "processes", "rechecks", "refusals"},
        {"heartbeat", "logs", "slices", "members", "outlets", "producer", "sessions", "watcher"},
        {"replica"},
        {"output"},
        {"completions", "groups", "keys", "lanes", "live_key", "revoking", "staleness", "totals"},
        {"attendance", "producers", "shared"},
        {"directory", "loads", "tenures"},
        {"publishing"},
        {"engine"},
        {"loops"},
        {"hub"},
        {"insight"},
    ],
    "definitions": [
        {"health", "inlet", "naming", "receipt", "revocation", "statistics", "tagged", "values"},
        {"written"},
        {"key"},
        {"address", "connection", "stream"},
        {"client"},
        {"watched"},
        {"declaration", "describe", "handles"},
    ],
    "documents": [{"errors", "schemas"}, {"section"}, {"channels"}, {"asyncapi"}],
    "declare": [{"dependencies", "keeping"}, {"addresses", "signature"}, {"endpoints"}, {"messages"}, {"watched"}],
    "surfaces": [
        # What all surfaces share. Endpoints know a scope of the multiplexed connection by its admission.
        {"bodies", "origin", "reader", "refusals", "whole", "wishes"},
        {"answers"},
        {"runs"},
        {"admitted", "authenticator"},
        {"multiplex.admission"},
        {"recheck"},
        {"carry", "handling", "session", "watching", "wires"},
        {"resume", "streaming", "websocket"},
        {"calls", "http", "kept"},
        {"kept_http"},
        # The ways to watch do not know each other.
        {"events", "multiplex", "watch"},
        {"get"},
    ],
    "client": [{"changes", "errors", "options"}, {"arrivals", "bound"}, {"connection"}, {"server"}],
    "live": [
        {"files"},
        {"browser", "guards", "inventory", "openapi", "serving", "siblings", "telemetry"},
        {"identity", "upgrade", "watched"},
        {"console", "declares", "entrance", "multiplex", "security"},
        {"documented", "publish"},
        {"documents"},
        {"live"},
    ],
    "testing": [
        {"fake_clock"},
        {"waiting"},
        {"app", "mailbox"},
        {"websocket"},
        {"delivered"},
        {"subscription"},
        {"crowd", "expecting", "multiplex"},
    ],
}
"""The floors inside a room. A package inside a room is one place, unless one of its modules has a place of its own."""

WHO_KNOWS = {
    "fastapi": ("frameworks.py", "surfaces/", "declare/", "routes.py", "live/", "publisher.py", "cli/loading.py"),
    "starlette": ("frameworks.py", "surfaces/", "declare/", "routes.py", "live/", "tokens.py"),
    "uvicorn": ("lanes/uvicorn.py", "cli/serving.py"),
    "opentelemetry": ("tracing.py",),
}

BLIND = {
    "definitions": {"centrifuge"},
    "hub": {"centrifuge"},
    "brokers": {"codec", "definitions", "log.base", "log.kinds", "log.latest", "log.ring", "log.table"},
}
"""The rooms and modules that a room must not know, although they are below it: definitions and the hub know no
protocol, and brokers get records without values of Python."""

ALONE = {
    "DeclaresFeed": "the type of a decorator, for its overloads",
    "Exchange": "an object of uvicorn's",
    "UvicornWebSocket": "an object of uvicorn's",
    "_Flow": "an object of uvicorn's",
    "Member": "a subscription of a surface, as the hub sees it from below",
    "Replica": "the contract between brokers and the hub",
}
"""Protocols with fewer than two implementations in ``src``, and the reason for each."""

SHARED = {
    "Message": "the marker of a parameter, and what gap repair receives",
    "State": "the states of one machine, in its own module",
}
"""Names of several classes, and their meanings."""

LINES_OF_MODULE = 500
LINES_OF_FUNCTION = 40


@cache
def tree(module: str) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse((HOUSE / module).read_text())


def own_room(module: str) -> str:
    """Return the room of a module: ``lanes`` for ``lanes/asgi.py``."""
    return Path(module).parts[0].removesuffix(".py")


def imports(module: str) -> Iterator[tuple[str, ...]]:
    """Yield the full names of a module's imports as tuples, those in functions and under TYPE_CHECKING included."""
    package = ["wirespeed", *Path(module).parts[:-1]]
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            names = [*base, *(node.module or "").split(".")] if node.module else base
            yield from ((*names, alias.name) for alias in node.names)


def floor_of(place: str, floors: list[set[str]]) -> int | None:
    """Return the floor of a place; None if it has none."""
    return next((number for number, places in enumerate(floors) if place in places), None)


def place_of(path: tuple[str, ...], floors: list[set[str]]) -> str:
    """Return the place of a path inside a room: its own if there is one, and else that of its package."""
    own = ".".join(path[:2])
    return own if floor_of(own, floors) is not None else path[0]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_floor(module: str) -> None:
    """A new room has a floor, and so has a new module of a room with floors."""
    room, *path = Path(module).with_suffix("").parts
    assert floor_of(room, FLOORS) is not None
    if room in ROOMS and path != ["__init__"]:
        assert floor_of(place_of(tuple(path), ROOMS[room]), ROOMS[room]) is not None


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    """A module knows the rooms on the floors below its own, and its own room."""
    room = own_room(module)
    floor = floor_of(room, FLOORS)
    assert floor is not None
    known = {name[1] if len(name) > 1 else "__init__" for name in imports(module) if name[0] == "wirespeed"}
    assert [each for each in known - {room} if each not in set().union(*FLOORS[:floor])] == []


@pytest.mark.parametrize("module", [each for each in MODULES if own_room(each) in ROOMS])
def test_imports_inside_a_room_point_down(module: str) -> None:
    """Inside a room, too, a module knows the floors below its own; a package also knows its own modules."""
    room, *path = Path(module).with_suffix("").parts
    floors = ROOMS[room]
    floor = floor_of(path[0], floors)
    below = set().union(*floors[:floor]) if floor is not None else set().union(*floors)  # all for __init__.py
    known = {place_of(name[2:], floors) for name in imports(module) if name[:2] == ("wirespeed", room) and name[2:]}
    own = {each for each in known if each.split(".")[0] == path[0]} if len(path) > 1 else set()
    assert known - own - below == set()


@pytest.mark.parametrize("module", [each for each in MODULES if own_room(each) in BLIND])
def test_some_rooms_are_not_known(module: str) -> None:
    """Definitions and the hub import no protocol, and brokers no values."""
    paths = [name[1:] for name in imports(module) if name[0] == "wirespeed"]
    known = {".".join(path[:length]) for path in paths for length in (1, 2)}
    assert known & BLIND[own_room(module)] == set()


@pytest.mark.parametrize("module", MODULES)
def test_frameworks_are_known_to_few(module: str) -> None:
    """FastAPI and Starlette are known to the rooms that face them, uvicorn's insides to one module."""
    known = {name[0] for name in imports(module)}
    assert [each for each, who in WHO_KNOWS.items() if each in known and not module.startswith(who)] == []


FACING = [each for each in MODULES if {"fastapi", "starlette"} & {name[0] for name in imports(each)}]
"""The modules that know FastAPI or Starlette."""


def private_names(module: str) -> Iterator[str]:
    """Yield the private names that a module uses of objects of others."""
    nodes = list(ast.walk(tree(module)))
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    own |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "cls", "super()"):
            yield from {node.attr} - own - set(dir(tuple)) - set(dir(NamedTuple("Any", [])))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield from {node.value} - own
    yield from (part for name in imports(module) if name[0] in WHO_KNOWS for part in name)


@pytest.mark.parametrize("module", FACING)
def test_private_parts_of_frameworks_are_in_one_module(module: str) -> None:
    """Only ``frameworks`` uses private attributes, modules and scope keys of FastAPI and Starlette."""
    used = {name for name in private_names(module) if name.startswith(("_", "fastapi_")) and not name.endswith("__")}
    assert used == set() or module == "frameworks.py"


@pytest.mark.parametrize("module", MODULES)
def test_module_fits_on_a_few_screens(module: str) -> None:
    """A module that outgrows its limit has become two."""
    assert len((HOUSE / module).read_text().splitlines()) <= LINES_OF_MODULE


@pytest.mark.parametrize("module", MODULES)
def test_function_fits_on_a_screen(module: str) -> None:
    """A function has a limited number of lines, not counting its docstring, comments and empty lines."""
    lines = (HOUSE / module).read_text().splitlines()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = node.body[0] if ast.get_docstring(node) is not None else None
            told = set(range(doc.lineno, (doc.end_lineno or 0) + 1)) if doc is not None else set()
            code = [number for number in range(node.lineno, (node.end_lineno or 0) + 1) if number not in told]
            count = sum(bool(text) and not text.startswith("#") for text in (lines[each - 1].strip() for each in code))
            assert count <= LINES_OF_FUNCTION, node.name


class Class(NamedTuple):
    """One of our classes: the names of its bases, and the public names that it defines."""

    bases: list[str]
    members: set[str]


@cache
def classes() -> dict[str, list[Class]]:
    """Return our classes by their names."""
    found: dict[str, list[Class]] = {}
    for module in MODULES:
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(Class([_plain(each) for each in node.bases], _members(node)))
    return found


def _plain(base: ast.expr) -> str:
    return ast.unparse(base).partition("[")[0].rpartition(".")[2]


def _members(node: ast.ClassDef) -> set[str]:
    names = {each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    names |= {ast.unparse(each.target) for each in node.body if isinstance(each, ast.AnnAssign)}
    names |= {ast.unparse(target) for each in node.body if isinstance(each, ast.Assign) for target in each.targets}
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and ast.unparse(each.value) == "self":
            names.add(each.attr)
    return {name for name in names if not name.startswith("_") or name == "__call__"}


def all_members(found: Class) -> set[str]:
    """Return the public names of a class and of its bases, as far as they are ours."""
    inherited = [all_members(each) for base in found.bases for each in classes().get(base, []) if each is not found]
    return found.members.union(*inherited)


def test_class_names_have_one_meaning() -> None:
    """A name stands for one class of ours."""
    assert {name for name, found in classes().items() if len(found) > 1} <= set(SHARED)


PROTOCOLS = sorted(name for name, found in classes().items() if any("Protocol" in each.bases for each in found))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocol_has_implementations(name: str) -> None:
    """A Protocol stands for two classes or more; a single one can be named itself."""
    (protocol,) = [each for each in classes()[name] if "Protocol" in each.bases]
    wanted = all_members(protocol)
    others = [each for found in classes().values() for each in found if "Protocol" not in each.bases]
    assert name in ALONE or sum(wanted <= all_members(each) for each in others) >= 2
