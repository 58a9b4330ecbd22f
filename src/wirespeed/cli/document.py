"""The definitions of an app, as its AsyncAPI document describes them."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Any, NamedTuple

from .failures import CommandError, usage
from .fetching import get
from .schemas import SchemaNames
from .target import Target

EXTENSION = "x-wirespeed"


class Parameter(NamedTuple):
    """A parameter of a path, or of its query."""

    name: str
    place: str
    """``path`` or ``query``."""
    required: bool
    type: str
    default: Any = None


class ListedDefinition:
    """One definition of a document."""

    def __init__(self, channel: Mapping[str, Any], schemas: SchemaNames) -> None:
        self._channel = channel
        self._more: Mapping[str, Any] = channel.get(EXTENSION) or {}
        self._schemas = schemas
        self.path: str = self._more.get("path") or channel.get("address") or "/"
        self.kind: str = self._more.get("kind", "feed")
        self.encoding: str = self._more.get("encoding", "json")
        self.by: str | None = self._more.get("by")
        self.order_by: str | None = self._more.get("orderBy")
        self.takes: str = self._more.get("intake", "nothing")

    @property
    def text(self) -> str:
        """The documentation: summary and description, or only one of them."""
        summary, description = ((self._channel.get(key) or "").strip() for key in ("summary", "description"))
        return description if description.startswith(summary) else f"{summary}\n\n{description}".strip()

    @property
    def summary(self) -> str:
        """The first line of the documentation."""
        return self.text.partition("\n")[0]

    @property
    def deprecated(self) -> bool:
        return bool(self._channel.get("deprecated") or self._more.get("deprecated"))

    @cached_property
    def parameters(self) -> list[Parameter]:
        """The parameters of the key, or of the run."""
        return [
            Parameter(
                each["name"],
                each.get("in", "query"),
                bool(each.get("required")),
                self._schemas.name(each.get("schema")),
                each.get("default"),
            )
            for each in self._more.get("parameters") or ()
        ]

    @property
    def value(self) -> str:
        """Name of the type of its values."""
        return {"bytes": "bytes"}.get(self.encoding) or self._schemas.name(self._more.get("value"))

    @property
    def message(self) -> str:
        """Name of the type of its messages; empty if it takes none."""
        schema = self._more.get("message")
        return "" if schema is None else self._schemas.name(schema)

    @property
    def message_schema(self) -> Mapping[str, Any] | None:
        """Schema of its messages, without references at its top; None if it takes none."""
        schema = self._more.get("message")
        return None if schema is None else self._schemas.resolve(schema)

    @property
    def columns(self) -> list[str]:
        """Names of the fields of its values, if they are objects."""
        return list(self._schemas.resolve(self._more.get("value") or {}).get("properties") or {})

    def property_of_message(self, name: str) -> Mapping[str, Any] | None:
        """Return the schema of one field of the messages; None if there is none of the name."""
        properties = (self.message_schema or {}).get("properties") or {}
        found = properties.get(name)
        return None if found is None else self._schemas.resolve(found)

    def fits(self, path: str) -> bool:
        """Return True if a path, without its query, leads to this definition."""
        return re.fullmatch(_pattern(self.path), path) is not None


class Document:
    """The AsyncAPI document of an app."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        schemas = SchemaNames((data.get("components") or {}).get("schemas") or {})
        channels = (data.get("channels") or {}).values()
        self.data = data
        self.definitions = [ListedDefinition(each, schemas) for each in channels if EXTENSION in each]
        self.title: str = (data.get("info") or {}).get("title", "")

    def find(self, path: str) -> ListedDefinition:
        """Return the definition that a path leads to.

        Raises:
            CommandError: There is none.
        """
        plain = path.partition("?")[0]
        # A path with parameters also fits a template; the one without them is meant.
        found = sorted((each for each in self.definitions if each.fits(plain)), key=lambda each: each.path.count("{"))
        if not found:
            raise usage(f"The app has no definition at {path}.", self._advice(plain))
        return found[0]

    def _advice(self, path: str) -> str:
        by_path = {each.path: each for each in self.definitions}
        first = path.strip("/").partition("/")[0]
        near = [each for each in by_path if first and each.strip("/").partition("/")[0] == first]
        near = near or get_close_matches(path, list(by_path), n=3, cutoff=0.5)
        if not near:
            return "See 'wirespeed list' for its definitions."
        parts = [f"{each} ({kinds})" if (kinds := _parameters(by_path[each])) else each for each in near[:3]]
        return f"Did you mean {' or '.join(parts)}? See 'wirespeed list'."


def _parameters(definition: ListedDefinition) -> str:
    return ", ".join(f"{each.name}: {each.type}" for each in definition.parameters)


def _pattern(template: str) -> str:
    return "".join(_pieces(template))


def _pieces(template: str) -> Iterator[str]:
    for literal, name in re.findall(r"([^{]*)(\{[^}]*\})?", template):
        yield re.escape(literal)
        if name:
            yield "[^?]+" if name.endswith(":path}") else "[^/?{}]+"


def fetch(target: Target) -> Document:
    """Return the document of a server.

    Raises:
        CommandError: The server cannot be reached, or does not give it.
    """
    found = fetch_if_any(target)
    if isinstance(found, CommandError):
        raise found
    return found


def fetch_if_any(target: Target) -> Document | CommandError:
    """Return the document of a server, or the error for a server that answers but does not give it.

    Raises:
        CommandError: The server cannot be reached.
    """
    path = f"{target.prefix}/asyncapi.json"
    reply = get(target, path)
    try:
        if reply.status == 200:
            return Document(reply.json())
    except (ValueError, AttributeError, TypeError, KeyError):
        return CommandError(f"{target.url}{path} is not an AsyncAPI document.", "Is this the address of the app?")
    return CommandError(
        f"{target.url}{path} answered with status {reply.status}.", _reason(reply.status, reply.headers)
    )


def _reason(status: int, headers: Mapping[str, str]) -> str:
    if status in (401, 403):
        return "Give a token that the server accepts: --token, WIRESPEED_TOKEN or 'wirespeed context add'."
    if "location" in headers:
        return f"It redirects to {headers['location']}: use that address."
    if status == 404:
        return (
            "Check the address. An app without openapi_url has no document; "
            "for another prefix than /live, use 'wirespeed context add --prefix'."
        )
    return "Check the server's log."
