"""The definitions of an app, as its AsyncAPI document describes them."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from .failures import CommandError, usage
from .fetching import get
from .schemas import SchemaNames
from .target import Target, at

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
    """One definition of a document. All of it is read at once, so that what is not a document is found early."""

    def __init__(self, channel: Mapping[str, Any], schemas: SchemaNames) -> None:
        more: Mapping[str, Any] = channel.get(EXTENSION) or {}
        self._schemas = schemas
        self.path = _text(more.get("path") or channel.get("address") or "/")
        self.kind = _text(more.get("kind", "feed"))
        self.encoding = _text(more.get("encoding", "json"))
        self.by = None if more.get("by") is None else _text(more["by"])
        self.order_by = None if more.get("orderBy") is None else _text(more["orderBy"])
        self.takes = _text(more.get("intake", "nothing"))
        self.keep: Any = more.get("keep")
        summary, description = (_text(channel.get(key) or "").strip() for key in ("summary", "description"))
        self.text = description if description.startswith(summary) else f"{summary}\n\n{description}".strip()
        """The documentation: summary and description, or only one of them."""
        self.deprecated = bool(channel.get("deprecated") or more.get("deprecated"))
        self.parameters = [
            Parameter(
                _text(each["name"]),
                _text(each.get("in", "query")),
                bool(each.get("required")),
                schemas.name(each.get("schema")),
                each.get("default"),
            )
            for each in more.get("parameters") or ()
        ]
        """The parameters of the key, or of the run."""
        message = more.get("message")
        self.value = "bytes" if self.encoding == "bytes" else schemas.name(more.get("value"))
        """Name of the type of its values."""
        self.message = "" if message is None else schemas.name(message)
        """Name of the type of its messages; empty if it takes none."""
        self.message_schema = None if message is None else schemas.resolve(message)
        """Schema of its messages, without references at its top; None if it takes none."""
        self.columns = list(map(_text, schemas.resolve(more.get("value") or {}).get("properties") or {}))
        """Names of the fields of its values, if they are objects."""

    @property
    def summary(self) -> str:
        """The first line of the documentation."""
        return self.text.partition("\n")[0]

    def property_of_message(self, name: str) -> Mapping[str, Any] | None:
        """Return the schema of one field of the messages; None if there is none of the name."""
        properties = (self.message_schema or {}).get("properties")
        found = properties.get(name) if isinstance(properties, Mapping) else None
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
        self.title = _text((data.get("info") or {}).get("title", ""))

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


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


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


def fetch_at(url: str, token: str | None) -> Document:
    """Return the document at its own URL, with the token of the options or the environment.

    Raises:
        CommandError: The server cannot be reached, or does not give it.
    """
    parts = urlsplit(url)
    target, _ = at(f"{parts.scheme}://{parts.netloc}", None, token, None)
    found = fetch_if_any(target, urlunsplit(("", "", parts.path, parts.query, "")))
    if isinstance(found, CommandError):
        raise found
    return found


def fetch_if_any(target: Target, path: str = "") -> Document | CommandError:
    """Return the document of a server, or the error for a server that answers but does not give it.

    Raises:
        CommandError: The server cannot be reached.
    """
    path = path or f"{target.prefix}/asyncapi.json"
    reply = get(target, path)
    try:
        if reply.status == 200:
            return Document(reply.json())
    except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
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
