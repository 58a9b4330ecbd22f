"""The postbox: publications of threads enter the loop in order, bounded, and with one wake-up for all."""

import asyncio
import json
import threading
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import pytest

from tests.hub.stepping import BACKEND, SteppedLoop, running
from tests.hub.watching import topic
from tests.lanes.turns import turns, until
from tests.waiting import PATIENCE
from wirespeed.definitions import Receipt, TopicDefinition, settle
from wirespeed.definitions.inlet import BESIDE
from wirespeed.errors import BacklogFull, Stopped
from wirespeed.hub.postbox import Errand, Postbox
from wirespeed.log.base import Encoded, size_of
from wirespeed.log.position import Position

pytestmark = pytest.mark.anyio

NEWS = topic(path="/news")


@pytest.fixture
def anyio_backend() -> object:
    """Run the tests on a loop whose time they control."""
    return BACKEND


ONE = size_of(Encoded(b'"a"'))
"""Bytes of a letter in these tests."""


def post(postbox: Postbox, watched: TopicDefinition[..., Any], key: str, value: object) -> Receipt:
    """Post a value, as JSON."""
    return postbox.post(watched, key, Encoded(json.dumps(value).encode()))


class Letters:
    """Accepts publications, and numbers them."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Any]] = []

    def __call__(self, watched: Any, key: str, value: Any, receipt: Receipt) -> None:
        self.taken.append((key, json.loads(value.payload)))
        settle(receipt, Position("e", len(self.taken)))


def in_thread(work: Any) -> None:
    """Do something in another thread, to its end, while the loop is blocked."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


async def test_threads_wake_the_loop_once() -> None:
    """However much is posted before the loop takes it, the loop is woken once; everything arrives in order."""
    receipts: list[Receipt] = []
    postbox, letters, loop = Postbox(1000 * ONE), Letters(), running()
    postbox.open(loop, letters)
    for round_ in range(2):
        in_thread(lambda: receipts.extend(post(postbox, NEWS, "k", number) for number in range(100)))
        assert loop.woken == round_ + 1
        await until(receipts[-1].done)  # in slices, if the machine is slow
        assert [value for _, value in letters.taken] == list(range(100)) * (round_ + 1)


async def test_nothing_of_many_threads_is_missed() -> None:
    """Each thread's publications arrive in its order, each once, while the loop drains."""
    postbox, letters, loop = Postbox(100_000 * ONE), Letters(), running()
    postbox.open(loop, letters)

    def posting(name: str) -> None:
        for number in range(500):
            post(postbox, NEWS, name, number)

    threads = [threading.Thread(target=posting, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    await until(lambda: len(letters.taken) == 2000)
    for thread in threads:
        thread.join(PATIENCE)
    for name in "abcd":
        assert [value for key, value in letters.taken if key == name] == list(range(500))


async def test_age_of_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the box never becomes empty, publications seem as old as they are: not younger, and not ever older."""
    monkeypatch.setattr("wirespeed.hub.postbox._SLICE", 0.0)  # the loop takes one in each turn
    postbox, since, posted, taken = Postbox(1000 * ONE), [0.0], list[float](), list[tuple[float, float]]()

    def add() -> None:
        posted.append(perf_counter())
        post(postbox, NEWS, "", "a")

    def take(watched: Any, key: str, value: Any, receipt: Receipt) -> None:
        taken.append((since[-1], posted[len(taken)]))
        settle(receipt, Position("e", len(taken)))
        if len(posted) < 100:
            add()

    postbox.on_take = lambda time: since.append(time or 0.0)
    postbox.open(running(), take)
    for _ in range(10):
        add()
    await until(lambda: len(taken) == 100)
    # A publication was posted just after its time was read here, which is as near as it gets for the first.
    assert all(given <= own for given, own in taken[1:])
    assert taken[-1][0] > posted[50]


async def test_receipt_is_settled_in_the_thread() -> None:
    """A thread can wait for the position of its publication."""
    postbox, letters, loop = Postbox(10 * ONE), Letters(), running()
    postbox.open(loop, letters)
    places = await asyncio.to_thread(lambda: [post(postbox, NEWS, "", value).result(PATIENCE) for value in "ab"])
    assert places == [("e", 1), ("e", 2)]


async def test_what_comes_before_the_start_waits() -> None:
    """Publications from before the loop are taken when it opens the box, before anything newer."""
    postbox, letters = Postbox(10 * ONE), Letters()
    early = post(postbox, NEWS, "", "early")
    assert not early.done()
    postbox.open(running(), letters)
    assert (await early).offset == 1
    assert letters.taken == [("", "early")]


async def test_box_is_bounded() -> None:
    """One more than may wait is refused, with their bytes; waiting ones are not lost, and there is room afterwards."""
    postbox, letters = Postbox(3 * ONE), Letters()
    for value in "abc":
        post(postbox, NEWS, "", value)
    with pytest.raises(BacklogFull) as full:
        post(postbox, NEWS, "", "d")
    assert (full.value.what, full.value.waiting) == (NEWS.title, 3 * ONE)
    postbox.open(running(), letters)
    post(postbox, NEWS, "", "e")
    await turns(2)
    assert [value for _, value in letters.taken] == [*"abce"]


async def test_errands_are_bounded_with_publications() -> None:
    """Errands count together with publications, and are refused with them; done or refused, they count no more."""
    postbox, done = Postbox(3 * BESIDE), list[str]()
    errand = Errand(lambda: done.append("done"), lambda: done.append("refused"), BESIDE // 2)
    for _ in range(2):
        for _ in range(2):
            postbox.send("errand", errand)
        with pytest.raises(BacklogFull, match="errand"):
            postbox.send("errand", errand)
        with pytest.raises(BacklogFull):
            post(postbox, NEWS, "", "a")
        if not done:
            postbox.open(running(), Letters())
    assert done == ["done"] * 2
    postbox.refuse()
    assert done == ["done"] * 2 + ["refused"] * 2
    postbox.open(running(), Letters())
    post(postbox, NEWS, "", "a" * 2 * BESIDE)
    await turns(2)


async def test_one_value_may_be_larger_than_the_box() -> None:
    """A single publication is accepted whatever its size; bytes count, not publications."""
    postbox, letters = Postbox(10 * ONE), Letters()
    post(postbox, NEWS, "", "a" * 100 * ONE)
    with pytest.raises(BacklogFull):
        post(postbox, NEWS, "", "b")
    postbox.open(running(), letters)
    post(postbox, NEWS, "", "c" * 5 * ONE)
    with pytest.raises(BacklogFull):
        post(postbox, NEWS, "", "d" * 5 * ONE)
    await turns(2)
    assert [len(value) for _, value in letters.taken] == [100 * ONE, 5 * ONE]


async def test_refused_ones_are_told() -> None:
    """Publications that wait when the loop is over fail; the box can be opened again."""
    postbox, letters = Postbox(3 * ONE), Letters()
    receipts = [post(postbox, NEWS, "", value) for value in "ab"]
    postbox.refuse()
    for receipt in receipts:
        with pytest.raises(Stopped):
            await receipt
    postbox.open(running(), letters)
    post(postbox, NEWS, "", "c")
    await turns(2)
    assert letters.taken == [("", "c")]


def test_closed_loop_fails_what_is_posted() -> None:
    """If the loop has ended without a shutdown, the next publication fails, and does not wait forever."""
    postbox, loop = Postbox(3 * ONE), SteppedLoop()
    postbox.open(loop, Letters())
    loop.close()
    for _ in range(5):
        receipt = post(postbox, NEWS, "", "late")
        with pytest.raises(Stopped):
            receipt.result(0)
        postbox.open(loop, Letters())


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each reading of the clock take a millisecond."""

    def ticks() -> Iterator[float]:
        now = 0.0
        while True:
            yield (now := now + 0.001)

    ticker = ticks()
    monkeypatch.setattr("wirespeed.hub.postbox.perf_counter", lambda: next(ticker))


async def test_others_run_while_much_is_taken(ticking: None) -> None:
    """A full box does not block the loop: it is emptied in slices, in order."""
    postbox, letters = Postbox(100 * ONE), Letters()
    postbox.open(running(), letters)
    for number in range(10):
        post(postbox, NEWS, "", number)
    seen = []
    while len(letters.taken) < 10:
        seen.append(len(letters.taken))
        await turns(1)
    assert len(seen) >= 3
    assert [value for _, value in letters.taken] == list(range(10))


async def test_all_that_waits_is_taken_at_the_start(ticking: None) -> None:
    """Publications of the loop after the start do not overtake earlier ones, however long those take."""
    postbox, letters = Postbox(100 * ONE), Letters()
    for number in range(10):
        post(postbox, NEWS, "", number)
    postbox.open(running(), letters)
    assert [value for _, value in letters.taken] == list(range(10))


async def test_who_comes_after_the_end_is_told() -> None:
    """A thread that missed the end does not wait forever, and is not published in the next life."""
    postbox = Postbox(10 * ONE)
    handled: list[object] = []
    postbox.open(asyncio.get_running_loop(), lambda *post: handled.append(post))
    postbox.refuse()
    receipt = post(postbox, topic(), "", "late")
    with pytest.raises(Stopped):
        await receipt
    postbox.open(asyncio.get_running_loop(), lambda *post: handled.append(post))
    assert handled == []
