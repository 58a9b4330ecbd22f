"""An app whose console is guarded by a password, and shows feeds that one process runs for all."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from wirespeed import Console, Live

Credentials = Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]


def admin(credentials: Credentials) -> None:
    if credentials.password != "open":
        raise HTTPException(401, "wrong password", {"www-authenticate": "Basic"})


app = FastAPI(title="Prices")
live = Live(app, console=Console(dependencies=[Depends(admin)], disconnect=True))


@live.feed("/price/{symbol}")
async def price(symbol: str) -> AsyncIterator[int]:
    number = 0
    while True:
        yield (number := number + 1)
        await asyncio.sleep(0.05)


news = live.topic("/news", str)


@app.post("/news")
async def publish(text: str) -> None:
    await news.publish(text)
