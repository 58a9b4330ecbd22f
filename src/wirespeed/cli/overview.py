"""The overview of the console: figures of all processes, about once per second."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from .failures import CommandError, ExitCode
from .fetching import PATIENCE, explained, get, unreachable
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
            address, additional_headers=target.headers, compression=None, max_size=None, open_timeout=PATIENCE
        ) as socket:
            yield _values(socket)
    except InvalidStatus as error:
        raise await asyncio.to_thread(refused, target, error.response.status_code) from None
    except (InvalidHandshake, OSError) as error:
        raise unreachable(target, error) from None
    except WebSocketException as error:
        message = f"The connection to {target.url} was lost: {explained(error)}."
        raise CommandError(message, "Start the command again.", ExitCode.UNREACHABLE) from None


async def _values(socket: Any) -> AsyncIterator[dict[str, Any]]:
    async for message in socket:
        yield json.loads(message)


def refused(target: Target, status: int) -> CommandError:
    """Return the error for a server that does not give its overview.

    A server without the route refuses the handshake with 403, too, so the page decides.
    """
    if status in (401, 403) and get(target, f"{target.prefix}/").status != 404:
        hint = "Give what its dependencies ask for: --token TEXT, or --token 'Basic ...'."
        return CommandError(f"The console of {target.url} refuses this client (status {status}).", hint)
    return CommandError(f"The console of {target.url} is off.", OFF)
