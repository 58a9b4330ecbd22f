"""The `picows` package (Cython) on uvloop, as in its own examples: `python -m benchmarks.peers.picows_server PORT`.

It has no backpressure in this form: a run is written into the transport's buffer in one go.
"""
# The package is optional: where it is not installed, its base class has no type.
# mypy: disallow-subclassing-any=False

import json
import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.peers.shapes import COUNT


class TextListener(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            return
        for number in range(1, COUNT + 1):
            transport.send(WSMsgType.TEXT, str(number).encode())


class JsonListener(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            return
        hello = json.loads(frame.get_payload_as_utf8_text())
        for number in range(1, COUNT + 1):
            value = {"message": f"{hello['message']} - {number}", "number": number}
            transport.send(WSMsgType.TEXT, json.dumps(value).encode())


def listener(request: WSUpgradeRequest) -> WSListener:
    return TextListener() if request.path == b"/text" else JsonListener()


async def main(port: int) -> None:
    server = await ws_create_server(listener, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
