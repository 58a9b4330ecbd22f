"""The JavaScript SDK in a browser's page."""

from playwright.sync_api import Page

from .kit import Kit, Told


class PageKit(Kit):
    """A page that has loaded the driver.

    Args:
        page: The page.
        url: Where the driver's page is.
    """

    def __init__(self, page: Page, url: str) -> None:
        super().__init__()
        self._page = page
        self._early: list[Told] = []
        page.goto(url)
        page.wait_for_function("globalThis.isReady")

    def _send(self, message: Told) -> None:
        self._early += self._page.evaluate("(message) => send(message)", message)

    def _receive(self, timeout: float) -> list[Told]:
        told, self._early = self._early, []
        if not told:
            told = self._page.evaluate("(timeout) => receive(timeout)", timeout * 1000)
        return told
