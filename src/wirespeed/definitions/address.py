"""Addresses: the path and the query of one key of a feed or topic, as clients write them, and the way back."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode

from .key import Key
from .naming import PLACEHOLDER


def address_of(path: str, key: Key, values: Mapping[str, Any]) -> str:
    """Return the address of a key.

    Args:
        path: The path of the feed or topic, with all prefixes.
        key: The parameters of the key.
        values: The validated values of the key.
    """
    plain = key.plain(values)
    spelled = {name: plain[each.name] for name, each in key.by_spelling.items()}

    def fill(place: re.Match[str]) -> str:
        safe = "/" if place[2] == "path" else ""
        return quote(_text(spelled.pop(place[1], "")), safe=safe)

    filled = PLACEHOLDER.sub(fill, path)
    query = [(name, _text(each)) for name, value in spelled.items() for each in _several(value)]
    return f"{filled}?{urlencode(query)}" if query else filled


def values_of_address(path: str, key: Key, address: str) -> dict[str, Any] | None:
    """Return the validated values of the key with an address; None if the address is not one of a path.

    Raises:
        InvalidKey: The values are not valid.
    """
    beginning, _, query = address.partition("?")
    match = _pattern(path).fullmatch(beginning)
    if match is None:
        return None
    given: dict[str, list[str]] = {name: [unquote(text)] for name, text in match.groupdict().items()}
    given |= parse_qs(query, keep_blank_values=True)
    names = {spelling: each.name for spelling, each in key.by_spelling.items()}
    return key.of_texts({names[spelling]: each for spelling, each in given.items() if spelling in names})


def _pattern(path: str) -> re.Pattern[str]:
    parts, end = [], 0
    for place in PLACEHOLDER.finditer(path):
        inner = ".*" if place[2] == "path" else "[^/]*"
        parts += [re.escape(quote(path[end : place.start()])), f"(?P<{place[1]}>{inner})"]
        end = place.end()
    return re.compile("".join(parts) + re.escape(quote(path[end:])))


def _several(value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
