"""Who takes part in the fan-out: our surfaces in the same app, and Centrifugo."""

from dataclasses import replace

from benchmarks.feeds import roster
from benchmarks.feeds.roster import Peer
from benchmarks.protocol.commands import CONNECT, SILENT, subscribe

# Protobuf: the length of each command; its number; the field of connect (4) or subscribe (5), and its length.
_CONNECT_BYTES = b"\x04\x08\x01\x22\x00"
_SUBSCRIBE_BYTES = b"\x09\x08\x02\x2a\x05\x0a\x03fan"
_SUBSCRIBED_BYTES = b"\x08\x02\x32"

RAW = replace(roster.OURS, name="Wirespeed, raw", frame=1)
JSON = Peer(
    "Wirespeed, JSON",
    roster.OURS.command,
    path=SILENT,
    frame=1,
    say=f"{CONNECT}\n{subscribe(2, 'fan')}",
    until='"id":2',
)
PROTOBUF = Peer(
    "Wirespeed, Protobuf",
    roster.OURS.command,
    path=f"{SILENT}&cf_protocol=protobuf",
    frame=1,
    say=(_CONNECT_BYTES + _SUBSCRIBE_BYTES).decode("latin-1"),
    until=_SUBSCRIBED_BYTES.decode("latin-1"),
    is_binary=True,
)
CENTRIFUGO = roster.CENTRIFUGO

CHANNELS = roster.uvicorn("benchmarks.peers.protocol_ours:app")
