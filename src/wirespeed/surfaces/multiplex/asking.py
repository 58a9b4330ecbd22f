"""Questions about a channel: presence and history."""

from typing import Any

from ...centrifuge import codes
from ...centrifuge.messages import (
    History,
    HistoryResult,
    Presence,
    PresenceResult,
    PresenceStats,
    PresenceStatsResult,
    Result,
)
from ...definitions import Watched
from ...hub.members import Members
from ...log.base import Entry, Log
from .refusal import CommandRefused
from .wires import as_data_of, info_of, publication

MOST = 300
"""Most publications in one answer."""

MOST_BYTES = 64 * 1024
"""Bytes of publications after which an answer takes no further one."""

MOST_MEMBERS = 1000
"""Most clients in one answer; the statistics count all of them."""


def answer(
    command: Presence | PresenceStats | History, watched: Watched[Any, Any], log: Log, members: Members, name: str
) -> Result:
    """Return the answer to a question.

    Args:
        command: The question.
        watched: The feed or topic.
        log: The log of the key.
        members: The members of all keys.
        name: The name of the key.

    Raises:
        CommandRefused: 108, the feed or topic does not offer it; 112, the client has asked for another epoch.
    """
    if isinstance(command, History):
        return _history(command, watched, log)
    if not watched.options.presence:
        raise CommandRefused(codes.NOT_AVAILABLE)
    if isinstance(command, Presence):
        return PresenceResult({each.client: info_of(each) for each in members.senders(name, MOST_MEMBERS)})
    return PresenceStatsResult(*members.counts(name))


def _history(command: History, watched: Watched[Any, Any], log: Log) -> HistoryResult:
    if watched.retention.kind != "last":
        raise CommandRefused(codes.NOT_AVAILABLE)
    since = command.since
    if since is not None and since.epoch not in ("", log.epoch):
        raise CommandRefused(codes.UNRECOVERABLE)
    most = MOST if command.limit < 0 else min(command.limit, MOST)
    as_data = as_data_of(watched)
    entries = up_to(
        _slice(log, most, None if since is None else log.cursor_at(since.offset), reverse=command.reverse), MOST_BYTES
    )
    return HistoryResult(
        [publication(each.payload, each.position, as_data, each.marks) for each in entries], *log.position
    )


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
