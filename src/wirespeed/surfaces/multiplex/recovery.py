"""Recovery: what the reply to a subscribe says about the past, and carries of it."""

from collections.abc import Sequence
from typing import Any

from ...centrifuge import codes
from ...centrifuge.messages import Pub, Subscribe, SubscribeResult
from ...centrifuge.peer import UNRECOVERABLE_FLAG
from ...definitions import Watched
from ...hub.engine import Ticket
from .asking import MOST_BYTES, up_to
from .refusal import CommandRefused
from .wires import PubWire

MOST_PUBLICATIONS = 300
"""Publications in a reply whose publications are made for its client alone; the rest follows as pushes."""


def recovered(
    watched: Watched[Any, Any], ticket: Ticket, command: Subscribe, wire: PubWire, *, has_room: bool
) -> tuple[SubscribeResult, Ticket]:
    """Return the reply to a subscribe, and the place at which its watcher begins.

    Args:
        watched: The feed or topic.
        ticket: The place that the engine has reserved.
        command: The subscribe.
        wire: The format for its client.
        has_room: True if the reply has room for publications; if not, they follow as pushes.

    Raises:
        CommandRefused: 112, the client's position is lost, and the client has asked for this error.
    """
    log, kind = ticket.log, watched.retention.kind
    is_stream = kind == "last"
    result = SubscribeResult(
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
    missed, cursor = _missed(ticket, wire) if has_room else ((), ticket.cursor)
    result = result._replace(publications=missed, recovered=is_stream or log.head > 0, offset=command.offset)
    return result, ticket._replace(cursor=cursor)


def bytes_of(publications: Sequence[Pub] | bytes) -> int:
    """Return the number of bytes of the publications in a reply."""
    return len(publications) if isinstance(publications, bytes) else sum(len(each.data) for each in publications)


def _missed(ticket: Ticket, wire: PubWire) -> tuple[Sequence[Pub] | bytes, int]:
    """Return the publications that a client has missed, as many as fit into a reply, and the cursor behind them."""
    if wire.is_shared:  # the very same bytes for all clients that return to this cursor
        chunk = ticket.log.read(ticket.cursor, wire.in_reply())
        return chunk.data, chunk.cursor
    entries = up_to(ticket.log.since(ticket.cursor, MOST_PUBLICATIONS), MOST_BYTES)
    return wire.publications(entries), ticket.log.cursor_at(entries[-1].position.offset) if entries else ticket.cursor
