"""The wire of the multiplexed connection: each entry of a log is a publication.

A wire is composed of independent parts: the format of its publications, and, if the client asked for them, a filter by
tags, deltas and batches; after a loss, a count that the next publication reports.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from sys import maxsize
from typing import Any

from ...centrifuge.codec import Codec
from ...centrifuge.fossil import delta
from ...centrifuge.messages import ClientInfo, FilterNode, Pub, PublicationPush
from ...centrifuge.tags import prepared
from ...codec import Encoder, plain_type
from ...definitions import Watched
from ...identity import Sender
from ...log.base import Entry, Marks, Wire
from ...log.position import Position
from ..wires import piece_of, quoted, removed_row, row_of

AsData = Callable[[bytes], bytes]
"""Turns a payload into the data of a publication."""

FILTERED_AT_ONCE = 32
"""Entries that a filter reads at once: each may take it 0.02 ms, and it may want none of them."""

PATCHED_AT_ONCE = 1
"""Entries of which deltas are made at once: each may take 4 ms, if it has nothing in common with the one before."""

_PATCHES = 8
"""Patches that are kept for one key. Most clients that use deltas have the same publication and get the same one."""

LOST = "lost"
"""The tag with which a publication reports the number of entries lost before it."""

_NO_TAGS: dict[str, str] = {}


def as_data_of(watched: Watched[Any, Any]) -> AsData:
    """Return the conversion for a feed or topic: text becomes a JSON string, every other payload stays as it is."""
    return quoted if plain_type(watched.value_type) is str else bytes


def text_as_data(encoder: Encoder[Any]) -> AsData:
    """Return the conversion for a stream; see :func:`as_data_of`."""
    return bytes if encoder.text is None else quoted


def _item(codec: Codec, data: bytes, offset: int) -> bytes:
    return codec.item(Pub(data, offset))


def array(values: Iterable[bytes]) -> bytes:
    return b"[%b]" % b",".join(values)


def publication(payload: bytes, position: Position, as_data: AsData, marks: Marks | None = None) -> Pub:
    """Return the publication of an entry, with its marks.

    The first one of an epoch names the epoch: a client that came to an empty log does not know it yet.
    """
    plain = Pub(as_data(payload), position.offset, position.epoch if position.offset == 1 else "")
    if marks is None:
        return plain
    return plain._replace(tags=marks.tags, info=None if marks.sender is None else info_of(marks.sender))


def info_of(sender: Sender) -> ClientInfo:
    """Return a client as the protocol describes it."""
    return ClientInfo(sender.user, sender.client, sender.info, sender.channel_info)


@dataclass(slots=True)
class Loss:
    """The number of entries that one client lost, which the first publication after the loss reports."""

    count: int
    _first: int = 0

    def is_reported_by(self, offset: int) -> bool:
        """Return whether the publication with an offset reports the loss. Ask for each that is read, in order."""
        # An entry that the client did not take is read again, and reports the loss again.
        self._first = self._first or offset
        return offset == self._first

    def more(self, count: int, cursor: int) -> int:
        """Return the number of entries to report if the client has lost more after a cursor.

        It includes the earlier loss if the client has not taken the publication that reports it.
        """
        return count if 0 < self._first <= cursor else count + self.count


class Patches:
    """The patches between recent publications of one key, which all clients that use deltas share."""

    __slots__ = ("__weakref__", "_patches")

    def __init__(self) -> None:
        self._patches: dict[tuple[bytes, bytes], bytes | None] = {}

    def patch(self, base: bytes, target: bytes) -> bytes | None:
        """Return the patch that turns the base into the target; None if it is not shorter than the target."""
        key = base, target
        if key not in self._patches:
            if len(self._patches) >= _PATCHES:
                del self._patches[next(iter(self._patches))]
            self._patches[key] = delta(base, target)
        return self._patches[key]


@dataclass(slots=True)
class Deltas:
    """The deltas of one client: a publication becomes a patch of the one before it.

    Logs may read entries again that a client could not take: a publication that does not follow the one that was read
    last goes whole.
    """

    patches: Patches
    """The patches of the key."""
    _offset: int = -1
    _base: bytes = b""

    def shortened(self, pub: Pub) -> Pub:
        """Return a publication as the client gets it: as a patch, if that is shorter."""
        patch = self.patches.patch(self._base, pub.data) if pub.offset == self._offset + 1 else None
        self._offset, self._base = pub.offset, pub.data
        pub = pub._replace(is_text=True)
        return pub if patch is None else pub._replace(data=patch, delta=True)


class PubWire(Wire):
    """The publications of one channel in one format.

    One object serves all clients that spell the channel alike and want neither a filter nor deltas, so that they share
    bytes. A client with a filter, with deltas or with a loss has a wire of its own.

    Args:
        channel: The channel as the clients spell it; None for publications in a reply, which do not name it.
        batches: True if the entries that are read at once are one publication of an array. It reports no tags and no
            senders.
        chosen: A filter, checked, that a publication's tags have to match.
    """

    __slots__ = (
        "__weakref__", "_as_data", "_channel", "_chosen", "_convert", "_is_item", "_is_plain", "_loss", "_push",
        "_reports", "batches", "codec", "deltas", "grows", "most",
    )  # fmt: skip

    def __init__(
        self,
        codec: Codec,
        channel: str | None,
        as_data: AsData,
        *,
        batches: bool = False,
        grows: bool = False,
        chosen: FilterNode | None = None,
        deltas: Deltas | None = None,
        loss: Loss | None = None,
    ) -> None:
        self.codec = codec
        self.batches = batches
        self.grows = grows
        self.deltas = deltas
        self.most = maxsize if chosen is None else FILTERED_AT_ONCE
        if deltas is not None:
            self.most = PATCHED_AT_ONCE
        self._channel = channel
        self._as_data = as_data
        self._convert = None if as_data is bytes else as_data  # saves a call for each value
        self._chosen = None if chosen is None else prepared(chosen)
        self._loss = loss
        self._reports = False
        self._push = partial(_item, codec) if channel is None else codec.publications(channel)
        # What value() has to do, so that it finds out with one look for each value.
        self._is_item = batches and loss is None
        self._is_plain = not batches and self.is_shared

    @property
    def is_shared(self) -> bool:
        """True if all clients with the same wishes get the same bytes."""
        return self._chosen is None and self.deltas is None and self._loss is None

    def value(self, payload: bytes, position: Position, marks: Marks | None) -> bytes:
        """Return one publication, or in batches an item of the array."""
        data = payload if self._convert is None else self._convert(payload)
        if self._is_item:
            return data
        # The first publication of an epoch names it, for which the short form has no place.
        if self._is_plain and marks is None and position.offset != 1:
            return self._push(data, position.offset)
        return self._special(data, position, marks)

    def row(self, row: bytes, payload: bytes, position: Position, marks: Marks | None) -> bytes:
        """Return a publication of ``{"key": ..., "value": ...}``, or in batches an item."""
        data = row_of(row, payload)
        if self._is_item:
            return data
        if self._is_plain and marks is None and position.offset != 1:
            return self._push(data, position.offset)
        return self._special(data, position, marks)

    def _special(self, data: bytes, position: Position, marks: Marks | None) -> bytes:
        if self.batches:
            self._reports = self._is_reported_by(position) or self._reports
            return data
        pub = self._pub(data, position, marks)
        return b"" if pub is None else self._encoded(pub)

    def _is_reported_by(self, position: Position) -> bool:
        return self._loss is not None and self._loss.is_reported_by(position.offset)

    def _pub(self, data: bytes, position: Position, marks: Marks | None) -> Pub | None:
        """Return a publication as this client gets it; None if its filter does not want it."""
        if self._chosen is not None and not self._chosen(_NO_TAGS if marks is None else marks.tags):
            return None
        pub = publication(data, position, bytes, marks)
        if self.deltas is not None:
            pub = self.deltas.shortened(pub)
        return self._with_loss(pub) if self._is_reported_by(position) else pub

    def _with_loss(self, pub: Pub) -> Pub:
        assert self._loss is not None
        return pub._replace(tags={**pub.tags, LOST: str(self._loss.count)})

    def _encoded(self, pub: Pub) -> bytes:
        codec, channel = self.codec, self._channel
        return codec.item(pub) if channel is None else codec.push(PublicationPush(channel, pub))

    def removed(self, row: bytes, position: Position) -> bytes:
        """Return a publication of ``{"key": ..., "removed": true}``, or in batches an item."""
        data = removed_row(row)
        return data if self.batches else self._push(data, position.offset)

    def piece(self, row: bytes | None, appended: bytes, position: Position) -> bytes:
        """Return a publication of ``{"append": text}``, in a table of ``{"key": ..., "append": {field: text}}``, or in
        batches an item."""
        data = piece_of(row, appended)
        return data if self.batches else self._push(data, position.offset)

    def join(self, parts: Sequence[bytes], position: Position) -> bytes:
        """Return the publications, or in batches the one of their array."""
        if not self.batches:
            return b"".join(parts)
        if not parts:
            return b""
        reports, self._reports = self._reports, False
        if not reports and position.offset != len(parts):
            return self._push(array(parts), position.offset)
        pub = Pub(array(parts), position.offset, position.epoch if position.offset == len(parts) else "")
        return self._encoded(self._with_loss(pub) if reports else pub)

    def reset(self) -> bytes:
        """Return a publication of ``{"reset": true}``: the rows that follow are the whole table."""
        return self._push(b'[{"reset":true}]' if self.batches else b'{"reset":true}', 0)

    def after(self, lost: int, cursor: int) -> "PubWire":
        """Return the wire that reports a loss with its next publication.

        A filter stays as it is: some of the lost entries were not wanted, so that their number would say nothing.
        Deltas start with a whole publication: the client has not taken the one that was read last.
        """
        if self._chosen is not None:
            return self
        loss = Loss(lost if self._loss is None else self._loss.more(lost, cursor))
        deltas = None if self.deltas is None else Deltas(self.deltas.patches)
        return PubWire(self.codec, self._channel, self._as_data, batches=self.batches, deltas=deltas, loss=loss)

    def in_reply(self) -> "PubWire":
        """Return the wire of a shared one for what a reply carries, which is one object for all channels of a kind."""
        return reply_wire(self.codec, self._as_data, batches=self.batches, grows=self.grows)

    def publications(self, entries: Iterable[Entry]) -> list[Pub]:
        """Return the publications of entries as this client gets them in a reply; later ones follow them."""
        pubs = (self._pub(self._as_data(each.payload), each.position, each.marks) for each in entries)
        return [pub for pub in pubs if pub is not None]


@cache
def reply_wire(codec: Codec, as_data: AsData, *, batches: bool, grows: bool = False) -> PubWire:
    """Return the wire for the publications that a client missed, which the reply to its subscribe carries."""
    return PubWire(codec, None, as_data, batches=batches, grows=grows)
