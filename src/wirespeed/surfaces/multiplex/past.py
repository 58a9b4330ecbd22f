"""The past of a channel: history, presence, and what the reply to a subscribe recovers."""

from collections.abc import Iterable, Sequence
from typing import Any

from ...centrifuge import codes
from ...centrifuge import messages as m
from ...centrifuge.codec import Codec
from ...centrifuge.peer import UNRECOVERABLE_FLAG
from ...centrifuge.tags import nodes_in
from ...definitions import Watched
from ...hub.attendance import SharedMembers
from ...hub.live_key import Ticket
from ...hub.members import Members
from ...hub.shared import answering
from ...identity import Sender
from ...log.base import Entry, Log
from ...log.table import entry_key
from ..wires import row_of
from .payloads import check_format
from .refusal import CommandRefused, refusing
from .wires import PubWire, as_data_of, info_of, publication

MOST = 300
"""Most publications in one answer."""

MOST_BYTES = 64 * 1024
"""Bytes of publications after which an answer takes no further one."""

MOST_PUBLICATIONS = 300
"""Publications in a reply whose publications are made for its client alone; the rest follows as pushes."""

MOST_COMPARED = 3000
"""Nodes of a filter that are read for a reply, together for all publications: about a millisecond."""

MOST_PATCHED = 8 * 1024
"""Bytes of publications of which deltas are made for a reply: about 3 ms, if they have nothing in common."""

MOST_MEMBERS = 1000
"""Most clients in one answer; the statistics count all of them."""


def answer(
    command: m.Presence | m.PresenceStats | m.History,
    watched: Watched[Any, Any],
    log: Log,
    members: Members,
    name: str,
    codec: Codec,
) -> m.Result | bytes:
    """Return the answer to a question, or its body if it is shared.

    Raises:
        CommandRefused: 108, the feed or topic, or the client's format, does not offer it; 112, the client has asked for
            another epoch.
    """
    if isinstance(command, m.History):
        check_format(codec, is_binary=watched.is_binary)
        return _history(command, watched, log)
    if not watched.options.presence:
        raise CommandRefused(codes.NOT_AVAILABLE)
    if isinstance(command, m.Presence):
        return members.answer(name, codec, lambda: codec.body(_presence(members.senders(name, MOST_MEMBERS))))
    return m.PresenceStatsResult(*members.counts(name))


async def present(
    command: m.Presence | m.PresenceStats, watched: Watched[Any, Any], attendance: SharedMembers, name: str
) -> m.Result:
    """Return who is present in all processes.

    Raises:
        CommandRefused: 108, the feed or topic does not offer it; 503, the broker cannot be reached.
    """
    if not watched.options.presence:
        raise CommandRefused(codes.NOT_AVAILABLE)
    with refusing():
        async with answering():
            clients, users, some = await attendance.read(name, MOST_MEMBERS if isinstance(command, m.Presence) else 0)
    if isinstance(command, m.Presence):
        return _presence(some)
    return m.PresenceStatsResult(clients, users)


def _presence(some: Iterable[Sender]) -> m.PresenceResult:
    return m.PresenceResult({each.client: info_of(each) for each in some})


def _history(command: m.History, watched: Watched[Any, Any], log: Log) -> m.HistoryResult:
    since = command.since
    if watched.retention.kind == "table" and since is None:
        return _rows(command, log)
    if watched.retention.kind != "last" or watched.options.history is not True:
        raise CommandRefused(codes.NOT_AVAILABLE)
    if since is not None and since.epoch not in ("", log.epoch):
        raise CommandRefused(codes.UNRECOVERABLE)
    most = MOST if command.limit < 0 else min(command.limit, MOST)
    as_data = as_data_of(watched)
    entries = up_to(
        _slice(log, most, None if since is None else log.cursor_at(since.offset), reverse=command.reverse), MOST_BYTES
    )
    return m.HistoryResult(
        [publication(each.payload, each.position, as_data, each.marks) for each in entries], *log.position
    )


def _rows(command: m.History, log: Log) -> m.HistoryResult:
    """Return the rows of a table, in its order."""
    most = MOST if command.limit < 0 else min(command.limit, MOST)
    rows = up_to(log.newest(most, from_end=command.reverse), MOST_BYTES)
    shown = [publication(row_of(entry_key(each), each.payload), each.position, bytes, each.marks) for each in rows]
    return m.HistoryResult(shown, *log.position)


def up_to(entries: list[Entry], size: int) -> list[Entry]:
    """Return the first entries, up to the one with which they have a size in bytes."""
    for number, entry in enumerate(entries, 1):
        size -= len(entry.payload)
        if size <= 0:
            return entries[:number]
    return entries


def _slice(log: Log, most: int, since: int | None, *, reverse: bool) -> list[Entry]:
    if most == 0:
        return []
    if not reverse:
        return log.since(max(since or 0, 0), most)
    last = log.head if since is None else min(since - 1, log.head)
    first = max(last - most, 0)
    entries = log.since(first, last - first)
    return [each for each in reversed(entries) if log.cursor_at(each.position.offset) <= last][:most]


def recovered(
    watched: Watched[Any, Any], ticket: Ticket, command: m.Subscribe, wire: PubWire, *, has_room: bool
) -> tuple[m.SubscribeResult, Ticket]:
    """Return the reply to a subscribe, and the place at which its watcher begins.

    Args:
        has_room: True if the reply has room for publications; if not, they follow as pushes.

    Raises:
        CommandRefused: 112, the client's position is lost, and the client has asked for this error.
    """
    log, kind = ticket.log, watched.retention.kind
    is_stream = kind == "last"
    result = m.SubscribeResult(
        recoverable=True,
        positioned=is_stream,
        epoch=log.epoch,
        offset=log.position_at(ticket.cursor).offset,
        was_recovering=command.recover,
        delta=wire.deltas is not None,
    )
    if not command.recover:
        return result, ticket
    if kind == "table":  # its rows follow as pushes
        return result._replace(recovered=not ticket.is_lost), ticket
    if ticket.is_lost:
        if command.flag & UNRECOVERABLE_FLAG:
            raise CommandRefused(codes.UNRECOVERABLE)
        return result._replace(offset=log.position.offset), ticket._replace(cursor=log.head, is_lost=False)
    missed, cursor = _missed(ticket, wire, command.tf) if has_room else ((), ticket.cursor)
    result = result._replace(publications=missed, recovered=is_stream or log.head > 0, offset=command.offset)
    return result, ticket._replace(cursor=cursor)


def bytes_of(publications: Sequence[m.Pub] | bytes) -> int:
    return len(publications) if isinstance(publications, bytes) else sum(len(each.data) for each in publications)


def _missed(ticket: Ticket, wire: PubWire, chosen: m.FilterNode | None) -> tuple[Sequence[m.Pub] | bytes, int]:
    """Return the publications that a client has missed, as many as fit into a reply, and the cursor behind them."""
    if wire.is_shared:  # the very same bytes for all clients that return to this cursor
        chunk = ticket.log.read(ticket.cursor, wire.in_reply())
        return chunk.data, chunk.cursor
    most = MOST_PUBLICATIONS if chosen is None else min(MOST_COMPARED // nodes_in(chosen), MOST_PUBLICATIONS)
    size = MOST_BYTES if wire.deltas is None else MOST_PATCHED
    entries = up_to(ticket.log.since(ticket.cursor, most), size)
    return wire.publications(entries), ticket.log.cursor_at(entries[-1].position.offset) if entries else ticket.cursor
