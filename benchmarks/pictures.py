"""The pictures of the README and the docs: `python -m benchmarks.pictures FOLDER`, which is `make pictures`.

The demo runs in a browser that no driver listens to, as for a visitor: reports of network events would make each frame
two to four times as expensive, and flatter Wirespeed.
"""

import argparse
import base64
import contextlib
import io
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from benchmarks.chromium import Browser, browsing
from benchmarks.processes import Server, serving
from benchmarks.websocket import HOST

DEMO = ("python", "-m", "demo", "--port", "{port}")
WIDTH = 1180
SCALE = 2
FRAMES = 24
FRAME_SECONDS = 0.1
PATIENCE_SECONDS = 120.0

Scheme = Literal["light", "dark"]


class Shot:
    """A page of the demo, of which pictures are taken.

    Args:
        path: Path of the page.
        state: State of the page's connection when everything is there.
    """

    def __init__(
        self,
        browser: Browser,
        server: Server,
        scheme: Scheme,
        height: int,
        *,
        width: int = WIDTH,
        path: str = "/",
        state: str = "connected",
    ) -> None:
        self._browser = browser
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        metrics = {"width": width, "height": height, "deviceScaleFactor": SCALE, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", **metrics)
        self._ask("Emulation.setScrollbarsHidden", hidden=True)
        self._ask("Page.navigate", url=f"http://{HOST}:{server.port}{path}")
        self.wait(f"document.querySelector('.connection')?.dataset.state === '{state}'")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self._ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a condition holds in the page."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.evaluate(f"Boolean({condition})"):
            if time.monotonic() > deadline:
                raise TimeoutError(condition)
            time.sleep(0.1)

    def click(self, selector: str) -> None:
        """Click a button, and wait until its work is done."""
        self.evaluate(f"document.querySelector('{selector}').click()")
        self.wait(f"document.querySelector('{selector}').getAttribute('aria-disabled') !== 'true'")

    def picture(self, selector: str, margin: int = 24, *, with_header: bool = False) -> Image.Image:
        """Return a picture of a part of the page, from the top of the page if its header belongs to it."""
        box = self.evaluate(
            f"(({{ x, y, width, height }}) => ({{ x: x + scrollX, y: y + scrollY, width, height }}))"
            f"(document.querySelector('{selector}').getBoundingClientRect())"
        )
        top = 0 if with_header else box["y"] - margin
        return self.clip(box["x"] - margin, top, box["width"] + 2 * margin, box["y"] + box["height"] + margin - top)

    def clip(self, x: float, y: float, width: float, height: float) -> Image.Image:
        """Return a picture of a rectangle of the page."""
        clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
        answer = self._ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return Image.open(io.BytesIO(base64.b64decode(answer["data"]))).convert("RGB")

    def _ask(self, method: str, **parameters: object) -> Any:
        return self._browser.receive(self._browser.send(method, parameters, self._session))


@contextlib.contextmanager
def shooting(scheme: Scheme, height: int = 900) -> Iterator[Shot]:
    """Run the demo and a browser, and open its page."""
    with serving(DEMO) as server, browsing() as browser:
        yield Shot(browser, server, scheme, height)


def race(scheme: Scheme, folder: Path) -> None:
    """Take the picture of a finished race."""
    with shooting(scheme) as shot:
        shot.click("#race-form button")
        save(shot.picture("#race"), folder / f"race-{scheme}.png")


def freeze(scheme: Scheme, folder: Path) -> None:
    """Take the picture of both clocks after the tab was frozen."""
    with shooting(scheme) as shot:
        shot.evaluate("document.querySelector('#freeze').scrollIntoView()")
        shot.wait("document.querySelector('#freeze .state').dataset.mood === 'live'")
        shot.click("#freeze .freeze")
        save(shot.picture("#freeze"), folder / f"freeze-{scheme}.png")


def chart(scheme: Scheme, folder: Path) -> None:
    """Take the picture of the chart when it is full."""
    with shooting(scheme) as shot:
        shot.wait("/[1-9]/.test(document.querySelector('#chart .paints').textContent)")
        time.sleep(11)  # the chart shows ten seconds
        save(shot.picture("#chart"), folder / f"chart-{scheme}.png")


def start(scheme: Scheme, folder: Path) -> None:
    """Take a short animation of the first screen, in which both counters run."""
    with shooting(scheme) as shot:
        shot.wait("/[1-9]/.test(document.querySelector('#chart .paints').textContent)")
        time.sleep(10)  # the chart shows ten seconds
        frames, times, due = [], [], time.monotonic()
        for number in range(FRAMES):
            if number in (5, 15):
                card = "#text-counter" if number == 5 else "#json-counter"
                shot.evaluate(f"document.querySelector('{card} button').click()")
            times.append(time.monotonic())
            frame = shot.picture(".hero", with_header=True)
            frames.append(
                frame.resize((frame.width // SCALE * 3 // 2, frame.height // SCALE * 3 // 2), Image.Resampling.LANCZOS)
            )
            due += FRAME_SECONDS
            time.sleep(max(0.0, due - time.monotonic()))
        path = folder / f"start-{scheme}.webp"
        frames[0].save(
            path,
            save_all=True,
            append_images=frames[1:],
            duration=durations(times),
            loop=2,
            quality=60,
            method=6,
        )


def durations(times: Sequence[float]) -> list[int]:
    """Return the time for which each frame is shown, in milliseconds: a picture may take longer than it should."""
    return [round(1000 * (after - before)) for before, after in pairwise(times)] + [round(1000 * FRAME_SECONDS)]


def save(image: Image.Image, path: Path) -> None:
    """Write a picture with few colours, which is all that a page has."""
    image.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pictures", description="Make the pictures of the README and the docs."
    )
    parser.add_argument("folder", type=Path, help="where to write them")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    schemes: tuple[Scheme, Scheme] = ("light", "dark")
    for scheme in schemes:
        for take in (race, freeze, chart, start):
            take(scheme, folder)
    for path in sorted(folder.iterdir()):
        print(f"{path}: {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
