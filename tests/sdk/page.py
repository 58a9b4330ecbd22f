"""The JavaScript SDK in a browser's page."""

from benchmarks.engines import Page

from .kit import Kit, Told

READY = """() => new Promise((resolve) => {
  const look = () => (globalThis.isReady ? resolve(true) : setTimeout(look, 10));
  look();
})"""


class PageKit(Kit):
    """A page that loads the driver.

    Args:
        page: The page. Nothing else may listen to its network: each frame would be reported.
    """

    def __init__(self, page: Page) -> None:
        super().__init__()
        self._page = page
        self._early: list[Told] = []
        page.call(READY)

    def uncaught(self) -> list[str]:
        """Return the errors of the page that nothing has caught."""
        errors: list[str] = self._page.call("() => uncaught")
        return errors

    def _send(self, message: Told) -> None:
        self._early += self._page.call("send", message)

    def _receive(self, timeout: float) -> list[Told]:
        told, self._early = self._early, []
        if not told:
            told = self._page.call("receive", timeout * 1000)
        return told
