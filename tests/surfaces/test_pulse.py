"""The pulse: it beats while a response is quiet, and only then."""

import pytest

from tests.hub.stepping import BACKEND, running
from wirespeed.surfaces.pulse import Pulse

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    """Tests run on a loop whose time they let pass."""
    return BACKEND


async def test_beats_while_it_is_quiet() -> None:
    """The first beat comes after the interval, the others follow at the same distance, and none after the end."""
    loop = running()
    beats: list[float] = []
    started = loop.now
    with Pulse(25.0, lambda: beats.append(loop.now - started)).beating():
        await loop.pass_time(24.9)
        assert beats == []
        await loop.pass_time(55)
    await loop.pass_time(100)
    assert beats == pytest.approx([25, 50, 75])


async def test_write_postpones_the_beat() -> None:
    """A response is never quiet for longer than the interval, and a busy one gets no beat and no timer per write."""
    loop = running()
    beats: list[float] = []
    pulse = Pulse(25.0, lambda: beats.append(loop.now - started))
    started = loop.now
    with pulse.beating():
        for _ in range(100):
            await loop.pass_time(1)
            pulse.wrote()
        assert beats == []
        assert len(loop.timers) <= 6
        await loop.pass_time(25)
    assert beats == pytest.approx([125])


async def test_beat_that_fails_does_not_end_the_pulse() -> None:
    """The next beat is due already when one is made."""
    loop = running()
    failures: list[object] = []
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
    with Pulse(25.0, lambda: 1 // 0).beating():  # type: ignore[arg-type]
        await loop.pass_time(60)
    assert len(failures) == 2
