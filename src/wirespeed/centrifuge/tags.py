"""Filters of publications by their tags (section 9 of the protocol page). A tag is a text name with a text value."""

from collections.abc import Callable, Mapping
from decimal import Decimal

from .messages import FilterNode

MAX_NODES = 100
MAX_DEPTH = 32
MAX_DIGITS = 64
"""Most characters of a number, because it is read for each publication."""
VALUE = 64
"""Bytes to charge for each of several values, beside its text."""

_NUMERIC: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "lt": lambda tag, value: tag < value,
    "lte": lambda tag, value: tag <= value,
    "gt": lambda tag, value: tag > value,
    "gte": lambda tag, value: tag >= value,
}

_TEXTUAL: dict[str, Callable[[str, FilterNode], bool]] = {
    "eq": lambda tag, node: tag == node.val,
    "neq": lambda tag, node: tag != node.val,
    "in": lambda tag, node: tag in node.vals,
    "nin": lambda tag, node: tag not in node.vals,
    "ex": lambda tag, node: True,
    "nex": lambda tag, node: False,
    "sw": lambda tag, node: tag.startswith(node.val),
    "ew": lambda tag, node: tag.endswith(node.val),
    "ct": lambda tag, node: node.val in tag,
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


def size_of(node: FilterNode) -> int:
    """Return the bytes to charge for a filter: its text, 256 for each node, and 64 for each of several values."""
    texts = (node.op, node.key, node.cmp, node.val, *node.vals)
    own = 256 + VALUE * len(node.vals) + sum(len(text.encode(errors="replace")) for text in texts)
    return own + sum(map(size_of, node.nodes))


def matches(node: FilterNode, tags: Mapping[str, str]) -> bool:
    """Return True if a filter admits a publication with these tags."""
    if node.op == "and":
        return all(matches(each, tags) for each in node.nodes)
    if node.op == "or":
        return any(matches(each, tags) for each in node.nodes)
    if node.op == "not":
        return not matches(node.nodes[0], tags)
    tag = tags.get(node.key)
    if tag is None:
        return node.cmp in _TRUE_WITHOUT
    if node.cmp in _TEXTUAL:
        return _TEXTUAL[node.cmp](tag, node)
    number, value = _number(tag), _number(node.val)
    return number is not None and value is not None and _NUMERIC[node.cmp](number, value)


def _number(text: str) -> Decimal | None:
    """Return a decimal number; None if the text is not a finite number."""
    try:
        number = Decimal(text)
    except (ArithmeticError, ValueError):
        return None
    return number if number.is_finite() else None
