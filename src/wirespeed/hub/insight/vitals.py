"""The vital signs of this process: how long it runs, and what it takes of the machine."""

import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

with suppress(ImportError):  # Windows has no such module
    import resource

SHORTEST = 0.5
"""Seconds over which the use of the CPU is measured at least: several readers may ask at the same time."""

_STATM = Path("/proc/self/statm")


class Vitals:
    """Measures this process between two readings; nothing runs while no one reads.

    Attributes:
        host: Name of the machine.
    """

    def __init__(self) -> None:
        self.host = socket.gethostname()
        self._began = time.monotonic()
        self._last = (self._began, time.process_time())
        self._cores = 0.0

    def uptime(self) -> float:
        """Return the seconds since this was made."""
        return time.monotonic() - self._began

    def cpu(self) -> float:
        """Return the number of cores that this process has kept busy since the reading before."""
        now, used = time.monotonic(), time.process_time()
        seconds = now - self._last[0]
        if seconds >= SHORTEST:
            self._cores = (used - self._last[1]) / seconds
            self._last = (now, used)
        return self._cores

    def memory(self) -> int | None:
        """Return the bytes of memory that this process has, or the most that it had; None if unknown."""
        with suppress(OSError, ValueError, IndexError):
            return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        with suppress(NameError):
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return most if sys.platform == "darwin" else most * 1024
        return None
