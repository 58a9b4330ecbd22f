"""The pictures of the console: `python -m benchmarks.console_pictures FOLDER`, which is part of `make pictures`.

The demo runs with three workers that Valkey joins. One of its pages is open in a browser of its own, where it is
visible, and some clients watch without a page.
"""

import argparse
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from benchmarks.chromium import browsing
from benchmarks.pictures import Scheme, Shot, save
from benchmarks.processes import Server, serving
from benchmarks.websocket import HOST

CLUSTER = ("python", "-m", "demo.cluster", "--port", "{port}")
PATHS = ("/counter", "/counter", "/counter", "/market", "/market", "/price/BTC", "/price/ETH", "/server", "/chat")
WIDTH = 1280
CHART_SECONDS = 45.0
"""Seconds after which the charts, which show a minute, are nearly full."""
SETTLE_SECONDS = 8.0
"""Seconds after which a view has some figures: there are new ones once per second."""

VIEWS = {"definitions": ("#/", 900), "key": ("#/key/counter", 860), "processes": ("#/processes", 560)}
"""The address and the height of each picture."""

SORT = "[...document.querySelectorAll('button')].find((each) => each.textContent === 'Delivered/s').click()"
WATCH = "[...document.querySelectorAll('button')].find((each) => each.textContent.trim() === 'Watch')"


def read(connection: ClientConnection) -> None:
    """Read until the connection is closed."""
    try:
        for _ in connection:
            pass
    except ConnectionClosed:
        pass


@contextmanager
def watching(server: Server, paths: Sequence[str]) -> Iterator[None]:
    """Watch some paths, each on a connection of its own."""
    with ExitStack() as stack:
        for path in paths:
            connection = stack.enter_context(connect(f"ws://{HOST}:{server.port}{path}"))
            threading.Thread(target=read, args=(connection,), daemon=True).start()
        yield


def take(scheme: Scheme, folder: Path) -> None:
    """Take all pictures in one colour scheme."""
    with serving(CLUSTER) as server, browsing() as visitor, browsing() as browser, watching(server, PATHS):
        Shot(visitor, server, scheme, 900, path="/cluster.html")
        shot = Shot(browser, server, scheme, 900, width=WIDTH, path="/live/", state="live")
        shot.wait("document.querySelector('tbody tr')")
        shot.evaluate(SORT)
        time.sleep(CHART_SECONDS)
        for name, (view, height) in VIEWS.items():
            shot.evaluate(f"location.hash = '{view}'")
            time.sleep(SETTLE_SECONDS)
            save(shot.clip(0, 0, WIDTH, height), folder / f"console-{name}-{scheme}.png")
        shot.evaluate("location.hash = '#/try/market'")
        shot.wait(WATCH)
        shot.evaluate(f"{WATCH}.click()")
        time.sleep(SETTLE_SECONDS)
        save(shot.clip(0, 0, WIDTH, 900), folder / f"console-try-{scheme}.png")


def main() -> None:
    """Take the pictures in both colour schemes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.console_pictures", description="Make the pictures of the console."
    )
    parser.add_argument("folder", type=Path, help="where to write them")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    take("light", folder)
    take("dark", folder)
    for path in sorted(folder.glob("console-*")):
        print(f"{path}: {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
