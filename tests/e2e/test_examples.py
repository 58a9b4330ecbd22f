"""The single-file examples in a real browser, started as their docstrings say."""

import pytest
from playwright.sync_api import Page, expect

from tests.servers import ROOT, ServerName, serve

EXAMPLES = ROOT / "examples"
COUNTED = 60_000

# Other servers and loops are seen to in test_servers.py, without a browser.
WAYS: list[ServerName] = ["uvicorn", "fastapi-dev"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("server", WAYS)
@pytest.mark.parametrize(("file", "message"), [("text_counter.py", None), ("json_counter.py", "hello - 10000")])
def test_click_counts_to_the_end_and_again(
    page: Page, complaints: list[str], server: ServerName, file: str, message: str | None
) -> None:
    """A click counts to 10000, a second click does it again, and the console stays empty."""
    with serve(EXAMPLES / file, server=server) as started:
        page.goto(started.url)
        for _ in range(2):
            page.evaluate("document.getElementById('number').textContent = ''")
            page.get_by_role("button", name="Click me").click()
            expect(page.locator("#number")).to_have_text("10000", timeout=COUNTED)
            if message:
                expect(page.locator("#message")).to_have_text(message)
        assert complaints == []
        page.goto("about:blank")
        started.stop()
        assert "Traceback" not in started.output()
