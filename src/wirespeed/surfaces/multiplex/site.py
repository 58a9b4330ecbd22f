"""The site: what all multiplexed connections of one app share."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from ...centrifuge import codes
from ...centrifuge.codec import Codec, EmulationRequest
from ...centrifuge.json_codec import JSON
from ...centrifuge.messages import MessagePush, Subscribe
from ...centrifuge.protobuf import PROTOBUF
from ...definitions import Call, Stream, Watched
from ...frames import frame
from ...hub import Hub
from ...lanes.outlet import Framing
from ..authenticator import Authenticator
from .channels import ChannelName, Find, Found
from .refusal import CommandRefused
from .starter import Starter
from .wires import Deltas, Patches, PubWire, as_data_of

UNKNOWN = 16 * 1024
"""Bytes that the answer of a call counts for which has not answered yet."""

EMULATION = "emulation"
"""Word of the requests to other processes that carry commands for their connections."""


class Beside(NamedTuple):
    """The way in of a connection whose commands come beside its answers."""

    codec: Codec
    receive: Callable[[str | bytes], bool]
    """Takes a frame if there is room for it; returns True if there was."""


@dataclass(eq=False)
class Site:
    """The multiplexed surface of one app."""

    hub: Hub
    find: Find
    authenticator: Authenticator | None = None
    """Identifies clients; None if all are anonymous."""
    has_calls: Callable[[], bool] = lambda: True
    version: str = f"wirespeed {version('wirespeed')}"
    knows_of_others: bool = False
    """True once a request beside a response has named another process."""
    emulated: dict[str, Beside] = field(default_factory=dict)
    """Connections over HTTP, by the secret under which their commands come."""
    _starter: Starter | None = None
    _largest: dict[object, int] = field(default_factory=dict)
    """The size of the largest recent answer of each call."""
    _framings: dict[Codec, Framing] = field(default_factory=dict)
    _messages: dict[Codec, tuple[bytes, bytes]] = field(default_factory=dict)
    """The last message of the app in each format, behind its data: it may go to many clients."""
    _wires: WeakValueDictionary[tuple[Codec, str, Watched[Any, Any], bool, bool], PubWire] = field(
        default_factory=WeakValueDictionary
    )
    _patches: WeakValueDictionary[str, Patches] = field(default_factory=WeakValueDictionary)

    def __post_init__(self) -> None:
        self.hub.processes.answers[EMULATION] = self._receive_for_other

    @property
    def node(self) -> str:
        """Name of this process, so that requests beside a response can be brought to it."""
        return self.hub.process

    def receive(self, codec: Codec, emulated: EmulationRequest) -> int:
        """Receive commands beside a response; return the status of the answer."""
        connection = self.emulated.get(emulated.session)
        if connection is None or connection.codec is not codec:
            return 404
        return 204 if connection.receive(emulated.data) else 429

    def _receive_for_other(self, body: bytes) -> bytes:
        """Receive commands that another process has got; return the status."""
        codec = PROTOBUF if body[:1] == b"b" else JSON
        return b"%d" % self.receive(codec, codec.emulation(body[1:]))

    def starter(self, loop: asyncio.AbstractEventLoop) -> Starter:
        """Return the starter of works; all connections of a loop share it."""
        if self._starter is None or self._starter.loop is not loop:
            self._starter = Starter(loop)
        return self._starter

    def expected(self, call: object) -> int:
        """Return the expected size of the next answer of a call, in bytes."""
        return self._largest.get(call, UNKNOWN)

    def answered(self, call: object, size: int) -> None:
        """Take note of an answer. The largest one counts for the next thousand or so."""
        known = self._largest.get(call, 0)
        self._largest[call] = max(size, known - (known >> 10))

    def framing(self, codec: Codec) -> Framing:
        """Return what makes WebSocket frames of a format's messages; all connections share it."""
        if codec not in self._framings:
            self._framings[codec] = Framing(lambda messages: frame(codec.opcode, codec.frame(messages)))
        return self._framings[codec]

    def message(self, codec: Codec, data: bytes) -> bytes:
        """Return a message of the app with data in JSON; the same data becomes the same bytes."""
        last, message = self._messages.get(codec, (b"", b""))
        if last is not data:
            message = codec.push(MessagePush(data))
            self._messages[codec] = data, message
        return message

    def wire(
        self,
        codec: Codec,
        command: Subscribe,
        watched: Watched[Any, Any],
        name: str,
        *,
        batches: bool = False,
        grows: bool = False,
    ) -> PubWire:
        """Return the format for a subscription; equal ones share it, so that they also share bytes.

        Args:
            batches: Whether publications carry arrays, which are never patches, and which no filter goes through.
            grows: Whether the client applies the pieces of a growing text; a filter gets whole values.
        """
        as_data, channel = as_data_of(watched), command.channel
        if command.tf is not None:
            return PubWire(codec, channel, as_data, chosen=command.tf)
        if command.delta and watched.options.deltas and not batches and watched.retention.kind == "last":
            deltas = Deltas(self._patches.setdefault(name, Patches()))
            return PubWire(codec, channel, as_data, deltas=deltas)
        key = codec, channel, watched, batches, grows
        wire = self._wires.get(key)
        if wire is None:
            wire = self._wires[key] = PubWire(codec, channel, as_data, batches=batches, grows=grows)
        return wire

    def find_channel(self, name: str) -> tuple[Found, ChannelName] | None:
        """Return what the name of a channel leads to; None if that is not one of our definitions."""
        channel = ChannelName.parse(name)
        found = self.find(channel.path)
        if found is None or ("#" in name and not isinstance(found.definition, Stream)):
            return None  # what follows the # is not part of the key, so it must not look as if guards had seen it
        return found, channel

    def publishing(self, name: str) -> tuple[Found, ChannelName]:
        """Return the feed, topic or stream that the name of a channel leads to.

        Raises:
            CommandRefused: 102, it leads to none.
        """
        found = self.find_channel(name)
        if found is None or isinstance(found[0].definition, Call):
            raise CommandRefused(codes.UNKNOWN_CHANNEL)
        return found
