"""Connections of commands: the Python client, and its errors as sentences."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from .document import ListedDefinition, fetch_if_any
from .failures import CommandError, ExitCode, note, usage
from .target import Target


def definition_at(target: Target, path: str, *kinds: str) -> ListedDefinition | None:
    """Return the definition at a path; None if the server does not give its document.

    Args:
        target: The server.
        path: The path, with its query.
        kinds: Kinds of definitions that the command is for.

    Raises:
        CommandError: The server cannot be reached, has no such definition, or it is of another kind.
    """
    document = fetch_if_any(target)
    if isinstance(document, CommandError):
        return None
    found = document.find(path)
    if found.kind not in kinds:
        command = {"stream": "stream", "call": "call"}.get(found.kind, "watch")
        raise usage(f"{found.path} is a {found.kind}.", f"Use 'wirespeed {command} {path.lstrip('/')}'.")
    return found


def client() -> Any:
    """Return the module of the Python client.

    Raises:
        CommandError: Its extra is missing.
    """
    try:
        from .. import client
    except ImportError as error:
        raise CommandError("This command needs centrifuge-python.", 'Run: pip install "wirespeed[cli]"') from error
    return client


ANSWER = 5.0
"""Seconds that the server may take to answer."""

ATTEMPTS = 3
"""Attempts to make the first connection."""


class _ConnectionReporter:
    """Learns the changes of a connection: fails if it cannot be made, and reports on stderr if it is lost."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.was_connected = False
        self._is_lost = False
        self._failures = 0
        self.problem = ""

    def __call__(self, change: Any) -> None:
        if change.state == "connected":
            if self._is_lost:
                warn("connected again")
            self.was_connected, self._is_lost = True, False
        elif change.state == "connecting":
            self.problem = change.reason
            if not self.was_connected:
                self._failures += 1
                if self._failures >= ATTEMPTS:
                    raise self.failure()
            elif not self._is_lost:
                self._is_lost = True
                warn(f"the connection was lost ({change.reason}); connecting again, Ctrl-C ends")

    def failure(self) -> CommandError:
        """Return the error for a server that answers, but makes no connection."""
        message = f"No connection to {self._target.multiplexed}: {self.problem or 'no answer in time'}."
        return CommandError(message, "Find out more with 'wirespeed doctor'.", ExitCode.UNREACHABLE)


@asynccontextmanager
async def connected(target: Target, timeout: float = ANSWER) -> AsyncIterator[Any]:
    """Connect to a server. Refusals become sentences.

    Raises:
        CommandError: The server refused something, or did not answer in time.
    """
    module = client()
    reporter = _ConnectionReporter(target)
    try:
        async with module.connect(
            target.multiplexed, token=target.token, timeout=timeout, on_connection=reporter
        ) as connection:
            yield connection
    except module.ServerRefused as error:
        raise refused(error) from None
    except module.ValuesLost as error:
        hint = "Continue without them: --lossy."
        raise CommandError(f"{error.what}: values were lost.", hint, ExitCode.INCOMPLETE) from None
    except module.TooSlow as error:
        hint = "Read faster, limit the rate with --rate, or take only the newest values with --newest."
        message = f"{error.what}: more than {error.backlog} values wait."
        raise CommandError(message, hint, ExitCode.INCOMPLETE) from None
    except TimeoutError:
        if reporter.was_connected:
            message = f"The server did not answer within {timeout:g} seconds."
            raise CommandError(message, "Check its log. A call may take longer with --timeout 1m.") from None
        raise reporter.failure() from None


def refused(error: Any) -> CommandError:
    """Return the error for a refusal, with the app's own detail."""
    status = f"status {error.status}" if error.status else f"code {error.code}"
    if error.status == 422 and isinstance(error.detail, list) and all(map(_is_fault, error.detail)):
        faults = "\n  ".join(map(_fault, error.detail))
        return CommandError(f"{error.what}: the server refused the input (status 422).", faults)
    detail = error.detail if isinstance(error.detail, str) else error.reason
    hint = ""
    if error.status in (401, 403) or error.code in (101, 103, 3500):
        hint = "Give a token that the server accepts: --token, WIRESPEED_TOKEN or 'wirespeed context add'."
    return CommandError(f"{error.what}: {detail} ({status}).", hint)


def _is_fault(fault: Any) -> bool:
    """Return True for one of FastAPI's errors: an app's own detail may have any form."""
    return isinstance(fault, dict) and isinstance(fault.get("loc", []), list)


def _fault(fault: Any) -> str:
    place = [str(part) for part in fault.get("loc") or () if part not in ("body", "query", "path")]
    name = ".".join(place) or "the message"
    return f"{name}: {fault.get('msg', 'is not valid')}"


def warn(text: str) -> None:
    """Write a warning to stderr."""
    note(f"wirespeed: {text}")
