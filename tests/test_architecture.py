"""The house: imports point strictly down, rooms on one floor do not know each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import wirespeed

HOUSE = Path(wirespeed.__file__).parent
MODULES = sorted(path.relative_to(HOUSE).as_posix() for path in HOUSE.rglob("*.py"))

FLOORS = [
    {"errors", "settings", "frames", "rate", "identity", "spelling", "weight", "isolation", "printable"},
    {"codec", "log", "lanes", "centrifuge"},
    {"definitions", "brokers", "runs"},
    {"hub", "frameworks"},
    {"surfaces", "declare", "routes"},
    {"live"},
    {"cli", "client", "metrics", "testing", "tokens"},
    {"__init__"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

WHO_KNOWS = {
    "fastapi": ("frameworks.py", "surfaces/", "declare/", "routes.py", "live/", "testing.py"),
    "starlette": ("frameworks.py", "surfaces/", "declare/", "routes.py", "live/", "testing.py", "tokens.py"),
    "uvicorn": ("lanes/uvicorn.py",),
}


def own_room(module: str) -> str:
    """The room that a file, ``lanes/asgi.py``, is in: ``lanes``."""
    return Path(module).parts[0].removesuffix(".py")


def room_of(name: str) -> str:
    """The room that a module of ours, ``wirespeed.lanes.asgi``, is in: ``lanes``."""
    return name.split(".")[1] if "." in name else "__init__"


def imports(module: str) -> Iterator[str]:
    """The full names of what a module imports, wherever in it: in functions and under TYPE_CHECKING, too."""
    package = ["wirespeed", *Path(module).parts[:-1]]
    for node in ast.walk(ast.parse((HOUSE / module).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield from (".".join(filter(None, [*base, node.module, alias.name])) for alias in node.names)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_floor(module: str) -> None:
    """Whoever adds a room says on which floor it is."""
    assert own_room(module) in FLOOR_OF


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    """A module knows the rooms on the floors below its own, and its own room."""
    room = own_room(module)
    known = {room_of(name) for name in imports(module) if name.split(".")[0] == "wirespeed"}
    assert [each for each in known - {room} if FLOOR_OF.get(each, len(FLOORS)) >= FLOOR_OF[room]] == []


@pytest.mark.parametrize("module", MODULES)
def test_frameworks_are_known_to_few(module: str) -> None:
    """FastAPI and Starlette are known to the rooms that face them, uvicorn's insides to one module."""
    known = {name.split(".")[0] for name in imports(module)}
    assert [each for each, who in WHO_KNOWS.items() if each in known and not module.startswith(who)] == []


@pytest.mark.parametrize("module", MODULES)
def test_module_fits_on_a_few_screens(module: str) -> None:
    """A module that grows beyond 500 lines has become two."""
    assert len((HOUSE / module).read_text().splitlines()) <= 500
