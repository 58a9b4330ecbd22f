"""The public face: public classes show what the reference documents, and nothing else."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi import APIRouter

import wirespeed

REFERENCE = (Path(__file__).parents[1] / "docs" / "reference.md").read_text()

BASES = (Exception, tuple, list, APIRouter)
"""Classes of others, whose members are documented by them."""

ELSEWHERE = {"Topic": ["Topic", "Feed"], "Client": ["Client", "Connection"], "Sender": ["current_sender"]}
"""Headings of the sections about a class, if they are not its name alone."""

CLASSES = [
    each
    for name in wirespeed.__all__
    if inspect.isclass(each := getattr(wirespeed, name)) and each is not wirespeed.Message  # FastAPI's own Body
]


def members(public: type) -> set[str]:
    """Return the names that a class shows, without those of the classes of others that it is based on."""
    theirs = {name for base in BASES if issubclass(public, base) for name in dir(base)}
    return {name for name in dir(public) if not name.startswith("_")} - theirs


def section(name: str) -> str:
    """Return the sections whose headings begin with a name, such as ``Live`` and ``Live.stream``."""
    found = re.findall(rf"^#+ {name}\b.*?(?=^#+ |\Z)", REFERENCE, re.MULTILINE | re.DOTALL)
    return "\n".join(found)


def documented(public: type) -> set[str]:
    """Return the names in code, in the sections about a class."""
    text = "\n".join(map(section, ELSEWHERE.get(public.__name__, [public.__name__]))).replace("```", "`")
    return set(re.findall(r"\w+", " ".join(re.findall(r"^#+ .*|`[^`]+`", text, re.MULTILINE))))


def test_names_are_imported_from_where_type_checkers_read_them() -> None:
    """Each public name is imported when it is first used, from the module that type checkers see."""
    (block,) = [each for each in ast.parse(inspect.getsource(wirespeed)).body if isinstance(each, ast.If)][:1]
    typed = {node.module: {each.name for each in node.names} for node in block.body if isinstance(node, ast.ImportFrom)}
    assert {place: set(names.split()) for place, names in wirespeed._PLACES.items()} == typed
    assert set().union(*typed.values()) == set(wirespeed.__all__) <= set(dir(wirespeed))
    with pytest.raises(AttributeError, match="module 'wirespeed' has no attribute 'nothing'"):
        wirespeed.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_the_client_starts_without_the_server_side() -> None:
    """A script that only watches imports neither FastAPI nor the hub."""
    heavy = ("fastapi", "starlette", "uvicorn", "wirespeed.hub")
    code = f"import sys, wirespeed.client; print([each for each in {heavy!r} if each in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


@pytest.mark.parametrize("public", CLASSES, ids=lambda each: each.__name__)
def test_public_members_are_documented(public: type) -> None:
    """A public name without documentation is an internal one, and gets an underscore or moves away."""
    names = members(public)
    if issubclass(public, wirespeed.WirespeedError):
        assert public.__name__ in section("Errors")
    elif public is not wirespeed.LiveRouter:  # it has those of Live
        assert names - documented(public) == set()
    assert wirespeed.LiveRouter is not public or names == {"stream", "call", "feed", "topic"}


@pytest.mark.parametrize("public", CLASSES, ids=lambda each: each.__name__)
def test_documented_members_exist(public: type) -> None:
    """Each row of a table of members, or of fields, names one that the class has."""
    tables = re.findall(
        r"^\| (?:`\w+` member|Method|Field).*\n\|[-| ]+\n((?:\|.*\n)+)", section(public.__name__), re.MULTILINE
    )
    cells = [row.split(" | ")[0] for table in tables for row in table.splitlines()]
    names = {name for cell in cells for name in re.findall(r"`(?:async |await )?(\w+)", cell)}
    assert names - set(dir(public)) - {public.__name__.lower()} == set()
