"""The app of `wirespeed_app`, with a route that reports which code has allocated its memory."""

import gc
import tracemalloc
from collections import Counter

tracemalloc.start()

from benchmarks.peers.wirespeed_app import app  # noqa: E402  # imports count, too

_OWNERS = ("wirespeed", "uvicorn", "websockets", "fastapi", "starlette", "asyncio")


@app.get("/traced")
async def traced() -> dict[str, int]:
    """Return the bytes that are alive, by the package whose line has allocated them."""
    gc.collect()
    sizes: Counter[str] = Counter()
    for statistic in tracemalloc.take_snapshot().statistics("filename"):
        parts = statistic.traceback[0].filename.replace(".py", "").split("/")
        sizes[next((owner for owner in _OWNERS if owner in parts), "others")] += statistic.size
    return dict(sizes)
