"""An app that fails to start."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI


@asynccontextmanager
async def fail(app: FastAPI) -> AsyncIterator[None]:
    if app.title:
        raise RuntimeError("There is no database.")
    yield


app = FastAPI(title="Broken", lifespan=fail)
