"""The clients of a row that have to speak the protocol: `python -m benchmarks.protocol.load`.

As `benchmarks.feeds.load`, with more orders, and they answer the protocol's pings.
"""

import time
from typing import Any

from benchmarks.feeds.handshake import client_frame
from benchmarks.feeds.load import Connection, Load, main
from benchmarks.protocol.commands import PING, PONG, frames, subscribes


class ProtocolLoad(Load):
    """Clients of the multiplexed surface, in JSON."""

    def subscribe(self, group: str, path: str, count: int, first: int, step: int) -> dict[str, Any]:
        """Each connection of a group subscribes to `count` channels, with one frame, all at once.

        A `{number}` in the path is the channel's: from `first` on for the first connection, `step` more for each
        further one.
        """
        members = self._groups[group]
        frames = [
            client_frame(subscribes(path, range(first + at * step, first + at * step + count)))
            for at in range(len(members))
        ]
        begun = time.monotonic_ns()
        for connection, frame in zip(members, frames, strict=True):
            connection.socket.sendall(frame)
        return {"at": begun}

    def look_for(self, mark: str) -> dict[str, Any]:
        """From now on, something else is counted."""
        for connection in self._connections.values():
            connection.mark = mark.encode()
        return {}

    def frames(self, group: str) -> dict[str, Any]:
        """How many frames the sampled of a group have received since the mark, all of them whole."""
        sampled = [member for member in self._groups[group] if member.is_sampled]
        received = [b"".join(data for _, data in member.chunks) for member in sampled]
        return {"frames": sum(len(list(frames(each))) for each in received)}

    def _take(self, connection: Connection, data: bytes) -> int:
        if PING in data:
            connection.socket.sendall(PONG)
        return super()._take(connection, data)


if __name__ == "__main__":
    main(ProtocolLoad)
