"""The documentation site: it is built without warnings, its links lead somewhere, and it needs no other host."""

import fcntl
import os
import posixpath
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import wirespeed
from tests.servers import ROOT
from wirespeed import testing

LOADS = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src"}
"""Attributes by which a browser loads something with the page."""

ONLY_LINKS = ("canonical", "next", "prev")
"""Relations of ``link`` that load nothing."""


class PageReader(HTMLParser):
    """The links, anchors and resources of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors: set[str] = {""}
        self.sections: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        if tag in LOADS and LOADS[tag] in given and given.get("rel") not in ONLY_LINKS:
            self.loaded.add(given[LOADS[tag]])
        if "data-section" in given:
            self.sections.add(given["data-section"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return the folder of the built site, which all workers of a test run share."""
    base = tmp_path_factory.getbasetemp()
    target = (base if worker_id == "master" else base.parent) / "documentation"
    with (target.with_suffix(".lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "index.html").is_file():
            build(target)
    return target


def build(target: Path) -> None:
    """Build the site; a warning is an error."""
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(target)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr


@cache
def read(page: Path) -> PageReader:
    """Return the content of a page."""
    return PageReader(page)


def pages(site: Path) -> list[Path]:
    """Return the pages; the one for unknown addresses has links from the root of its host."""
    return [page for page in site.rglob("*.html") if page.name != "404.html"]


def broken(site: Path, page: Path, link: str) -> bool:
    """Return True if a link of a page leads nowhere on the site."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return False
    place = posixpath.join(page.parent.relative_to(site).as_posix(), unquote(parts.path))
    target = page if not parts.path else site / posixpath.normpath(place)
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return True
    return target.suffix == ".html" and unquote(parts.fragment) not in read(target).anchors


def test_links_lead_somewhere(site: Path) -> None:
    """Every link to a page, an anchor or a file of the site has its target."""
    links = [(page, link) for page in pages(site) for link in read(page).links | read(page).loaded]
    assert len(links) > 1000
    assert [f"{page.relative_to(site)}: {link}" for page, link in links if broken(site, page, link)] == []


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """Pages and style sheets load everything, fonts included, from the site itself."""
    loaded = {each for page in site.rglob("*.html") for each in read(page).loaded}
    urls = {
        url
        for sheet in site.rglob("*.css")
        for url in re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", sheet.read_text())
    }
    assert {each for each in loaded | urls if re.match(r"(https?:)?//", each)} == set()


def test_every_page_is_in_the_navigation(site: Path) -> None:
    """The navigation of the first page has all pages of docs/, in the order of the index, and the API reference."""
    links = read(site / "index.html").links
    stems = [path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert [each for each in stems if each != "README" and f"{each}/" not in links] == []
    assert {"api/wirespeed/", "api/wirespeed.testing/"} <= links


def test_api_reference_has_every_public_name(site: Path) -> None:
    """Each public name has an entry with its documentation."""
    for module in (wirespeed, testing):
        anchors = read(site / "api" / module.__name__ / "index.html").anchors
        assert [name for name in module.__all__ if f"{module.__name__}.{name}" not in anchors] == []
    text = (site / "api" / "wirespeed" / "index.html").read_text()
    assert "Make a stream of a generator, which runs for one client" in text
    assert re.search(r":(class|meth|func|attr|data):`", text) is None, "roles are shown as code"


def test_files_of_the_repository_are_shown(site: Path) -> None:
    """A link out of docs/ leads to a copy of the file."""
    dashboard = site / "how-to/build-a-dashboard/index.html"
    assert "../../source/examples/dashboard.py/" in read(dashboard).links
    assert "FastAPI" in (site / "source/examples/dashboard.py/index.html").read_text()


def test_search_knows_the_pages(site: Path) -> None:
    """The index of the search has the words of the pages."""
    assert "one log, many cursors" in (site / "search/search_index.json").read_text().lower()


def test_demo_is_embedded(site: Path) -> None:
    """Pictures of the demo's sections name the section that a script shows instead, beside the demo."""
    script = (site / "assets/live.js").read_text()
    assert "/?only=" in script
    assert {section for page in pages(site) for section in read(page).sections} == {"chart", "freeze", "race"}
