"""Addresses: a path and a query with values in them, as clients write them."""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from inspect import Parameter
from typing import Any
from urllib.parse import quote, unquote, urlencode

from pydantic import Json

from .key import Key, by_spelling, model_of, spellings_of
from .naming import PLACEHOLDER, spellings_in


class AddressForm:
    """The addresses of one definition, which differ by the values of its parameters.

    Args:
        path: The path of the definition, with all prefixes.
        parameters: The parameters of its URL. The path may have others, which only dependencies read.
    """

    def __init__(self, path: str, parameters: Iterable[Parameter]) -> None:
        parameters = list(parameters)
        spellings = by_spelling(parameters)
        literals, self._places = [], []
        end = 0
        for place in PLACEHOLDER.finditer(path):
            literals.append(path[end : place.start()])
            self._places.append((place[1], "/" if place[2] == "path" else ""))
            end = place.end()
        self._literals = [quote(each) for each in (*literals, path[end:])]
        self._names = {spelling: spellings[spelling].name for spelling, _ in self._places if spelling in spellings}
        in_path = set(self._names.values())
        self._query = [(each.name, _spelling(each)) for each in parameters if each.name not in in_path]

    def of(self, plain: Mapping[str, Any]) -> str:
        """Return the address with values in the types of JSON, as they are read; those of the query may be left out.

        A query cannot say None, an empty list or, in a model, an object: these are left out.
        """
        first, *others = self._literals
        for (spelling, safe), literal in zip(self._places, others, strict=True):
            name = self._names.get(spelling)
            first += (f"{{{spelling}}}" if name is None else _quoted(plain[name], safe)) + literal
        query: list[tuple[str, str]] = []
        for name, spelling in self._query:
            pairs = _fields(plain.get(name), spelling) if isinstance(spelling, dict) else [(spelling, plain.get(name))]
            query += [(each, _text(one)) for each, several in pairs for one in _several(several)]
        return f"{first}?{urlencode(query, quote_via=quote)}" if query else first

    def split(self, address: str) -> tuple[dict[str, str], str] | None:
        """Return the parameters in the path of an address, and its query; None if it is not an address of the path."""
        beginning, _, query = address.partition("?")
        match = self._pattern.fullmatch(beginning)
        if match is None:
            return None
        spellings = [spelling for spelling, _ in self._places]
        return dict(zip(spellings, map(unquote, match.groups()), strict=True)), query

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        first, *others = map(re.escape, self._literals)
        places = zip(self._places, others, strict=True)
        return re.compile(first + "".join(f"({'.*' if safe else '[^/]*'}){literal}" for (_, safe), literal in places))


class KeyAddresses(AddressForm):
    """The addresses of the keys of one feed or topic.

    Args:
        path: The path of the feed or topic, with all prefixes.
        key: The parameters of the key.
    """

    def __init__(self, path: str, key: Key) -> None:
        super().__init__(path, key.parameters)
        self._key = key

    def of_values(self, values: Mapping[str, Any]) -> str:
        """Return the address of a key by its validated values."""
        return self.of(self._key.plain(values))


def _spelling(parameter: Parameter) -> str | dict[str, bool]:
    """Return the name of a parameter; of a model, those of its fields, and whether each is a JSON text."""
    model = model_of(parameter)
    if model is None:
        return spellings_of(parameter)[0]
    names = spellings_in(model)
    return {names[name][0]: Json in map(type, field.metadata) for name, field in model.model_fields.items()}


def _fields(value: Any, are_json: Mapping[str, bool]) -> list[tuple[str, Any]]:
    fields = value.items() if isinstance(value, dict) else ()
    return [(name, each) for name, each in fields if are_json.get(name) or not isinstance(each, dict)]


def _quoted(value: Any, safe: str) -> str:
    text = _text(value)
    return text if text.isascii() and text.isalnum() else quote(text, safe=safe)


def _several(value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
