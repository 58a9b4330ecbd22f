"""The JavaScript SDK in Node."""

import json
import queue
import subprocess
import threading
from pathlib import Path
from typing import IO, Self

from tests.waiting import PATIENCE

from .kit import Kit, Told

HERE = Path(__file__).parent


class NodeKit(Kit):
    """A Node process."""

    def __enter__(self) -> Self:
        if not (HERE / "node_modules").exists():
            raise FileNotFoundError("The SDK is not installed: run scripts/install-node tests/sdk")
        self._process = subprocess.Popen(
            ["node", str(HERE / "node.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._commands: IO[str] = self._process.stdin
        self._told: queue.Queue[Told | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._commands.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def _read(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                self._told.put(json.loads(line))
        self._told.put(None)

    def _send(self, message: Told) -> None:
        self._commands.write(json.dumps(message) + "\n")

    def _receive(self, timeout: float) -> list[Told]:
        try:
            told = [self._told.get(timeout=timeout)]
            while not self._told.empty():
                told.append(self._told.get())
        except queue.Empty:
            return []
        if None in told:
            raise EOFError("Node has ended; what it wrote to stderr says why")
        return [each for each in told if each is not None]
