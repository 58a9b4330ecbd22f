"""The same app as in `feeds_ours`, which can tell whose code has allocated its memory."""

import gc
import tracemalloc
from collections import Counter

tracemalloc.start()

from benchmarks.peers.feeds_ours import app  # noqa: E402  # what is imported counts, too

_OWNERS = ("wirespeed", "uvicorn", "websockets", "fastapi", "starlette", "asyncio")


@app.get("/traced")
async def traced() -> dict[str, int]:
    """The bytes that live now, by the package whose line has allocated them."""
    gc.collect()
    sizes: Counter[str] = Counter()
    for statistic in tracemalloc.take_snapshot().statistics("filename"):
        parts = statistic.traceback[0].filename.replace(".py", "").split("/")
        sizes[next((owner for owner in _OWNERS if owner in parts), "others")] += statistic.size
    return dict(sizes)
