"""A client that knows an app by its AsyncAPI document only, and checks everything that the app sends against it.

It is stricter than the document: an object may not have properties that its schema does not name.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from jsonschema import Draft7Validator

from tests.parsing import check
from wirespeed.asyncapi import document
from wirespeed.testing import WebSocketClient, connect, multiplexed

URL = "http://testserver"


def strict(schema: Any) -> Any:
    """Return a schema whose objects are closed: a property that was renamed would be valid otherwise."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(each) for name, each in schema.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


class Conforming:
    """A client of one app.

    Attributes:
        unseen: The channels of which no value has been checked yet.
        headers: The headers of its requests and connections.
    """

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.document = document(app, server=URL)
        check(self.document)
        self.unseen = set(self.document["channels"])
        self.headers: dict[str, str] = {}
        self._components = strict(self.document["components"])

    def channel(self, address: str) -> tuple[str, dict[str, Any]]:
        """Return the id and the description of the channel with an address."""
        ((id_, found),) = ((id_, each) for id_, each in self.document["channels"].items() if each["address"] == address)
        return id_, found

    def validate(self, schema: Mapping[str, Any], value: Any) -> None:
        """Check a value against a schema of the document."""
        Draft7Validator({"allOf": [strict(schema)], "components": self._components}).validate(value)

    def is_valid(self, schema: Mapping[str, Any], value: Any) -> bool:
        """Return whether a value fits a schema of the document."""
        return bool(Draft7Validator({"allOf": [strict(schema)], "components": self._components}).is_valid(value))

    def validate_value(self, address: str, value: Any) -> None:
        """Check a value of a channel, as the multiplexed connection and HTTP carry it in JSON."""
        id_, channel = self.channel(address)
        self.validate(channel["x-wirespeed"]["value"], value)
        self.unseen.discard(id_)

    @asynccontextmanager
    async def opened(self, address: str, **parameters: Any) -> AsyncIterator["Socket"]:
        """Open a raw WebSocket of a channel."""
        id_, channel = self.channel(address)
        declared = {each["name"]: each["in"] for each in channel["x-wirespeed"]["parameters"]}
        query = "&".join(f"{name}={each}" for name, each in parameters.items() if declared[name] == "query")
        path = address.format(**parameters) + (f"?{query}" if query else "")
        async with connect(self.app, path, headers=self.headers) as client:
            yield Socket(self, id_, client)

    async def watch(self, address: str, count: int = 1, message: Any = None, **parameters: Any) -> None:
        """Check values of a channel on all of its surfaces; those of a stream or call after a message, if it takes one.

        Over HTTP, a feed or topic is read, and a call is made. A stream is read to its end.
        """
        details = self.channel(address)[1]["x-wirespeed"]
        async with self.opened(address, **parameters) as socket:
            if message is not None:
                await socket.send(message)
            await socket.values(count)
        channel = address.removeprefix("/").format(**parameters)
        async with multiplexed(self.app, headers=self.headers) as client:
            if details["kind"] == "call":
                self.validate_value(address, await client.call(channel, message))
            else:
                subscription = await client.subscribe(channel, message)
                for _ in range(count):
                    self._validate_publication(address, await subscription.receive())
        if {"get", "post"} & set(details["surfaces"]):
            await self._watch_over_http(address, details, address.format(**parameters), message)

    def _validate_publication(self, address: str, value: Any) -> None:
        _, channel = self.channel(address)
        if channel["x-wirespeed"]["by"] is None:
            self.validate_value(address, value)
        else:
            self.validate(channel["messages"]["value"]["payload"], value)

    async def _watch_over_http(self, address: str, details: Mapping[str, Any], path: str, message: Any) -> None:
        async with AsyncClient(transport=ASGITransport(self.app), base_url=URL, headers=self.headers) as http:
            answer = await (http.get(path) if "get" in details["surfaces"] else http.post(path, json=message))
        assert answer.status_code == 200, answer.text
        if details["kind"] == "stream":
            values = [json.loads(line) for line in answer.text.splitlines()]
        elif answer.headers["content-type"].startswith("text/plain"):
            values = [answer.text]
        else:
            values = answer.json() if details["by"] is not None else [answer.json()]
        for each in values:
            self.validate_value(address, each)
        assert values


class Socket:
    """A raw WebSocket of one channel.

    Attributes:
        client: The client of the test kit, for messages that the document does not describe.
    """

    def __init__(self, conforming: Conforming, id_: str, client: WebSocketClient) -> None:
        self._conforming = conforming
        self._id = id_
        self._channel = conforming.document["channels"][id_]
        self.client = client

    async def send(self, message: Any) -> None:
        """Send a message, which the document has to describe."""
        details = self._channel["x-wirespeed"]
        self._conforming.validate(details["message"], message)
        if details["messageEncoding"] == "json":
            await self.client.send_json(message)
        elif details["messageEncoding"] == "text":
            await self.client.send_text(message)
        else:
            await self.client.send_bytes(message)

    async def receive(self) -> tuple[str, Any]:
        """Return the name of the next message, and its content; check that the app's operation sends it."""
        frame = await self.client.receive()
        operations = self._conforming.document["operations"]
        sent = operations.get(f"{self._id}.send", operations.get(f"{self._id}.receive", {}).get("reply"))
        names = [each["$ref"].rpartition("/")[2] for each in sent["messages"]]
        for name in names:
            message = self._channel["messages"][name]
            if "$ref" in message:
                message = self._conforming.document["components"]["messages"][name]
            if (read := _read(frame, message["contentType"])) is not None:
                (content,) = read
                if self._conforming.is_valid(message["payload"], content):
                    return name, content
        # Not one of them: show what is wrong with it as a value.
        value = self._channel["messages"]["value"]
        read = _read(frame, value["contentType"])
        assert read is not None, f"{frame!r} is not {value['contentType']}"
        self._conforming.validate(value["payload"], read[0])
        raise AssertionError("unreachable")

    async def values(self, count: int) -> list[Any]:
        """Return the next values. Other messages may come, but no errors."""
        found: list[Any] = []
        while len(found) < count:
            name, content = await self.receive()
            assert name != "error", content
            if name == "value":
                found.append(content)
        self._conforming.unseen.discard(self._id)
        return found


def _read(frame: str | bytes, content_type: str) -> tuple[Any] | None:
    """Return the content of a frame; None if it does not have the content type."""
    if content_type == "application/octet-stream":
        return (frame.decode("latin-1"),) if isinstance(frame, bytes) else None
    if isinstance(frame, bytes):
        return None
    if content_type == "text/plain":
        return (frame,)
    try:
        return (json.loads(frame),)
    except ValueError:
        return None
