"""Apps with a console, and clients that watch it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from tests.waiting import PATIENCE
from wirespeed.testing import App, WebSocketClient, connect

ADMIN = {"authorization": "Basic YWRhOm9wZW4="}  # ada:open


def admin(credentials: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> None:
    """Admit one password."""
    if credentials.password != "open":
        raise HTTPException(401, "wrong password", {"www-authenticate": "Basic"})


def view(app: App, name: str, headers: dict[str, str] | None = None, **query: Any) -> WebSocketClient:
    """Return a client of one of the console's feeds."""
    return connect(app, f"/live/console/{name}?{urlencode(query)}", headers=headers)


async def shows(client: WebSocketClient, holds: Callable[[Any], object]) -> Any:
    """Receive values until one is as wanted; return it."""
    async with asyncio.timeout(PATIENCE):
        while not holds(value := await client.receive_json()):
            pass
    return value


@asynccontextmanager
async def viewing(app: App, name: str, **query: Any) -> AsyncIterator[Any]:
    """Receive the first value of one of the console's feeds."""
    async with view(app, name, **query) as client:
        yield await client.receive_json()
