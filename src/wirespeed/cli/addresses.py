"""Contexts: names for the addresses and tokens of servers, in one file that only the user can read."""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Self

import typer

from .failures import CommandError, ExitCode, usage

if sys.platform != "win32":
    import fcntl

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class SavedServer:
    """The address of a server, and the token for it."""

    url: str
    token: str = ""
    prefix: str = "/live"

    @property
    def masked(self) -> str:
        """The token, without what makes it one."""
        if not self.token:
            return ""
        return f"{self.token[:4]}…{self.token[-2:]}" if len(self.token) >= 24 else "…"


@dataclass(slots=True)
class Addresses:
    """All contexts of a user, and the current one."""

    servers: dict[str, SavedServer] = field(default_factory=dict)
    current: str = ""

    @classmethod
    def load(cls) -> Self:
        """Return what is stored; nothing if there is no file yet.

        Raises:
            CommandError: The file cannot be read.
        """
        try:
            stored = json.loads(path().read_text("utf-8"))
            servers = {name: SavedServer(**saved) for name, saved in stored["contexts"].items()}
            current = stored.get("current", "")
            if not all(isinstance(each, str) for saved in servers.values() for each in astuple(saved)):
                raise TypeError("an address or a token is not a text")
            return cls(servers, current if current in servers else "")
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CommandError(
                f"The contexts in {path()} cannot be read: {error}.", "Repair or remove the file."
            ) from None

    @classmethod
    @contextmanager
    def changed(cls) -> Iterator[Self]:
        """Load what is stored, and save it with what the block changes. Other processes wait meanwhile.

        Raises:
            CommandError: The file cannot be read or written.
        """
        try:
            path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path().with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise CommandError(f"The contexts in {path()} cannot be written: {error.strerror}.") from None
        try:
            if sys.platform != "win32":
                fcntl.flock(lock, fcntl.LOCK_EX)
            addresses = cls.load()
            yield addresses
            addresses._save()
        finally:
            os.close(lock)

    def get(self, name: str) -> SavedServer:
        """Return a context.

        Raises:
            CommandError: There is none of this name.
        """
        if name not in self.servers:
            known = ", ".join(sorted(self.servers))
            hint = f"The contexts are: {known}." if known else "Add it with 'wirespeed context add'."
            raise usage(f"There is no context {name!r}.", hint)
        return self.servers[name]

    def _save(self) -> None:
        """Store everything, with mode 0600, in place of what was stored.

        Raises:
            CommandError: The file cannot be written.
        """
        stored = {"current": self.current, "contexts": {name: asdict(each) for name, each in self.servers.items()}}
        file = path()
        part = file.with_name(f"{file.name}.{os.getpid()}")
        try:
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as writer:
                json.dump(stored, writer, indent=2)
            part.replace(file)
        except OSError as error:
            raise CommandError(f"The contexts in {file} cannot be written: {error.strerror}.") from None


def path() -> Path:
    """Return the file, in the folder for settings of this platform."""
    return Path(typer.get_app_dir("wirespeed")) / "contexts.json"


def check_name(name: str) -> None:
    """Refuse a name that would be hard to type.

    Raises:
        CommandError: It has other characters than letters, digits, dots, dashes and underscores.
    """
    if not NAME.fullmatch(name):
        raise CommandError(
            f"{name[:80]!r} is not a name for a context.", "Use letters, digits, '.', '_' and '-'.", ExitCode.USAGE
        )
