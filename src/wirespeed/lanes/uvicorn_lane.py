"""The fast lane: frames go straight to uvicorn's transport, thousands of them in one system call."""

from typing import ClassVar

from .lane import Send, Traffic, WebSocketLane
from .uvicorn import UvicornWebSocket, WebSocketGuard


class UvicornLane(WebSocketLane):
    """A lane that writes to uvicorn's transport."""

    name: ClassVar[str] = "uvicorn"
    is_direct: ClassVar[bool] = True

    def __init__(self, connection: UvicornWebSocket, guard: WebSocketGuard, send: Send, traffic: Traffic) -> None:
        super().__init__(send, traffic)
        self._connection = connection
        self._transport = guard.transport
        self._writable = connection.writable
        self._guard = guard
        # A copy of uvicorn's own flag: reading it takes an attribute, not a call, for each delivery.
        self._has_room = True
        self._pause_writing, self._resume_writing = connection.pause_writing, connection.resume_writing
        connection.pause_writing = self._paused
        connection.resume_writing = self._resumed

    def accepted(self) -> None:
        # The headers of a browser take 5 KiB per connection. uvicorn keeps them, and does not read them any more.
        connection = self._connection
        if connection.handshake_complete:
            connection.request.headers.clear()
            connection.response.headers.clear()

    def _paused(self) -> None:
        self._has_room = False
        self._pause_writing()

    def _resumed(self) -> None:
        self._has_room = True
        self._resume_writing()
        if self.on_writable is not None:
            self.on_writable()

    def offer(self, frames: bytes, messages: int) -> bool:
        # This is writable(), closing() and write() in one place: apart from the system call, their calls would be the
        # cost of a delivery.
        if not self._has_room:
            return False
        connection, transport = self._connection, self._transport
        if not (connection.disconnected or connection.close_sent or transport.is_closing() or self._guard.has_left):
            traffic = self._traffic
            traffic.messages += messages
            traffic.bytes += len(frames)
            self._write(frames)
        return True

    def _write(self, frames: bytes) -> None:
        transport = self._transport
        transport.write(frames)
        if transport.get_write_buffer_size():
            self._guard.wrote()

    def writable(self) -> bool:
        return self._has_room

    def waiting(self) -> int:
        return self._guard.backlog()

    @property
    def stalled(self) -> bool:
        return self._guard.stalled

    def closing(self) -> bool:
        return self._guard.closing()

    async def drained(self) -> None:
        # uvicorn sets this event also when the connection is lost, and the sweep aborts a connection that is stuck.
        # So this cannot wait forever.
        await self._writable.wait()

    async def finish(self) -> None:
        self._guard.finish()
