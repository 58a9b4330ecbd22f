"""Wire formats of the multiplexed surface: each entry of a log is a publication push."""

from collections.abc import Callable
from functools import cache
from typing import Any

from pydantic_core import to_json

from ...centrifuge.codec import Codec
from ...centrifuge.fossil import delta
from ...centrifuge.messages import ClientInfo, FilterNode, Pub, PublicationPush
from ...centrifuge.tags import matches
from ...codec import Encoder, plain_type
from ...definitions import Watched
from ...identity import Sender
from ...log.base import Marks, Wire
from ...log.position import Position

AsData = Callable[[bytes], bytes]
"""Makes the data of a publication of a payload."""

_PATCHES = 8
"""Of one key; nearly all who want them have the same publication and get the same one."""

LOST = "lost"
"""The tag by which a publication tells how many before it were lost."""


def _quoted(payload: bytes) -> bytes:
    return to_json(payload.decode())


def _as_it_is(payload: bytes) -> bytes:
    return payload


def as_data_of(watched: Watched[Any, Any]) -> AsData:
    """How payloads of a feed or topic become data: text is a JSON string, everything else goes as it is."""
    return _quoted if plain_type(watched.type) is str else _as_it_is


def text_as_data(encoder: Encoder[Any]) -> AsData:
    """How payloads of a stream become data."""
    return _quoted if encoder.encode is str.encode else _as_it_is


def publication(payload: bytes, position: Position, as_data: AsData, marks: Marks | None = None) -> Pub:
    """One entry of a log, with all that it carries."""
    plain = Pub(as_data(payload), position.offset, position.epoch if position.offset == 1 else "")
    if marks is None:
        return plain
    return plain._replace(tags=marks.tags, info=None if marks.sender is None else info_of(marks.sender))


def info_of(sender: Sender) -> ClientInfo:
    """Return a client as the protocol describes it."""
    return ClientInfo(sender.user, sender.client, sender.info, sender.channel_info)


class PushWire(Wire):
    """Publication pushes of one channel, as one format has them; the same object for all who spell it so.

    Args:
        codec: The format.
        channel: As the clients spell it.
        as_data: Makes data of a payload.
    """

    __slots__ = ("__weakref__", "_as_data", "_channel", "_push", "codec")

    def __init__(self, codec: Codec, channel: str, as_data: AsData) -> None:
        self.codec = codec
        self._channel = channel
        self._as_data = as_data
        self._push = codec.publications(channel)

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        """One publication; the first of an epoch tells the epoch, for those who came to an empty log."""
        if position.offset == 1 or marks is not None:
            return self.told(publication(payload, position, self._as_data, marks))
        return self._push(self._as_data(payload), position.offset)

    def told(self, pub: Pub) -> bytes:
        """A publication push."""
        return self.codec.push(PublicationPush(self._channel, pub))

    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        """A publication of ``{"key": ..., "value": ...}``."""
        data = b'{"key":%b,"value":%b}' % (row, self._as_data(payload))
        if marks is None and position.offset > 1:
            return self._push(data, position.offset)
        return self.told(publication(payload, position, lambda _: data, marks))

    def removed(self, row: bytes, position: Position) -> bytes:
        """A publication of ``{"key": ..., "removed": true}``."""
        return self._push(b'{"key":%b,"removed":true}' % row, position.offset)

    def lost(self, count: int | None) -> bytes:
        """Nothing: the count is a tag of the next publication, see :class:`LossWire`."""
        return b""

    def reset(self) -> bytes:
        """A publication of ``{"reset": true}``: what comes next is the whole table."""
        return self._push(b'{"reset":true}', 0)

    def after(self, lost: int, cursor: int) -> "PushWire":
        """The same channel, for a client that has lost entries and was not told yet."""
        return LossWire(self.codec, self._channel, self._as_data, lost)


class ItemWire(Wire):
    """Publications as they are in a reply to a client that returns; the same object for all channels of one kind.

    Args:
        codec: The format.
        as_data: Makes data of a payload.
    """

    __slots__ = ("_as_data", "codec")

    def __init__(self, codec: Codec, as_data: AsData) -> None:
        self.codec = codec
        self._as_data = as_data

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        """One publication."""
        return self.codec.item(publication(payload, position, self._as_data, marks))

    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        """None: the rows of a table come as pushes."""
        return b""

    def removed(self, row: bytes, position: Position) -> bytes:
        """None, as with rows."""
        return b""


@cache
def item_wire(codec: Codec, as_data: AsData) -> ItemWire:
    """The one for a format and a kind of data."""
    return ItemWire(codec, as_data)


class Loss:
    """How many entries one client has lost before what it reads now; its first publication says so.

    Args:
        count: How many.
    """

    __slots__ = ("_count", "_first")

    def __init__(self, count: int) -> None:
        self._count = count
        self._first = 0

    def tags(self, offset: int) -> dict[str, str]:
        """What the publication with an offset says of it; asked for each that is read, in order."""
        self._first = self._first or offset
        return {LOST: str(self._count)} if self._count and offset == self._first else {}

    def more(self, count: int, cursor: int) -> int:
        """How many the client was not told of, if it has lost more after a cursor: it may not have got here."""
        return count if 0 < self._first <= cursor else count + self._count


class LossWire(PushWire):
    """Tells in its first publication how many were lost before; for one client.

    Args:
        codec: The format.
        channel: As the client spells it.
        as_data: Makes data of a payload.
        lost: How many.
    """

    __slots__ = ("_loss",)

    def __init__(self, codec: Codec, channel: str, as_data: AsData, lost: int) -> None:
        super().__init__(codec, channel, as_data)
        self._loss = Loss(lost)

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        tags = self._loss.tags(position.offset)
        if not tags:
            return super().value(payload, position, marks)
        pub = publication(payload, position, self._as_data, marks)
        return self.told(pub._replace(tags={**pub.tags, **tags}))

    def after(self, lost: int, cursor: int) -> PushWire:
        return super().after(self._loss.more(lost, cursor), cursor)


class FilterWire(PushWire):
    """Only the publications whose tags a client wants; for one client.

    Args:
        codec: The format.
        channel: As the client spells it.
        as_data: Makes data of a payload.
        node: The filter, checked.
    """

    __slots__ = ("_node",)

    most = 32  # a filter may take 0.1 ms for each, and want none

    def __init__(self, codec: Codec, channel: str, as_data: AsData, node: FilterNode) -> None:
        super().__init__(codec, channel, as_data)
        self._node = node

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        return super().value(payload, position, marks) if self.wants(marks) else b""

    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        return super().row(row, payload, position, marks) if self.wants(marks) else b""

    def wants(self, marks: Marks | None) -> bool:
        """Return whether the client gets a publication."""
        return matches(self._node, {} if marks is None else marks.tags)

    def after(self, lost: int, cursor: int) -> PushWire:
        """The filter stays; the number of what was lost is not told, as some of it was not wanted."""
        return self


class Deltas:
    """The patches of one channel's latest publications, made once for all who want them."""

    __slots__ = ("__weakref__", "_patches")

    def __init__(self) -> None:
        self._patches: dict[tuple[bytes, bytes], bytes | None] = {}

    def patch(self, base: bytes, target: bytes) -> bytes | None:
        """What makes the target of the base; None where that is not shorter."""
        key = base, target
        if key not in self._patches:
            if len(self._patches) >= _PATCHES:
                del self._patches[next(iter(self._patches))]
            self._patches[key] = delta(base, target)
        return self._patches[key]


class DeltaWire(PushWire):
    """Publications as patches of the one before; for one client.

    Logs may read entries again that a client could not take: whatever does not follow what was read last goes whole.

    Args:
        codec: The format.
        channel: As the client spells it.
        as_data: Makes data of a payload.
        deltas: The channel's patches.
        lost: How many entries the client has lost before.
    """

    __slots__ = ("_base", "_deltas", "_loss", "_offset")

    def __init__(self, codec: Codec, channel: str, as_data: AsData, deltas: Deltas, lost: int = 0) -> None:
        super().__init__(codec, channel, as_data)
        self._deltas = deltas
        self._loss = Loss(lost)
        self._offset = -1
        self._base = b""

    def value(self, payload: bytes, position: Position, marks: Marks | None = None) -> bytes:
        pub = self.shortened(publication(payload, position, self._as_data, marks))
        tags = self._loss.tags(position.offset)
        return self.told(pub._replace(tags={**pub.tags, **tags}) if tags else pub)

    def shortened(self, pub: Pub) -> Pub:
        """Return a publication as the client gets it: a delta of the one before, if that is shorter."""
        patch = self._deltas.patch(self._base, pub.data) if pub.offset == self._offset + 1 else None
        self._offset, self._base = pub.offset, pub.data
        pub = pub._replace(is_text=True)
        return pub if patch is None else pub._replace(data=patch, delta=True)

    def after(self, lost: int, cursor: int) -> PushWire:
        """A new one, whose first publication goes whole: what this one has read last was not taken."""
        return DeltaWire(self.codec, self._channel, self._as_data, self._deltas, self._loss.more(lost, cursor))
