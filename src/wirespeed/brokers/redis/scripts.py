"""The scripts, which run at the server. Each is a file beside this module."""

import hashlib
from pathlib import Path

ALL: list["RedisScript"] = []
"""Every script; they are loaded when a connection opens."""


class RedisScript:
    """One script.

    Args:
        name: Name of its file.
        flags: Properties that the server has to know before it runs; ``allow-oom`` if it may run without free memory.
        has_log: True if it works on a log, with the functions of ``common.lua``.

    Attributes:
        source: Its text, behind the part that all scripts share.
        digest: The name by which the server knows it.
    """

    def __init__(self, name: str, flags: str = "", *, has_log: bool = True) -> None:
        here = Path(__file__).parent
        common = (here / "common.lua").read_text() if has_log else ""
        first = f"#!lua flags={flags}" if flags else "#!lua"
        self.source = f"{first}\n{common}{(here / name).with_suffix('.lua').read_text()}"
        self.digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        ALL.append(self)
