"""Tracing: whether an app is traced, by FastAPI's own telemetry."""

from typing import TYPE_CHECKING

from fastapi import FastAPI

from ..frameworks import tracer_provider

if TYPE_CHECKING:
    from ..tracing import Tracing


def tracing_of(app: FastAPI) -> "Tracing | None":
    """Return what makes the spans of an app; None if FastAPI does not trace the app's operations."""
    if (provider := tracer_provider(app)) is None:
        return None
    from ..tracing import Tracing  # an app that is not traced needs no package for it

    return Tracing(provider)
