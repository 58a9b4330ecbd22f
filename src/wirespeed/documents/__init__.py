"""Documents about an app, made of the descriptions of its definitions."""

from .asyncapi import About, asyncapi, located
from .section import Documented, GuardParameter, Place, header, heading, takes_hyphens

__all__ = [
    "About",
    "Documented",
    "GuardParameter",
    "Place",
    "asyncapi",
    "header",
    "heading",
    "located",
    "takes_hyphens",
]
