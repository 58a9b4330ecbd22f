"""Records as the bytes that Redis stores, and the replies of the scripts as values."""

import json
import secrets
from collections.abc import Iterator, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any
from urllib.parse import quote

from ...errors import Fenced, LogFull, NoSuchRow, TopicComplete
from ...log.position import Position, Unchanged
from ...log.record import Record, Retention, standing, whole
from ..broker import Post, Range, Stored
from ..repair import Message

_LENGTHS = Struct(">iiii")
"""Lengths of the payload, the row, the tags and the sender; -1 for a payload or a row that is missing. The length of a
payload that is a piece of a growing text is written as -2 and less."""

NOTICE = b"\n"
"""Beginning of a notice on a log's channel; messages begin with an epoch."""

ATTACHED = 90.0
"""Seconds that a log is retained at least after a process with the log attached has last read it."""

Arguments = list[bytes | str | int]


_PARTS = ("meta", "lease", "stream", "rows", "order", "gone")
_NUMBER_OF_PARTS = {"latest": 2, "last": 3, "table": 6}


@lru_cache(maxsize=10_000)
def keys_of(namespace: str, name: str) -> tuple[str, ...]:
    """Return the keys of a log, in the order of the scripts. They share a hash tag, which ends at the first brace."""
    base = f"{namespace}:{{{quote(name, safe='/?=&,:')}}}:"
    return tuple(base + part for part in _PARTS)


def channel_of(namespace: str, name: str, database: int) -> str:
    """Return the channel of a log. Messages are not separated by database, but logs are."""
    return f"{keys_of(namespace, name)[0]}:{database}"


def common_of(namespace: str, name: str, retention: Retention, lifetime: str | None = None) -> Arguments:
    """Return the arguments that all scripts share: the number of keys, the keys, kind, a new epoch, and lifetime."""
    number = _NUMBER_OF_PARTS[retention.kind]
    keys = keys_of(namespace, name)[:number]
    return [
        number,
        *keys,
        retention.kind,
        secrets.token_hex(6),
        lifetime_of(retention) if lifetime is None else lifetime,
    ]


def position_of(position: Position | None, tag: bytes = b"") -> Arguments:
    """Return the arguments of a position; offset 0 if there is none."""
    epoch, offset = position or ("", 0)
    return [epoch, offset, tag]


def tag_of(post: Post) -> bytes:
    """Return the tag of a post: no other has the same."""
    return f"{post.writer}.{post.batch}".encode()


def lifetime_of(retention: Retention) -> str:
    """Return the milliseconds that a log is retained; empty if it is retained without end."""
    return milliseconds_of(max(retention.retain, ATTACHED))


def milliseconds_of(seconds: float) -> str:
    """Return seconds as milliseconds; empty if there is no end to them."""
    return "" if seconds == float("inf") else str(round(1000 * seconds))


def packed(record: Record) -> bytes:
    """Return a record as bytes. The bytes of several records are put one after the other."""
    payload, row, tags, sender, grows = record
    text = json.dumps(dict(tags), separators=(",", ":")).encode() if tags else b""
    length = -1 if payload is None else -2 - len(payload) if grows else len(payload)
    lengths = _LENGTHS.pack(length, -1 if row is None else len(row), len(text), len(sender))
    return b"".join((lengths, payload or b"", row or b"", text, sender))


def unpacked(data: bytes, at: int = 0) -> Iterator[Record]:
    """Yield the records that bytes contain, from an index on.

    Raises:
        struct.error: The bytes are not records.
    """
    while at < len(data):
        payload, row, tags, sender = _LENGTHS.unpack_from(data, at)
        ends = at + _LENGTHS.size
        if payload >= 0 > row and not tags and not sender:  # most records, at half the cost
            at = ends + payload
            yield Record(data[ends:at])
            continue
        parts = []
        if grows := payload < -1:
            payload = -2 - payload
        for length in (payload, row, tags, sender):
            parts.append(None if length < 0 else data[ends : ends + length])
            ends += max(length, 0)
        at = ends
        yield Record(parts[0], parts[1], json.loads(parts[2]) if parts[2] else {}, parts[3] or b"", grows)


def body_of(post: Post) -> Arguments:
    """Return the arguments of a post that depend on its kind."""
    records, retention = post.records, post.retention
    if retention.kind == "table":
        body: Arguments = [retention.rows, retention.size]
        for record in records:
            body += [record.row or b"", "1" if record.payload is None else "+" if record.grows else "", packed(record)]
        return body
    if retention.kind == "latest":
        records = standing(records)
    size = sum(len(record.payload or b"") for record in records)
    age = "" if retention.seconds is None else str(round(1000 * retention.seconds))
    grows = "+" if records and records[0].grows else ""
    return [len(post.records), size, b"".join(map(packed, records)), retention.entries, retention.size, age, grows]


def results_of(post: Post, reply: bytes) -> list[Stored]:
    """Return the results of a post."""
    if reply == b"fenced":
        return refused(post, Fenced(post.name))
    if reply == b"complete":
        return refused(post, TopicComplete(post.name))
    epoch, previous, count, *codes = reply.decode().split()
    if post.retention.kind != "table":
        if count == "0" and post.records:
            return [LogFull(0, post.retention.size)] * len(post.records)
        return [Position(epoch, int(previous) + number) for number in range(1, int(count) + 1)]
    return [_result(post.retention, epoch, code, record) for code, record in zip(codes, post.records, strict=True)]


def refused(post: Post, error: Exception) -> list[Stored]:
    """Return the results of a post that was not stored: one, if it has no records."""
    return [error] * max(len(post.records), 1)


def _result(retention: Retention, epoch: str, text: str, record: Record) -> Stored:
    if text == "-":
        return NoSuchRow(json.loads(record.row or b"null"))
    if (code := int(text)) == 0:
        return LogFull(retention.rows, retention.size)
    return Position(epoch, code) if code > 0 else Unchanged(epoch, -1 - code)


def message_of(data: bytes) -> Message:
    """Return the message that a script has announced.

    Raises:
        ValueError: The data is not a message.
        struct.error: The records are damaged.
    """
    head, _, body = data.partition(b"\n")
    epoch, previous, tag = head.split(b" ")
    first = int(previous) + 1
    return Message(epoch.decode(), int(previous), list(enumerate(unpacked(body), first)), tag)


def range_of(reply: Sequence[Any], retention: Retention, since: int, limit: int | None) -> Range:
    """Return the range of a reply.

    A log of the last records stores whole batches, so what exceeds its bounds is cut off here.
    """
    epoch, head, tag, floor, is_ended, now, follows, is_loaded, *rest = reply
    after = since if follows else 0
    entries: list[tuple[int, Record]] = []
    for offset, second, third in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        if retention.kind == "table":
            entries.append((offset, Record(None, second) if third is None else whole(unpacked(third))))
            continue
        records = list(unpacked(third))
        if retention.seconds is not None and now - second > 1000 * retention.seconds:
            floor = max(floor, offset)
            continue
        entries += enumerate(records, offset - len(records) + 1)
    if retention.kind == "last":
        floor = max(floor, head - retention.entries)
        if follows and since < floor:
            follows, after = False, 0
        after = max(after, floor)
    if retention.kind == "latest" and entries:
        entries = [(entries[-1][0], whole([record for _, record in entries]))]
    kept = [each for each in entries if each[0] > after]
    if limit is not None:
        kept = kept[len(kept) - min(limit, len(kept)) :]
    return Range(Position(epoch.decode(), head), bool(follows), kept, bool(is_ended), tag, bool(is_loaded))
