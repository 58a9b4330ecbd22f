"""The overview of the console: figures of all processes, about once per second."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from .failures import CommandError, ExitCode
from .fetching import MOST_BYTES, PATIENCE, explained, from_json, get, unreachable
from .target import Target

OFF = "Turn it on: 'wirespeed serve --console', WIRESPEED_CONSOLE=1, or Live(app, console=Console(dependencies=[...]))."


@asynccontextmanager
async def overviews(target: Target) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """Connect to the overview, and give its values.

    Raises:
        CommandError: The server cannot be reached, its console is off, or it refuses.
    """
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

    address = target.websocket(f"{target.prefix}/console/overview")
    try:
        async with connect(
            address, additional_headers=target.headers, compression=None, max_size=MOST_BYTES, open_timeout=PATIENCE
        ) as socket:
            yield _values(target, socket)
    except InvalidStatus as error:
        raise await asyncio.to_thread(refused, target, error.response.status_code) from None
    except (InvalidHandshake, OSError) as error:
        raise unreachable(target, error) from None
    except WebSocketException as error:
        message = f"The connection to {target.url} was lost: {explained(error)}."
        raise CommandError(message, "Start the command again.", ExitCode.UNREACHABLE) from None


async def _values(target: Target, socket: Any) -> AsyncIterator[dict[str, Any]]:
    while True:
        async with asyncio.timeout(PATIENCE):
            message = await socket.recv()
        with understood(target):
            value = from_json(message)
            now = {name: value[name] for name in ("at", "app", "self", "processes", "definitions")}
        yield now


@contextmanager
def understood(target: Target) -> Iterator[None]:
    """Read an overview, which may have any form.

    Raises:
        CommandError: It has another form than that of Wirespeed.
    """
    try:
        yield
    except UnicodeEncodeError:  # a failure of stdout
        raise
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        message = f"The console of {target.url} has sent what this version does not understand: {error!r}."
        raise CommandError(message, "Use the version of the server: 'wirespeed --version'.") from None


def refused(target: Target, status: int) -> CommandError:
    """Return the error for a server that does not give its overview.

    A server without the route refuses the handshake with 403, too, so the page decides.
    """
    if status in (401, 403) and get(target, f"{target.prefix}/").status != 404:
        hint = "Give what its dependencies ask for: --token TEXT, or --token 'Basic ...'."
        return CommandError(f"The console of {target.url} refuses this client (status {status}).", hint)
    return CommandError(f"The console of {target.url} is off.", OFF)
