"""Values on stdout: one line each, for people or for programs."""

import base64
import json
import sys
from datetime import datetime
from typing import Any, Protocol

from .fetching import from_json
from .terminal import clean, is_terminal, output


class View(Protocol):
    """A way to show values."""

    def show(self, data: bytes, position: str = "") -> None:
        """Show one value, as the server has sent it."""


class JsonView:
    """One line of JSON for each value, as it is, so that numbers keep their digits. Bytes become base64."""

    def __init__(self, encoding: str, *, positions: bool = False) -> None:
        self._is_bytes = encoding == "bytes"
        self._positions = positions
        self._is_terminal = is_terminal()

    def show(self, data: bytes, position: str = "") -> None:
        line = json.dumps(base64.b64encode(data).decode()).encode() if self._is_bytes else one_line(data)
        if self._positions:
            line = b'{"position":%b,"value":%b}' % (json.dumps(position or None).encode(), line)
        if self._is_terminal:
            line = clean(line.decode("utf-8", "replace"), json=True).encode()
        write(line + b"\n")


class RawView:
    """Texts and bytes as they are; other values as JSON. Texts end with a new line, bytes do not."""

    def __init__(self, encoding: str) -> None:
        self._is_bytes = encoding == "bytes"
        self._is_terminal = is_terminal()

    def show(self, data: bytes, position: str = "") -> None:
        if self._is_bytes:
            write(data)
            return
        value = decoded(data) if data.startswith(b'"') else None
        text = value if isinstance(value, str) else one_line(data).decode("utf-8", "replace")
        if self._is_terminal:
            text = "\n".join(map(clean, text.replace("\t", "    ").split("\n")))
        write(text.encode("utf-8", "backslashreplace") + b"\n")


class PrettyView:
    """Values for people: with the time, and in colours."""

    def __init__(self, encoding: str, *, times: bool = True) -> None:
        from rich.highlighter import JSONHighlighter

        self._is_bytes = encoding == "bytes"
        self._times = times
        self._console = output()
        self._highlight = JSONHighlighter()

    def show(self, data: bytes, position: str = "") -> None:
        from rich.text import Text

        text = Text()
        if self._times:
            text.append(f"{datetime.now().astimezone():%H:%M:%S.%f}"[:-3] + "  ", "dim")
        text.append_text(self._value(data))
        self._console.print(text, soft_wrap=True)

    def _value(self, data: bytes) -> Any:
        from rich.text import Text

        if self._is_bytes:
            return Text(f"{len(data)} bytes  {clean(repr(data[:60])[2:-1])}{'…' * (len(data) > 60)}")
        value = decoded(data)
        if isinstance(value, str):
            return Text("\n".join(map(clean, value.replace("\t", "    ").split("\n"))))
        line = json.dumps(value, ensure_ascii=False)
        if len(line) > self._console.width - 16 and isinstance(value, (dict, list)):
            line = json.dumps(value, ensure_ascii=False, indent=2)
        return self._highlight("\n".join(clean(each, json=True) for each in line.split("\n")))


def decoded(data: bytes) -> Any:
    """Return a value; a text for data that is not JSON."""
    try:
        return from_json(data)
    except ValueError:
        return data.decode("utf-8", "backslashreplace")


def one_line(data: bytes) -> bytes:
    """Return JSON without new lines, which can only be between its parts."""
    return data.translate(None, b"\r\n") if b"\n" in data or b"\r" in data else data


def write(data: bytes) -> None:
    """Write to stdout at once, for the program that reads a pipe."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def view_of(encoding: str, *, as_json: bool, raw: bool, positions: bool = False, times: bool = True) -> View:
    """Return the view that the options, and stdout, ask for."""
    if positions:
        return JsonView(encoding, positions=True)
    if raw:
        return RawView(encoding)
    if as_json or not is_terminal():
        return JsonView(encoding)
    return PrettyView(encoding, times=times)
