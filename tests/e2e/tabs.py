"""Tabs of one window: all but the one in front are hidden."""

from playwright.sync_api import Browser, BrowserContext, Page


def window(browser: Browser) -> BrowserContext:
    """Return the id of the browser's one window."""
    return browser.contexts[0]


def hide(page: Page) -> Page:
    """Hide a tab behind another one, which is returned."""
    other = page.context.new_page()
    other.bring_to_front()
    assert page.evaluate("document.visibilityState") == "hidden"
    return other
