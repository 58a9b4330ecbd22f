"""The data of commands and answers, and the whole values that a client makes of the pieces of growing texts."""

import json
from typing import Any

from pydantic_core import from_json, to_json

from .raw import RawJSON

GROWS = b'{"wirespeed":{"appends":true}}'
"""Data of the reply to a subscribe, if the server may send what was appended to a text instead of the whole."""


class Pieces:
    """Makes whole values of what was appended to a text, or to the text of a table's rows."""

    def __init__(self) -> None:
        self._text = b'""'
        self._rows: dict[str, dict[str, Any]] = {}

    def of(self, data: bytes) -> bytes:
        """Return the whole value, or the change of the whole row."""
        if not data.startswith(b"{"):
            self._text = data
            return data
        change = from_json(data)
        if "key" in change:
            return self._of_row(json.dumps(change["key"]), change, data)
        if "append" in change:
            self._text = self._text[:-1] + to_json(change["append"])[1:]
            return self._text
        self._rows.clear()  # a reset: all rows follow
        return data

    def _of_row(self, key: str, change: dict[str, Any], data: bytes) -> bytes:
        if "append" in change:
            row = self._rows[key]
            for field, text in change["append"].items():
                row[field] += text
            return to_json({"key": change["key"], "value": row})
        if "value" in change:
            self._rows[key] = change["value"]
        else:
            self._rows.pop(key, None)
        return data


def opening(message: Any, *, has_status: bool) -> bytes:
    """Return the data of a subscribe: what this client takes beside values, and the message of a stream."""
    wants: dict[str, Any] = {"status": "tag"} if has_status else {}
    if message is None:
        return to_json({"wirespeed": wants | {"appends": True}})
    return b'{"wirespeed":%b,"message":%b}' % (to_json(wants), payload(message)) if wants else payload(message)


def payload(message: Any) -> bytes:
    """Return a message as JSON; bytes, and JSON that is raw, as they are."""
    return bytes(message) if type(message) in (bytes, RawJSON) else to_json(message)


def optional(data: bytes | None) -> Any:
    """Return the JSON value of data that a message may have."""
    return from_json(data) if data else None
