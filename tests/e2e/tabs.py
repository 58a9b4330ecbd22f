"""Tabs of one window, of which all but the one in front are hidden, and a record of their frames."""

from playwright.sync_api import Browser, BrowserContext, Page

RECORD_FRAMES = """
window.recorded = {};
window.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    const frames = (window.recorded[new URL(this.url).pathname] ??= []);
    this.addEventListener("message", ({ data }) => frames.push(data));
  }
};"""
"""Records the frames that the page receives, by the path of their WebSocket."""


def window(browser: Browser) -> BrowserContext:
    """Return the id of the browser's one window."""
    return browser.contexts[0]


def hide(page: Page) -> Page:
    """Hide a tab behind another one, which is returned."""
    other = page.context.new_page()
    other.bring_to_front()
    assert page.evaluate("document.visibilityState") == "hidden"
    return other
