"""Centrifugo 6: `python -m benchmarks.peers.centrifugo PORT` becomes the binary that CENTRIFUGO names.

Anonymous clients may subscribe to a channel without history; everything else is as by default.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

KEY = "benchmark"


def configuration(port: int) -> dict[str, object]:
    return {
        "http_server": {"address": "127.0.0.1", "port": port},
        "http_api": {"key": KEY},
        "client": {"insecure": True, "ping_interval": "1000s", "pong_timeout": "100s"},
        "channel": {"without_namespace": {"allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True}},
        "log": {"level": "error"},
    }


def main(port: int) -> None:
    binary = os.environ["CENTRIFUGO"]
    file = Path(tempfile.gettempdir()) / "wirespeed-benchmark-centrifugo.json"
    file.write_text(json.dumps(configuration(port)))
    os.execv(binary, [binary, "--config", str(file)])


if __name__ == "__main__":
    main(int(sys.argv[1]))
