"""What the clients of the protocol say and look for, in JSON."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from benchmarks.client import ProtocolError
from benchmarks.feeds.handshake import Target, client_frame

PATH = "/live/websocket"
SILENT = f"{PATH}?cf_ws_frame_ping_pong=true"
"""Without the protocol's own pings, which would want an answer."""
CONNECT = '{"id":1,"connect":{}}'
CONNECTED = '"id":1'
SUBSCRIBED = b'"subscribe":{'
"""Is in each reply to a subscribe command, and in nothing else."""
OFFSET = re.compile(rb'"offset":(\d+)\}\}\}')
"""The position that a whole publication tells."""
PING = b"\x81\x02{}"
PONG = client_frame(b"{}")

_EPOCH = re.compile(rb'"epoch":"([^"]*)"')
_TOP = re.compile(rb'"offset":(\d+)')


@dataclass(frozen=True)
class Subscribed:
    """The reply to a subscribe command."""

    epoch: str
    offset: int
    recovered: bool

    @classmethod
    def of(cls, received: bytes) -> Self | None:
        """The reply in the frames that were received; None if it is not all there yet.

        It is searched and not parsed: it may have hundreds of publications.
        """
        for payload in frames(received):
            _, found, rest = payload.partition(b'{"id":2,')
            if found:
                return cls._of_line(rest.partition(b"\n")[0])
        return None

    @classmethod
    def _of_line(cls, line: bytes) -> Self:
        epoch, top = _EPOCH.search(line), _TOP.findall(line)
        if epoch is None:
            raise ProtocolError(f"not subscribed: {line[:100]!r}")
        return cls(epoch[1].decode(), int(top[-1]) if top else 0, b'"recovered":true' in line)


def target(port: int, path: str = PATH, *, as_browser: bool = False) -> Target:
    """A connection that has no subscriptions yet."""
    return Target(port, path, CONNECT, CONNECTED, as_browser=as_browser)


def subscribe(id_: int, channel: str, **more: Any) -> str:
    return json.dumps({"id": id_, "subscribe": {"channel": channel, **more}}, separators=(",", ":"))


def rejoin(channel: str, epoch: str, offset: int) -> bytes:
    """The payload of a first frame: it connects and subscribes, and goes on from a position if there is an epoch."""
    position = {"recover": True, "epoch": epoch, "offset": offset} if epoch else {}
    return f"{CONNECT}\n{subscribe(2, channel, **position)}".encode()


def subscribes(path: str, numbers: Iterable[int]) -> bytes:
    """The payload of one frame with one command for each number."""
    return "\n".join(subscribe(id_, path.format(number=number)) for id_, number in enumerate(numbers, 2)).encode()


def frames(received: bytes) -> Iterator[bytes]:
    """The payloads of the frames that are whole."""
    at = 0
    while at + 2 <= len(received):
        length, header = received[at + 1], 2
        if length == 126:
            length, header = int.from_bytes(received[at + 2 : at + 4], "big"), 4
        elif length == 127:
            length, header = int.from_bytes(received[at + 2 : at + 10], "big"), 10
        end = at + header + length
        if end > len(received):
            return
        yield received[at + header : end]
        at = end
