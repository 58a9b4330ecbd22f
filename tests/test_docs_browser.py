"""The documentation of the browser client: its names are those of the source. ``tests/e2e`` runs its pages."""

import re

import pytest

from wirespeed import Settings
from wirespeed.live.browser import MISSING
from wirespeed.surfaces.multiplex.window import FIRST_ROUND_TRIP, SLACK

from .test_docs import ROOT, read

SOURCES = ROOT / "web" / "src"
MEMBER = re.compile(r"^  (?:get |readonly |async )*(\w+)\??(?:<\w+>)?[(:]", re.MULTILINE)
HOOK = re.compile(r"^export function (\w+)", re.MULTILINE)


def section() -> str:
    """Return the reference's section on the browser."""
    return read("docs/reference.md").partition("## In the browser\n")[2].partition("\n## ")[0]


def source(module: str) -> str:
    """Return a module of the client."""
    return (SOURCES / f"{module}.ts").read_text()


def public(module: str) -> set[str]:
    """Return the public members of a module's classes and interfaces."""
    names = "|".join(re.findall(r"\b[A-Z]\w+", source("index")))
    found = re.findall(rf"^export (?:class|interface) (?:{names})\b.*?^}}", source(module), re.MULTILINE | re.DOTALL)
    return set(MEMBER.findall("".join(found))) - {"constructor"}


@pytest.mark.parametrize("module", ["live", "feed", "table", "stream", "status", "readable"])
def test_members_in_the_reference(module: str) -> None:
    """The reference has all public members and options."""
    members = public(module)
    assert members
    assert {name for name in members if not re.search(rf"\b{name}\b", section())} == set()


def test_hooks_in_the_reference() -> None:
    """The reference has exactly the existing hooks."""
    assert set(HOOK.findall(source("react"))) == set(re.findall(r"^\| `(use\w+)\(", section(), re.MULTILINE))


def test_states_in_the_reference() -> None:
    """The reference has the states of a connection."""
    (states,) = re.findall(r"^export type State = (.*);$", source("status"), re.MULTILINE)
    assert re.findall(r'`("\w+")`:', section()) == states.split(" | ")


def test_figures() -> None:
    """Times and limits are those of the source."""
    (interval,) = re.findall(r"INTERVAL = (\d+);", source("acknowledgements"))
    assert f"{1000 // int(interval)} per second" in section()
    assert f"{(FIRST_ROUND_TRIP + SLACK) * 1000:,.0f} ms" in section()
    assert f"and {SLACK * 1000:.0f} ms" in read("docs/topics/browsers.md")
    assert f"Settings(max_subscriptions={Settings().max_subscriptions})" in section()


def test_what_is_missing() -> None:
    """The answer for a missing file is the one in the guide."""
    (shown,) = re.findall(
        r"^\$ curl http.*wirespeed\.js\n(.*?)^```$", read("docs/how-to/write-plain-html.md"), re.MULTILINE | re.DOTALL
    )
    assert shown in MISSING
