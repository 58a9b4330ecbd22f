"""Addresses: the path and the query of one key of a feed or topic, as clients write them, and the way back."""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode

from .key import Key
from .naming import PLACEHOLDER


class KeyAddresses:
    """The addresses of the keys of one feed or topic.

    Args:
        path: The path of the feed or topic, with all prefixes.
        key: The parameters of the key.
    """

    def __init__(self, path: str, key: Key) -> None:
        self._path = path
        self._key = key
        names = {spelling: each.name for spelling, each in key.by_spelling.items()}
        literals, self._places = [], []
        end = 0
        for place in PLACEHOLDER.finditer(path):
            literals.append(path[end : place.start()])
            self._places.append((names[place[1]], "/" if place[2] == "path" else ""))
            end = place.end()
        self._literals = [quote(each) for each in (*literals, path[end:])]
        in_path = {name for name, _ in self._places}
        self._query = [(spelling, name) for spelling, name in names.items() if name not in in_path]
        preferred = {name: spelling for spelling, name in reversed(self._query)}
        self._written = [(name, preferred[name]) for name in dict.fromkeys(name for _, name in self._query)]

    def of(self, values: Mapping[str, Any]) -> str:
        """Return the address of a key by its validated values."""
        plain = self._key.plain(values)
        first, *others = self._literals
        for (name, safe), literal in zip(self._places, others, strict=True):
            first += _quoted(plain[name], safe) + literal
        query = [(spelling, _text(each)) for name, spelling in self._written for each in _several(plain[name])]
        return f"{first}?{urlencode(query)}" if query else first

    def values(self, address: str) -> dict[str, Any] | None:
        """Return the validated values of the key with an address; None if the address is not one of the path.

        Raises:
            InvalidKey: The values are not valid.
        """
        beginning, _, query = address.partition("?")
        match = self._pattern.fullmatch(beginning)
        if match is None:
            return None
        texts = {name: [unquote(text)] for (name, _), text in zip(self._places, match.groups(), strict=True)}
        given = parse_qs(query, keep_blank_values=True)
        return self._key.of_texts(
            texts | {name: given[spelling] for spelling, name in self._query if spelling in given}
        )

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        first, *others = map(re.escape, self._literals)
        places = zip(self._places, others, strict=True)
        return re.compile(first + "".join(f"({'.*' if safe else '[^/]*'}){literal}" for (_, safe), literal in places))


def _quoted(value: Any, safe: str) -> str:
    text = _text(value)
    return text if text.isascii() and text.isalnum() else quote(text, safe=safe)


def _several(value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
