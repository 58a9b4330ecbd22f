"""Tabs of a Chromium whose network no driver listens to.

Playwright has each frame of a WebSocket reported to its driver, which costs several times what the page itself needs
for it. So the tests whose pages receive ten thousand frames use these.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.chromium import Browser
from tests.e2e.console import GIVEN_UP
from tests.waiting import wait_until

KEYS = {"Tab": (9, ""), "Enter": (13, "\r")}
"""The code of each key and the text that it enters."""

CENTRE = """(async (selector) => {
  const painted = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const found = document.querySelectorAll(selector);
  if (found.length !== 1) throw new Error(`${found.length} elements are ${selector}`);
  while (found[0].disabled) await painted();
  // Chromium ignores the mouse until it has painted a page for the first time.
  for (const _ of [1, 2]) await painted();
  found[0].scrollIntoView({ block: "center", behavior: "instant" });
  const { x, y, width, height } = found[0].getBoundingClientRect();
  if (!found[0].contains(document.elementFromPoint(x + width / 2, y + height / 2))) {
    throw new Error(`another element covers ${selector}`);
  }
  return { x: x + width / 2, y: y + height / 2 };
})"""

TEXTS = """((selector) => [...document.querySelectorAll(selector)].map(
  (each) => each.textContent.replace(/\\s+/g, " ").trim()))"""


class Tab:
    """A tab that is controlled with selectors and expressions of the page."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._target = browser.ask("Target.createTarget", url="about:blank", newWindow=True)["targetId"]
        self._session = browser.ask("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        for domain in ("Log", "Page", "Runtime"):
            self._ask(f"{domain}.enable")

    def look(self, width: int, scheme: str) -> None:
        """Give the page a width and light or dark colours, for a visitor who wants less motion: they change at once."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        media = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        self._ask("Emulation.setEmulatedMedia", features=[{"name": each, "value": media[each]} for each in media])

    def open(self, address: str) -> None:
        """Open an address; the page may still be loading then.

        Raises:
            AssertionError: There is no such page.
        """
        answer = self._ask("Page.navigate", url=address)
        assert "errorText" not in answer, answer["errorText"]

    def before(self, script: str) -> None:
        """Run a script in each page that is opened from now on, before its own scripts."""
        self._ask("Page.addScriptToEvaluateOnNewDocument", source=script)

    def evaluate(self, expression: str) -> Any:
        """Return the awaited value of an expression.

        Raises:
            AssertionError: It has thrown.
        """
        answer = self._ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true."""
        wait_until(lambda: self.evaluate(condition), lambda: f"{condition}; {self.complaints()}")

    def texts(self, selector: str) -> list[str]:
        """Return the texts of the elements."""
        texts: list[str] = self.evaluate(f"{TEXTS}({json.dumps(selector)})")
        return texts

    def wait_for_text(self, selector: str, *texts: str) -> None:
        """Wait until the elements have these texts."""
        wait_until(lambda: self.texts(selector) == [*texts], lambda: f"{self.texts(selector)}; {self.complaints()}")

    def click(self, selector: str) -> None:
        """Click on the middle of an element with the mouse, once it is not disabled.

        Raises:
            AssertionError: There is no such element, there are several, or another one covers it.
        """
        place = self.evaluate(f"{CENTRE}({json.dumps(selector)})")
        for kind in ("mousePressed", "mouseReleased"):
            self._ask("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def press(self, key: str) -> None:
        """Press a key and release it."""
        code, text = KEYS[key]
        for kind in ("keyDown", "keyUp"):
            entered = {"text": text} if text and kind == "keyDown" else {}
            self._ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **entered)

    def complaints(self) -> list[str]:
        """Return everything that the page or the browser wrote to its console, and all uncaught errors.

        See ``GIVEN_UP`` for an exception.
        """
        self.evaluate("0")  # what was reported before its answer has arrived then
        ours = [each for each in self._browser.events if each.get("sessionId") == self._session]
        kinds = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
        found = [json.dumps(each["params"]) for each in ours if each["method"] in kinds]
        return [each for each in found if GIVEN_UP not in each]

    def close(self) -> None:
        """Close the tab."""
        self._browser.ask("Target.closeTarget", targetId=self._target)

    def _ask(self, method: str, **parameters: object) -> Any:
        return self._browser.receive(self._browser.send(method, parameters, self._session))


@contextmanager
def opened(browser: Browser) -> Iterator[Tab]:
    """Open a tab until the block ends."""
    tab = Tab(browser)
    try:
        yield tab
    finally:
        tab.close()
