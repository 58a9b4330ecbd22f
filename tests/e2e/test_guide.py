"""Pages of the documentation beside the demo: its sections run in them, and elsewhere there is a picture."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.servers import ROOT, Server, serve

PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>Guide</title>
<figure class="live" data-section="chart"><img alt="A chart" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">
<figcaption>A picture of the demo.</figcaption></figure>
<script>{script}</script>"""


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a page that has a figure, as the site has them."""
    folder = tmp_path_factory.mktemp("guide")
    script = (ROOT / "scripts/site/live.js").read_text()
    (folder / "index.html").write_text(PAGE.format(script=script))
    return folder


@pytest.fixture(scope="module")
def demo(guide: Path) -> Iterator[Server]:
    """The demo, which serves the folder at /guide/."""
    with serve("demo.app:app", env={"WIRESPEED_DEMO_GUIDE": str(guide)}) as server:
        yield server


def test_sections_of_the_demo_run_in_the_pages(demo: Server, page: Page, complaints: list[str]) -> None:
    """Beside the demo, the picture gives way to the section alone, with live values."""
    page.goto(f"{demo.url}/guide/")
    expect(page.locator("figure.live img")).to_have_count(0)
    chart = page.frame_locator("figure.live iframe")
    expect(chart.locator("#chart .paints")).to_have_text(re.compile("[1-9]"))
    expect(chart.locator("#race")).to_be_hidden()
    expect(page.locator("figcaption")).to_have_text("The demo, live from this server.")
    assert complaints == []


def test_pictures_stay_elsewhere(guide: Path, page: Page, complaints: list[str]) -> None:
    """On any other host, and in a file, the picture and its sentence stay, and nothing is requested."""
    page.goto((guide / "index.html").as_uri())
    expect(page.locator("figcaption")).to_have_text("A picture of the demo.")
    expect(page.locator("figure.live img")).to_have_attribute("alt", "A chart")
    assert complaints == []
