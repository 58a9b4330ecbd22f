"""An app whose feed is in an app that is mounted into it, and has no lifespan: GET /inner/news."""

from collections.abc import AsyncIterator

from fastapi import FastAPI

from wirespeed import Live

inner = FastAPI()
live = Live(inner)


@live.feed("/news")
async def news() -> AsyncIterator[str]:
    """Yield one value."""
    yield "all is well"


app = FastAPI()
app.mount("/inner", inner)
