"""Messages for the server, from arguments and from stdin."""

import json
import os
import re
import sys
import threading
from asyncio import Queue, get_running_loop
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from io import UnsupportedOperation
from typing import Any

from ..raw import RawJSON
from .document import ListedDefinition
from .failures import CommandError, ExitCode, usage
from .target import check_text

PAIR = re.compile(r"([A-Za-z_][\w.-]*)(:?=)(.*)", re.DOTALL)
PIECE = 65536
MOST_LINE_BYTES = 64 << 20
WAITING = 16
"""Lines of stdin that are read ahead."""

SCALARS = frozenset({"integer", "number", "boolean", "null"})


def message_of(words: Sequence[str], definition: ListedDefinition | None) -> RawJSON | None:
    """Return the message of a command line's words; None if there are none.

    One word is JSON, or the text itself if the definition takes text; ``-`` reads it from stdin. Words of the form
    ``field=value`` are the fields of an object: with ``:=``, or if the field is not a text, the value is JSON.

    Raises:
        CommandError: It is none of these.
    """
    if not words:
        return None
    for word in words:
        check_text(word)
    if list(words) == ["-"]:
        return json_of(read_all(), definition, "stdin")
    if len(words) == 1 and takes_text(definition):
        return RawJSON(json.dumps(words[0]))
    pairs = [PAIR.fullmatch(word) for word in words]
    if all(pairs):
        fields: dict[str, RawJSON] = {}
        for pair in pairs:
            assert pair is not None
            fields[pair[1]] = _field(pair[1], pair[2], pair[3], definition)
        text = ",".join(f"{json.dumps(name)}:{value}" for name, value in fields.items())
        return _checked(f"{{{text}}}", "The message")
    if len(words) > 1:
        raise usage("A message of several words consists of field=value pairs.", "Put JSON into quotes: '{\"a\": 1}'.")
    return json_of(words[0], definition, "The message")


def takes_text(definition: ListedDefinition | None) -> bool:
    """Return True if the messages of a definition are texts."""
    return definition is not None and _types(definition.message_schema or {}) == {"string"}


def json_of(text: str, definition: ListedDefinition | None, where: str) -> RawJSON:
    """Return one message in JSON, or a text for a definition that takes texts.

    Raises:
        CommandError: It is not JSON.
    """
    if takes_text(definition):
        return RawJSON(json.dumps(text.removesuffix("\n")))
    takes = f" It takes {definition.message}." if definition is not None and definition.message else ""
    return _checked(text, where, f"Write JSON in quotes, such as '{{\"a\": 1}}', or field=value pairs.{takes}")


def _checked(text: str, where: str, hint: str = "") -> RawJSON:
    try:
        return RawJSON(text)
    except ValueError:
        raise usage(f"{where} is not JSON: {text.strip()[:80]!r}.", hint) from None


def _types(schema: Any) -> set[str]:
    """Return the JSON types that a schema names."""
    if not isinstance(schema, Mapping):
        return {"any"}
    parts = schema.get("anyOf") or schema.get("oneOf")
    if isinstance(parts, list) and parts:
        return set().union(*map(_types, parts))
    if isinstance(schema.get("enum"), list):
        return {"string"} if all(isinstance(each, str) for each in schema["enum"]) else {"any"}
    if "const" in schema:
        return {"string"} if isinstance(schema["const"], str) else {"any"}
    kind = schema.get("type", "any")
    return set(map(str, kind)) if isinstance(kind, list) else {str(kind)}


def _field(name: str, operator: str, text: str, definition: ListedDefinition | None) -> RawJSON:
    schema = None if definition is None else definition.property_of_message(name)
    types = {"any"} if schema is None else _types(schema)
    if operator == "=" and (types == {"string"} or (types == {"string", "null"} and text != "null")):
        return RawJSON(json.dumps(text))
    try:
        return _checked(text, f"The value of {name}")
    except CommandError:
        if operator == ":=" or types <= SCALARS:
            raise
        return RawJSON(json.dumps(text))


def read_all() -> str:
    """Return the whole of stdin.

    Raises:
        CommandError: It is not text, or too long for a message.
    """
    data = sys.stdin.buffer.read(MOST_LINE_BYTES + 1)
    if len(data) > MOST_LINE_BYTES:
        raise usage(f"stdin has more than {MOST_LINE_BYTES >> 20} MiB.", "Send several messages.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise CommandError("stdin is not text in UTF-8.", code=ExitCode.USAGE) from None


async def lines_of_stdin() -> AsyncIterator[str]:
    """Yield the lines of stdin as they arrive, without empty ones.

    A thread reads them, which does not keep the process from ending.
    """
    loop = get_running_loop()
    lines: Queue[bytes | CommandError | None] = Queue()
    room = threading.Semaphore(WAITING)

    def put(line: bytes | CommandError | None) -> None:
        room.acquire()
        loop.call_soon_threadsafe(lines.put_nowait, line)

    threading.Thread(target=_read, args=(put,), daemon=True).start()
    while (line := await lines.get()) is not None:
        room.release()
        if isinstance(line, CommandError):
            raise line
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            raise CommandError("stdin is not text in UTF-8.", code=ExitCode.USAGE) from None
        if text.strip():
            yield text.rstrip("\r\n")


def _reader() -> Callable[[int], bytes]:
    try:
        return partial(os.read, sys.stdin.fileno())
    except UnsupportedOperation:  # not a file
        return sys.stdin.buffer.read


def _read(put: Any) -> None:
    """Read stdin's lines. The file descriptor is read itself: a reader in a thread would hold a lock at the end."""
    rest = b""
    try:
        read = _reader()
        while piece := read(PIECE):
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                put(line)
            if len(rest) > MOST_LINE_BYTES:
                put(usage(f"A line of stdin has more than {MOST_LINE_BYTES >> 20} MiB."))
                return
        if rest:
            put(rest)
        put(None)
    except OSError as error:
        put(CommandError(f"stdin cannot be read: {error.strerror}."))
    except RuntimeError:
        pass  # the loop has ended meanwhile
