"""Isolation: an error while one of many is served is logged, and the others are served all the same."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

logger = logging.getLogger("wirespeed")

T = TypeVar("T")


@contextmanager
def isolated(what: str, *arguments: object) -> Iterator[None]:
    """Log an exception, and let it end nothing but this block.

    Args:
        what: The log line.
        arguments: Its arguments.
    """
    try:
        yield
    except Exception:
        logger.exception(what, *arguments)


def for_each(items: Iterable[T], serve: Callable[[T], object], failed: Callable[[T, Exception], object]) -> None:
    """Serve many, one after the other; nothing is paid for the isolation unless one of them fails.

    Args:
        items: The ones to serve.
        serve: Serves one of them.
        failed: Is called with one that could not be served, and its error.
    """
    left = iter(items)
    while True:
        try:
            for item in left:
                serve(item)
            return
        except Exception as error:
            with isolated("The end of one that failed has failed, too."):
                failed(item, error)
