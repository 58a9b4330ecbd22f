"""Short names for the types of a JSON schema."""

import json
from collections.abc import Mapping
from typing import Any

REFERENCE = "#/components/schemas/"
DEEP = 8
"""References and parts inside each other that are followed."""

MOST_VALUES = 6
"""Values of an enumeration that are listed."""


class SchemaNames:
    """The named schemas of a document."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named

    def resolve(self, schema: Any, depth: int = DEEP) -> Mapping[str, Any]:
        """Return a schema in place of a reference to it."""
        if not isinstance(schema, Mapping):
            return {}
        target = schema.get("$ref")
        if isinstance(target, str) and depth:
            return self.resolve(self._named.get(target.removeprefix(REFERENCE)), depth - 1)
        return schema

    def name(self, schema: Any, depth: int = DEEP) -> str:
        """Return a short name of a type: ``number``, ``Order``, ``string | null``, ``Order[]``."""
        if not isinstance(schema, Mapping) or not schema or not depth:
            return "any"
        target = schema.get("$ref")
        if isinstance(target, str):
            return target.removeprefix(REFERENCE).removesuffix("-Input").removesuffix("-Output")
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                return " | ".join(dict.fromkeys(self.name(each, depth - 1) for each in schema[key]))
        if len(schema.get("allOf") or ()) == 1:
            return self.name(schema["allOf"][0], depth - 1)
        if "const" in schema:
            return json.dumps(schema["const"], ensure_ascii=False)
        if schema.get("enum"):
            values = [json.dumps(each, ensure_ascii=False) for each in schema["enum"]]
            return " | ".join(values[:MOST_VALUES] + ["…"] * (len(values) > MOST_VALUES))
        return self._plain(schema, depth)

    def _plain(self, schema: Mapping[str, Any], depth: int) -> str:
        kind = schema.get("type")
        if kind == "array" and "items" in schema:
            inner = self.name(schema["items"], depth - 1)
            return f"({inner})[]" if " | " in inner else f"{inner}[]"
        if kind == "object":
            more = schema.get("additionalProperties")
            named = schema.get("title") if schema.get("properties") else None
            return named or (f"{{string: {self.name(more, depth - 1)}}}" if isinstance(more, Mapping) else "object")
        if isinstance(kind, list):
            return " | ".join(kind)
        return str((schema.get("format") if kind == "string" else None) or kind or "any")
