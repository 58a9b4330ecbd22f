"""Messages of the browser's console."""

GIVEN_UP = "WebSocket is closed before the connection is established"
"""Chromium's warning about a connection that did not open within the SDK's five seconds, as on a slow machine. The SDK
tries again, and its pages cannot prevent the warning."""
