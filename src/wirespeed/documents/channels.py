"""One definition as a channel of AsyncAPI, with its operations, and with all that Wirespeed adds in ``x-wirespeed``."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from .schemas import Schema
from .section import Section

MEDIA_TYPES: Mapping[str, str] = {
    "json": "application/json",
    "text": "text/plain",
    "bytes": "application/octet-stream",
}

_WORDS = {
    "order_by": "orderBy",
    "max_rate": "maxRate",
    "on_lag": "onLag",
    "join_leave": "joinLeave",
    "after_end": "afterEnd",
}
"""Options whose names in documents differ from those in Python."""

_KEY_TYPES = ("string", "integer", "number", "boolean")

SHARED: Mapping[str, Schema] = {
    "error": {
        "title": "Error",
        "summary": "A message was not valid, or a run has failed or was refused.",
        "contentType": "application/json",
        "payload": {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {
                    "type": "object",
                    "required": ["code", "message"],
                    "properties": {
                        "code": {"type": "integer", "description": "HTTP status."},
                        "message": {"type": "string"},
                        "detail": {"description": "Details in JSON, if there are any."},
                    },
                }
            },
        },
    },
    "lost": {
        "title": "Lost",
        "summary": "Values were lost: their number, or null if it is not known.",
        "contentType": "application/json",
        "payload": {
            "type": "object",
            "required": ["lost"],
            "properties": {"lost": {"type": ["integer", "null"]}},
        },
    },
    "reset": {
        "title": "Reset",
        "summary": "The whole table follows.",
        "contentType": "application/json",
        "payload": {"type": "object", "required": ["reset"], "properties": {"reset": {"const": True}}},
    },
    "status": {
        "title": "Status",
        "summary": "The health of the source has changed.",
        "contentType": "application/json",
        "payload": {
            "type": "object",
            "required": ["status"],
            "properties": {
                "status": {
                    "type": "object",
                    "required": ["state", "since"],
                    "properties": {
                        "state": {"enum": ["live", "failing", "stale"]},
                        "since": {"type": "number", "description": "Unix time in seconds."},
                        "reason": {"type": "string"},
                    },
                }
            },
        },
    },
}
"""Messages that many channels have, by their names."""


class Channel:
    """The parts of a document that describe one definition.

    Args:
        servers: Names of the servers that the document has.
    """

    def __init__(self, section: Section, servers: Sequence[str]) -> None:
        self._section = section
        self._documented = section.documented
        self._described = described = section.documented.description
        self._is_watched = described.kind in ("feed", "topic")
        self._is_table = described.options.get("by") is not None
        self._surfaces = [each for each in described.surfaces if each != "multiplexed" or "multiplexed" in servers]
        self._sent, self._received = self._messages()

    @property
    def shared(self) -> set[str]:
        """Names of the messages among those of :data:`SHARED` that it has."""
        return self._sent.keys() & SHARED.keys()

    # The channel

    def channel(self) -> Schema:
        """Return the channel."""
        shown = self._documented
        path = self._section.parameters("path")
        made = {
            "address": shown.address,
            "title": shown.title,
            **self._texts(),
            "servers": [{"$ref": f"#/servers/{name}"} for name in self._servers()],
            "parameters": {each["name"]: _limited(each, self._section.resolved(each["schema"])) for each in path},
            "messages": self._sent | self._received,
            "bindings": {"ws": self._ws_binding()},
            "x-wirespeed": self._details(),
        }
        return {name: each for name, each in made.items() if each not in ({}, [], None)}

    def _texts(self) -> Schema:
        """Return the description, its first paragraph and the tags, as channels and operations have them."""
        text = self._documented.text
        made = {
            "summary": " ".join(text.partition("\n\n")[0].split()),
            "description": text,
            "tags": [{"name": each} for each in dict.fromkeys(self._documented.tags)],
        }
        return {name: each for name, each in made.items() if each}

    def _servers(self) -> list[str]:
        http = ["http"] if {"get", "post", "sse"} & set(self._surfaces) else []
        return ["websocket", *http, *(["multiplexed"] if "multiplexed" in self._surfaces else [])]

    def _ws_binding(self) -> Schema:
        made: Schema = {"method": "GET", "bindingVersion": "0.1.0"}
        for place, name in (("query", "query"), ("header", "headers")):
            if parameters := self._section.parameters(place):  # type: ignore[arg-type]
                made[name] = _as_object(parameters)
        return made

    # Messages

    def _messages(self) -> tuple[dict[str, Schema], dict[str, Schema]]:
        """Return the messages that the app sends, and those that it receives."""
        section, described = self._section, self._described
        payload = self._change() if self._is_table else section.schema("value")
        sent = {"value": self._message("value", "Value", MEDIA_TYPES[described.encoding], payload)}
        if self._is_table:
            removed = _object({"key": self._key(), "removed": {"const": True}})
            sent["removed"] = self._message("removed", "Removed row", MEDIA_TYPES["json"], removed)
        others = ["error"]
        if self._is_watched:
            others += ["lost"] if described.options["keep"] != "latest" else []
            others += ["reset", "status"] if self._is_table else []
        received: dict[str, Schema] = {}
        if described.intake.value != "nothing":
            media_type = MEDIA_TYPES[described.message_encoding or "json"]
            received["message"] = self._message("message", "Message", media_type, section.schema("message"))
        return sent | {name: {"$ref": f"#/components/messages/{name}"} for name in others}, received

    def _message(self, name: str, title: str, content_type: str, payload: Schema) -> Schema:
        return {"name": f"{self._section.id}.{name}", "title": title, "contentType": content_type, "payload": payload}

    def _change(self) -> Schema:
        """Return the schema of a row of a table, as watchers receive it."""
        return _object({"key": self._key(), "value": self._section.schema("value")})

    def _key(self) -> Schema:
        return self._section.row_key(self._section.row_field(self._described.options["by"]), _KEY_TYPES)

    # Operations

    def operations(self) -> dict[str, Schema]:
        """Return the operations by their ids: the app sends values, and receives messages."""
        own_id, is_call = self._section.id, self._described.kind == "call"
        sent = self._references(self._sent)
        made: dict[str, Schema] = {}
        if not is_call:
            made[f"{own_id}.send"] = self._operation("send", sent)
        if is_call:
            reply = {"channel": self._reference(), "messages": sent}
            made[f"{own_id}.receive"] = self._operation("receive", self._references(self._received), reply=reply)
        elif self._received:
            made[f"{own_id}.receive"] = self._operation("receive", self._references(self._received))
        takes_post = made.get(f"{own_id}.receive", made.get(f"{own_id}.send", {}))
        if self._is_watched and {"get", "sse"} & set(self._surfaces):
            made[f"{own_id}.send"]["bindings"] = {"http": self._http_binding("GET")}
        elif "post" in self._surfaces:
            takes_post["bindings"] = {"http": self._http_binding("POST")}
        return made

    def _operation(self, action: str, messages: list[Schema], **more: Any) -> Schema:
        security = [{"$ref": f"#/components/securitySchemes/{name}"} for name in self._documented.scopes]
        made = {
            "action": action,
            "channel": self._reference(),
            "title": self._documented.title,
            **self._texts(),
            "messages": messages,
            **({"security": security} if security else {}),
        }
        return made | more

    def _http_binding(self, method: str) -> Schema:
        query = self._section.parameters("query")
        return {"method": method, "bindingVersion": "0.3.0"} | ({"query": _as_object(query)} if query else {})

    def _reference(self) -> Schema:
        return {"$ref": f"#/channels/{self._section.id}"}

    def _references(self, messages: Mapping[str, Schema]) -> list[Schema]:
        return [{"$ref": f"#/channels/{self._section.id}/messages/{name}"} for name in messages]

    # What AsyncAPI has no words for

    def _details(self) -> Schema:
        section, described, shown = self._section, self._described, self._documented
        made: Schema = {
            "kind": described.kind,
            "path": shown.address,
            "channel": shown.address.removeprefix("/"),
            "parameters": section.parameters("path", "query"),
            "surfaces": self._surfaces,
            "encoding": described.encoding,
            "messageEncoding": described.message_encoding,
            "intake": described.intake.name.lower(),
            **self._options(),
            "value": section.schema("value"),
            "message": section.schema("message") if self._received else None,
            "row": self._key() if self._is_table else None,
            "errors": section.errors(),
            "security": list(shown.scopes),
        }
        if any(shown.scopes.values()):
            made["scopes"] = {name: list(each) for name, each in shown.scopes.items() if each}
        if shown.deprecated:
            made["deprecated"] = True
        return made

    def _options(self) -> Schema:
        given = dict(self._described.options)
        keep = given.pop("keep", None)
        if isinstance(keep, timedelta):
            keep = {"seconds": keep.total_seconds()}
        elif isinstance(keep, int):
            keep = {"entries": keep}
        if self._is_table:
            given["by"] = self._section.row_field(given["by"])
            if order := given.get("order_by"):
                sign = "-" * order.startswith("-")
                given["order_by"] = sign + self._section.row_field(order.removeprefix("-"))
        always = {"keep": keep, "by": None, "orderBy": None}
        return always | {_WORDS.get(name, name): value for name, value in given.items()}


def _object(properties: Mapping[str, Schema]) -> Schema:
    """Return the schema of an object that has all of these properties."""
    return {"type": "object", "required": list(properties), "properties": dict(properties)}


def _as_object(parameters: Sequence[Schema]) -> Schema:
    """Return the schema of an object with parameters, as bindings have them."""
    required = [each["name"] for each in parameters if each["required"]]
    properties = {each["name"]: each["schema"] for each in parameters}
    return {"type": "object", "properties": properties} | ({"required": required} if required else {})


def _limited(parameter: Schema, schema: Schema) -> Schema:
    """Return a path parameter in the form of AsyncAPI, in which everything is text."""
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    made: Schema = {"description": parameter["description"]} if "description" in parameter else {}
    if choices:
        made["enum"] = [each if isinstance(each, str) else _text(each) for each in choices]
    return made


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
