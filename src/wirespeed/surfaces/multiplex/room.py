"""Room for answers: what a connection works on at the same time, while its client takes in what it is sent."""

from collections.abc import Callable

ROOM = 64 * 1024
"""Bytes that the commands a connection works on, and the answers that they will have, may have together."""

TASK = 4 * 1024
"""Bytes that count for each command being worked on, beside its own."""

UNKNOWN = 16 * 1024
"""Bytes that count for an answer of a call that has not answered yet."""


class Answers:
    """How large the answers of each call are: what a call has answered is the best guess of what it will."""

    __slots__ = ("_largest",)

    def __init__(self) -> None:
        self._largest: dict[object, int] = {}

    def expected(self, call: object) -> int:
        """Return the bytes of the next answer of a call, as far as anything is known of it."""
        return self._largest.get(call, UNKNOWN)

    def seen(self, call: object, size: int) -> None:
        """Take note of an answer. The largest one counts for the next thousand or so."""
        known = self._largest.get(call, 0)
        self._largest[call] = max(size, known - (known >> 10))


class Room:
    """Starts things while there is room for what comes of them; the others wait, in order.

    Args:
        least: How many may go on however large they are.
        may: Whether anything may be started.
    """

    __slots__ = ("_going", "_least", "_may", "_used", "_waiting")

    def __init__(self, least: int, may: Callable[[], bool]) -> None:
        self._least = least
        self._may = may
        self._going = 0
        self._used = 0
        self._waiting: list[tuple[int, Callable[[], None]]] = []

    def begin(self, size: int, start: Callable[[], None]) -> None:
        """Start something at once, or as soon as there is room.

        Args:
            size: The bytes that it takes.
            start: Starts it.
        """
        self._waiting.append((size, start))
        self.go_on()

    def _fits(self, size: int) -> bool:
        return (self._going < self._least or self._used + size <= ROOM) and self._may()

    def end(self, size: int) -> None:
        """Take note that something has ended, or that its answer is known; start others."""
        self._going -= 1
        self._used -= size
        self.go_on()

    def go_on(self) -> None:
        """Start what fits by now."""
        while self._waiting and self._fits(self._waiting[0][0]):
            size, start = self._waiting.pop(0)
            self._going += 1
            self._used += size
            start()

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()


class Charge:
    """What one thing that goes on takes of a room; given back once.

    Args:
        room: The room.
        size: In bytes.
    """

    __slots__ = ("_room", "_size")

    def __init__(self, room: Room, size: int) -> None:
        self._room: Room | None = room
        self._size = size

    def begin(self, start: Callable[[], None]) -> None:
        """Start the thing when there is room."""
        if self._room is not None:
            self._room.begin(self._size, start)

    def free(self) -> None:
        """Give it back."""
        room, self._room = self._room, None
        if room is not None:
            room.end(self._size)
