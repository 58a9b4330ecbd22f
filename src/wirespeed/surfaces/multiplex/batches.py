"""Publications that carry arrays of values, for clients that pay for each publication more than for each value."""

from collections.abc import Iterable, Sequence
from functools import cache

from ...centrifuge.codec import Codec
from ...centrifuge.messages import Pub
from ...log.base import Marks
from ...log.position import Position
from .wires import AsData, ItemWire, Loss, PushWire


def array(values: Iterable[bytes]) -> bytes:
    """A JSON array."""
    return b"[%b]" % b",".join(values)


def _batch(values: Sequence[bytes], position: Position) -> Pub:
    """The first one of an epoch tells the epoch, for those who came to an empty log."""
    return Pub(array(values), position.offset, position.epoch if position.offset == len(values) else "")


class BatchWire(PushWire):
    """All that is read at once is one publication; tags, and who has published, are not told.

    Args:
        codec: The format.
        channel: As the clients spell it.
        as_data: Makes data of a payload.
    """

    __slots__ = ()

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        """A value."""
        return self._as_data(payload)

    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        """``{"key": ..., "value": ...}``."""
        return b'{"key":%b,"value":%b}' % (row, self._as_data(payload))

    def removed(self, row: bytes, position: Position) -> bytes:
        """``{"key": ..., "removed": true}``."""
        return b'{"key":%b,"removed":true}' % row

    def join(self, parts: Sequence[bytes], position: Position) -> bytes:
        """A publication of an array."""
        if position.offset == len(parts):
            return self.told(_batch(parts, position))
        return self._push(array(parts), position.offset) if parts else b""

    def reset(self) -> bytes:
        return self._push(b'[{"reset":true}]', 0)

    def after(self, lost: int, cursor: int) -> PushWire:
        return BatchLossWire(self.codec, self._channel, self._as_data, lost)


class BatchLossWire(BatchWire):
    """Tells with its first batch how many values were lost before; for one client.

    Args:
        codec: The format.
        channel: As the client spells it.
        as_data: Makes data of a payload.
        lost: How many.
    """

    __slots__ = ("_loss", "_tags")

    def __init__(self, codec: Codec, channel: str, as_data: AsData, lost: int) -> None:
        super().__init__(codec, channel, as_data)
        self._loss = Loss(lost)
        self._tags: dict[str, str] = {}

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        self._tags = self._loss.tags(position.offset) or self._tags
        return super().value(payload, position)

    def join(self, parts: Sequence[bytes], position: Position) -> bytes:
        tags, self._tags = self._tags, {}
        return self.told(_batch(parts, position)._replace(tags=tags)) if tags else super().join(parts, position)

    def after(self, lost: int, cursor: int) -> PushWire:
        return super().after(self._loss.more(lost, cursor), cursor)


class BatchItemWire(ItemWire):
    """What a returning client has missed, as one publication of the reply.

    Args:
        codec: The format.
        as_data: Makes data of a payload.
    """

    __slots__ = ()

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        return self._as_data(payload)

    def join(self, parts: Sequence[bytes], position: Position) -> bytes:
        return self.codec.item(_batch(parts, position)) if parts else b""


@cache
def batch_item_wire(codec: Codec, as_data: AsData) -> BatchItemWire:
    """The one for a format and a kind of data."""
    return BatchItemWire(codec, as_data)
