"""Limits and switches of one app."""

from dataclasses import dataclass, fields
from math import isnan
from sys import maxsize
from typing import Literal

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Limits and switches of one :class:`~wirespeed.Live`; every default is safe in production.

    Names that end with ``_bytes`` are bytes; ``_timeout``, ``_interval`` and ``_pause`` are seconds.

    Raises:
        ValueError: A limit is not a number above zero, an ``int`` is greater than :data:`sys.maxsize`, bytes or a count
            are not an ``int``, ``lane`` is neither ``"auto"`` nor ``"portable"``, or ``pong_timeout`` is not less than
            ``ping_interval``.
    """

    max_message_bytes: int = 64 * KIB
    """Largest message that a client may send, in bytes; a larger one closes the connection with 1009."""

    max_publish_bytes: int = MIB
    """Largest body of a POST to ``/live/publish``, in bytes; a larger one is refused with 413."""

    max_inbox_messages: int = 256
    """Messages of one connection that may wait to be handled; one more gets an error frame and closes with 1008."""

    max_inbox_bytes: int = 256 * KIB
    """Bytes that the waiting messages of one connection may have together.

    Each part of a JSON array or object counts as 32 bytes more, because Python's values are larger than their text."""

    max_messages_per_second: float = 1000.0
    """Rate at which one client may send, with one second's worth at once; a client that exceeds it is closed with 1008.

    Under uvicorn, control frames and fragments have a separate limit of the same rate."""

    max_waiting_bytes: int = 32 * KIB
    """Bytes that may wait in this process for a client that does not read, and as many again in the kernel."""

    stall_timeout: float = 10.0
    """Seconds that a client may accept no data while data is waiting, before its connection is aborted.

    On the portable lane, also the seconds that the server may take to send one message."""

    max_threads: int = 40
    """Sync generators that may run at the same time, each in a worker thread."""

    max_kept_run_bytes: int = 256 * KIB
    """Bytes of its values that a run of a stream with ``resume=`` keeps for a client that reconnects.

    Half of it holds values that were sent already, the other half values that wait while the client is away; when that
    is full, the generator waits. Each value counts as 128 bytes more."""

    max_kept_bytes: int = 64 * MIB
    """Bytes of the values that all runs of streams with ``resume=`` keep together, and of the messages of those whose
    clients are away.

    Beyond it, runs whose clients are away wait, and others keep nothing that was sent already. When the messages take
    half of it, one more ends the run that has waited longest."""

    max_kept_runs: int = 1000
    """Runs of streams with ``resume=`` that may wait for their clients at the same time, with those that have ended.

    One more ends the one that has waited longest."""

    max_kept_runs_per_user: int = 16
    """Runs among them that may be those of one user, if the user is known."""

    max_keys: int = 100_000
    """Keys of feeds and topics that may be watched at the same time; watchers of one more are refused with 503.

    The same number of logs with values is retained. A value for a new key evicts the log that was unused longest."""

    max_log_bytes: int = 8 * MIB
    """Bytes that one log may hold, whatever its ``keep``."""

    max_logs_bytes: int = 256 * MIB
    """Bytes that all logs may hold together; beyond it, logs without watchers are evicted first.

    An eighth of it is reserved for bytes that are ready to be written to several watchers."""

    max_table_rows: int = 100_000
    """Rows that one table may have."""

    max_publish_backlog_bytes: int = 16 * MIB
    """Bytes of publications that may wait for the event loop and for the broker; one more raises ``BacklogFull``.

    Each publication counts its payload, its key and 512 bytes. The same applies to what threads ask of clients."""

    min_pause: float = 0.004
    """Seconds between two rounds of writing to watchers, at least; values that arrive in between share a write."""

    max_pause: float = 0.05
    """Seconds between two rounds of writing to watchers, at most, however long a round takes."""

    heartbeat_interval: float = 25.0
    """Seconds between the heartbeats of a response, which keep proxies from closing it. A response that has not started
    gets the first one after half of that at the earliest.

    In Server-Sent Events this is a comment, in JSON Lines a space; a stream of bytes gets no heartbeat."""

    first_value_timeout: float = 5.0
    """Seconds that a GET waits for a feed's first value, before it is answered with 503."""

    lease_timeout: float = 5.0
    """Seconds after which another process takes over the feeds of a process that has died or cannot reach the broker.

    It must be the same in all processes of an app."""

    max_subscriptions: int = 128
    """Channels that one multiplexed connection may be subscribed to; one more is refused with error 106."""

    max_subscription_bytes: int = 256 * KIB
    """Bytes that the filters, messages and tokens of all subscriptions of one multiplexed connection may have together.

    Those of subscriptions that are over, but whose streams have not ended yet, have the same bound. A subscription
    beyond it is refused with error 106. Each part of a filter counts as 256 bytes, and each of several values as 64, in
    addition to its text."""

    max_channel_bytes: int = 255
    """Bytes that a channel's name may have; a longer one is refused with error 107."""

    max_key_bytes: int = 4 * KIB
    """Bytes that a key may have in an address, outside the multiplexed connection; a longer one is refused with 414."""

    ping_interval: float = 25.0
    """Seconds between two pings on a multiplexed connection; clients must answer each."""

    pong_timeout: float = 8.0
    """Seconds that a client has to answer a ping, less than ``ping_interval``; then it is disconnected with 3012."""

    connect_timeout: float = 15.0
    """Seconds that a multiplexed connection has to send its connect command; then it is disconnected with 3502."""

    refresh_timeout: float = 25.0
    """Seconds after a token's expiry in which a multiplexed connection or subscription may still send a new token."""

    compression: bool = False
    """True if permessage-deflate stays on; it costs 34 KiB and some 10 µs per message on each connection."""

    lane: Literal["auto", "portable"] = "auto"
    """``"portable"`` sends everything through ASGI's ``send``, and so through every middleware that wraps it."""

    def __post_init__(self) -> None:
        if self.lane not in ("auto", "portable"):
            raise ValueError(f"Settings.lane must be 'auto' or 'portable', not {self.lane!r}")
        for field in fields(self):
            if field.type in (int, float):
                _check(field.name, getattr(self, field.name), is_whole=field.type is int)
        if self.pong_timeout >= self.ping_interval:
            raise ValueError("Settings.pong_timeout must be less than ping_interval")


def _check(name: str, value: object, *, is_whole: bool) -> None:
    kinds = (int,) if is_whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or (isinstance(value, float) and isnan(value)):
        raise ValueError(f"Settings.{name} must be {'an int' if is_whole else 'a number'}, not {value!r}")
    if value <= 0:
        raise ValueError(f"Settings.{name} must be above zero, not {value!r}")
    if isinstance(value, int) and value > maxsize:
        raise ValueError(f"Settings.{name} must be at most {maxsize}")
