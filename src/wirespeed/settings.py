"""The limits that one app keeps, in one object."""

from dataclasses import dataclass, fields
from typing import Literal

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The limits and switches of one :class:`~wirespeed.Live`; every default is safe to serve with.

    Raises:
        ValueError: A limit is not above zero, ``lane`` is neither ``"auto"`` nor ``"portable"``, or ``pong_timeout`` is
            not less than ``ping_interval``.
    """

    max_message_size: int = 64 * KIB
    """The largest message a client may send, in bytes; a larger one closes the connection with 1009."""

    inbox_messages: int = 256
    """How many messages of one connection may wait; one more gets an error frame and closes with 1008."""

    inbox_size: int = 256 * KIB
    """How many bytes the waiting messages of one connection may have together.

    Each part of an array or object in JSON counts 32 bytes more, since Python's values are larger."""

    messages_per_second: float = 1000.0
    """The rate at which one client may send, with one second's worth at once; beyond it, 1008.

    Under uvicorn, control frames and fragments have the same rate, apart."""

    write_buffer: int = 32 * KIB
    """How many bytes may wait in this process for a client that does not read, and as many in the kernel."""

    stall_timeout: float = 10.0
    """Seconds for which a client may take none of the bytes that wait for it, before it is cut off.

    On the portable lane, also the seconds that one message may take."""

    threads: int = 40
    """How many sync generators may run at the same time, each in a worker thread."""

    keys: int = 100_000
    """How many keys of feeds and topics may be watched at the same time; of one more, watchers get 503.

    As many logs with values are retained. The one unused for longest makes room when a value of a new key comes."""

    log_size: int = 8 * MIB
    """How many bytes one log may hold, whatever its ``keep``."""

    logs_size: int = 256 * MIB
    """How many bytes all logs may hold together; beyond it, those that are not watched go first.

    An eighth of it is for what is ready to be written to several watchers."""

    table_rows: int = 100_000
    """How many rows one table may have."""

    publish_backlog_bytes: int = 16 * MIB
    """How many bytes of publications may wait for the event loop, and for the broker; one more raises BacklogFull.

    Each counts its payload, its key and 512 bytes."""

    shortest_pause: float = 0.004
    """Seconds between two rounds of writing to watchers, at least: what comes within them is written together."""

    longest_pause: float = 0.05
    """Seconds between two rounds of writing to watchers, at most, however long one takes."""

    heartbeat: float = 25.0
    """Seconds after which a quiet response gets a byte that means nothing, so that proxies keep it.

    In Server-Sent Events this is a comment, in JSON Lines a space; streams of bytes have nothing of the kind."""

    first_value_timeout: float = 5.0
    """Seconds for which a GET waits for a feed's first value, before it is answered with 503."""

    subscriptions: int = 128
    """How many channels one multiplexed connection may be subscribed to; one more is refused with 106."""

    subscriptions_size: int = 256 * KIB
    """How many bytes the filters and messages that one multiplexed connection subscribes with may have together; a
    subscription beyond it is refused with 106. Each part of a filter counts 256 bytes, and each of several values 64,
    beside its text."""

    channel_size: int = 255
    """How many bytes the name of a channel may have; a longer one is refused with 107."""

    ping_interval: float = 25.0
    """Seconds between two pings of the multiplexed surface, which its clients have to answer."""

    pong_timeout: float = 8.0
    """Seconds for that answer, less than ``ping_interval``; without it the connection is closed with 3012."""

    connect_timeout: float = 15.0
    """Seconds until the connect command of a multiplexed connection; without it, 3502."""

    refresh_timeout: float = 25.0
    """Seconds after its expiry for which a multiplexed connection or subscription may still bring a new token."""

    compression: bool = False
    """Whether permessage-deflate is left on. It costs 34 KiB and some 10 µs per message on each connection."""

    lane: Literal["auto", "portable"] = "auto"
    """``"portable"`` sends everything through ASGI's ``send``, and so through every middleware that wraps it."""

    def __post_init__(self) -> None:
        if self.lane not in ("auto", "portable"):
            raise ValueError(f"Settings.lane is 'auto' or 'portable', not {self.lane!r}")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value <= 0:
                raise ValueError(f"Settings.{field.name} has to be above zero, not {value!r}")
        if self.pong_timeout >= self.ping_interval:
            raise ValueError("Settings.pong_timeout has to be less than ping_interval")
