"""Filters of publications by their tags (section 9 of the protocol page). A tag is a text name with a text value."""

import operator
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

from .messages import FilterNode

MAX_NODES = 100
MAX_DEPTH = 32
MAX_DIGITS = 64
"""Most characters of a number in a filter, and of one in a tag that is read once for several filters."""
VALUE = 64
"""Bytes to charge for each of several values, beside its text."""

Filter = Callable[[Mapping[str, str]], bool]
"""Returns True if it admits a publication with these tags."""

_NUMERIC: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}

_TEXTUAL: dict[str, Callable[[str, Any], bool]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "in": lambda tag, values: _is_among(tag, values),
    "nin": lambda tag, values: not _is_among(tag, values),
    "ex": lambda tag, value: True,
    "nex": lambda tag, value: False,
    "sw": str.startswith,
    "ew": str.endswith,
    "ct": operator.contains,
}

_TRUE_WITHOUT = ("neq", "nin", "nex")
"""Comparisons that are true if the tag is missing."""


def check(node: FilterNode) -> None:
    """Check a filter.

    Raises:
        ValueError: The filter is not valid; the message is a sentence for the client.
    """
    if _checked(node, 0) > MAX_NODES:
        raise ValueError(f"the filter has more than {MAX_NODES} nodes")


def _checked(node: FilterNode, depth: int) -> int:
    """Return the number of nodes, this one included."""
    if depth >= MAX_DEPTH:
        raise ValueError(f"the filter is nested more than {MAX_DEPTH} deep")
    if node.op in ("and", "or"):
        if not node.nodes:
            raise ValueError(f"{node.op!r} needs nodes")
    elif node.op == "not":
        if len(node.nodes) != 1:
            raise ValueError("'not' needs one node")
    elif node.op:
        raise ValueError(f"unknown op {node.op[:20]!r}: use 'and', 'or', 'not' or none")
    else:
        _check_leaf(node)
    return 1 + sum(_checked(each, depth + 1) for each in node.nodes)


def _check_leaf(node: FilterNode) -> None:
    if node.cmp not in _TEXTUAL and node.cmp not in _NUMERIC:
        raise ValueError(f"unknown cmp {node.cmp[:20]!r}")
    if not node.key:
        raise ValueError("a comparison needs a key")
    if node.cmp in ("in", "nin") and not node.vals:
        raise ValueError(f"{node.cmp!r} needs vals")
    if node.nodes:
        raise ValueError("a comparison must not have nodes")
    if node.cmp in _NUMERIC and len(node.val) > MAX_DIGITS:
        raise ValueError(f"a number has more than {MAX_DIGITS} characters")
    if node.cmp in _NUMERIC and _number(node.val) is None:
        raise ValueError(f"{node.cmp!r} needs a number, not {node.val[:20]!r}")


def nodes_in(node: FilterNode) -> int:
    """Return the number of nodes of a filter."""
    return 1 + sum(map(nodes_in, node.nodes))


def size_of(node: FilterNode) -> int:
    """Return the bytes to charge for a filter: its text, 256 for each node, and 64 for each of several values."""
    texts = (node.op, node.key, node.cmp, node.val, *node.vals)
    own = 256 + VALUE * len(node.vals) + sum(len(text.encode(errors="replace")) for text in texts)
    return own + sum(map(size_of, node.nodes))


def prepared(node: FilterNode) -> Filter:
    """Return a filter that was checked, ready to be applied to many publications.

    It takes no more memory than the nodes: several values are sorted, because a set takes several times as much.
    """
    if node.op:
        return partial(_OPERATIONS[node.op], tuple(map(prepared, node.nodes)))
    if node.cmp in _NUMERIC:
        return partial(_compares, node.key, _NUMERIC[node.cmp], _number(node.val))
    value = tuple(sorted(node.vals)) if node.cmp in ("in", "nin") else node.val
    return partial(_matches, node.key, _TEXTUAL[node.cmp], value, node.cmp in _TRUE_WITHOUT)


def _matches(key: str, compare: Callable[[str, Any], bool], value: Any, without: bool, tags: Mapping[str, str]) -> bool:
    tag = tags.get(key)
    return without if tag is None else compare(tag, value)


def _compares(key: str, compare: Callable[[Any, Any], bool], value: Any, tags: Mapping[str, str]) -> bool:
    tag = tags.get(key)
    number = None if tag is None else _known_number(tag) if len(tag) <= MAX_DIGITS else _number(tag)
    return number is not None and compare(number, value)


def _is_among(tag: str, values: Sequence[str]) -> bool:
    at = bisect_left(values, tag)
    return at < len(values) and values[at] == tag


def _all(nodes: tuple[Filter, ...], tags: Mapping[str, str]) -> bool:
    return all(each(tags) for each in nodes)


def _any(nodes: tuple[Filter, ...], tags: Mapping[str, str]) -> bool:
    return any(each(tags) for each in nodes)


def _none(nodes: tuple[Filter, ...], tags: Mapping[str, str]) -> bool:
    return not nodes[0](tags)


_OPERATIONS = {"and": _all, "or": _any, "not": _none}


def _number(text: str) -> Decimal | None:
    """Return a decimal number; None if the text is not a finite number."""
    try:
        number = Decimal(text)
    except (ArithmeticError, ValueError):
        return None
    return number if number.is_finite() else None


_known_number = lru_cache(maxsize=256)(_number)
"""The number of a tag, which many filters, and many nodes of one, compare with theirs."""
