"""uWebSockets (C++) through the `socketify` package: `python -m benchmarks.peers.socketify_server PORT`.

Its library needs libuv from the system. It gathers up to 16 KiB of frames that one handler sends into one
write, and has no backpressure in this form; its limit is raised, because beyond it values are dropped.
"""

import json
import sys
from typing import Any

from socketify import App, AppListenOptions, CompressOptions, OpCode

from benchmarks.peers.shapes import COUNT


def send_text(ws: Any, message: str, opcode: Any) -> None:
    for number in range(1, COUNT + 1):
        ws.send(str(number), OpCode.TEXT)


def send_json(ws: Any, message: str, opcode: Any) -> None:
    hello = json.loads(message)
    for number in range(1, COUNT + 1):
        ws.send(json.dumps({"message": f"{hello['message']} - {number}", "number": number}), OpCode.TEXT)


def main(port: int) -> None:
    options = {"compression": CompressOptions.DISABLED, "max_backpressure": 1 << 24}
    app = App()
    app.ws("/text", options | {"message": send_text})
    app.ws("/dict", options | {"message": send_json})
    app.listen(AppListenOptions(port=port, host="127.0.0.1"), lambda config: None)
    app.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
