"""Numbering: the entries of a log have local numbers, for cursors, and offsets, which the broker has given to them."""

from bisect import bisect_right


class Numbering:
    """Offsets by local numbers, and the other way round. Both grow; numbers have no holes, but offsets may have some.

    Only the first entry of each run without holes is stored. Before the first run, it is assumed to have no holes.
    """

    __slots__ = ("_numbers", "_offsets")

    def __init__(self, number: int, offset: int) -> None:
        self._numbers = [number]
        self._offsets = [offset]

    def note(self, number: int, offset: int) -> None:
        """Note the offset of the newest entry; the entries after it continue from there."""
        if self._numbers[-1] == number:
            self._offsets[-1] = offset
        elif self.offset(number) != offset:
            self._numbers.append(number)
            self._offsets.append(offset)

    def continues(self, number: int, offset: int) -> bool:
        """Return True if an entry belongs to the newest run and is not its first; nothing has to be noted then."""
        number -= self._numbers[-1]
        return number > 0 and self._offsets[-1] + number == offset

    def offset(self, number: int) -> int:
        at = max(bisect_right(self._numbers, number) - 1, 0)
        return self._offsets[at] + number - self._numbers[at]

    def number(self, offset: int) -> int:
        """Return the number of the entry with an offset, or of the one before if the offset is in a hole."""
        at = max(bisect_right(self._offsets, offset) - 1, 0)
        number = self._numbers[at] + offset - self._offsets[at]
        return number if at + 1 == len(self._numbers) else min(number, self._numbers[at + 1] - 1)

    def forget(self, number: int) -> None:
        """Forget the runs that end before an entry."""
        at = bisect_right(self._numbers, number) - 1
        if at > 0:
            del self._numbers[:at], self._offsets[:at]
