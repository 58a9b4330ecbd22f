"""Isolation: an error while one of many is served is logged, and the others are served all the same."""

import logging
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TypeVar

logger = logging.getLogger("wirespeed")

T = TypeVar("T")


class isolated:  # noqa: N801 - it reads as a statement; a class, since a generator takes three times as long
    """Log an exception, and let it end nothing but the block that this is around.

    Args:
        what: The log line.
        arguments: Its arguments.
    """

    __slots__ = ("_arguments", "_what")

    def __init__(self, what: str, *arguments: object) -> None:
        self._what = what
        self._arguments = arguments

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        logger.error(self._what, *self._arguments, exc_info=error)
        return True


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
