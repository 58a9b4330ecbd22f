"""Kept runs: their journals, their bounds and their ends."""

import asyncio
import gc
import weakref
from collections import Counter
from typing import Any

import pytest

from tests.lanes.turns import turns
from tests.waiting import NEVER, until
from wirespeed import Settings
from wirespeed.errors import RunGone
from wirespeed.frames import TEXT, frame
from wirespeed.hub.admissions import Admissions
from wirespeed.hub.kept import BESIDE, Journal, KeptBudget, KeptRun, KeptRuns, Message, Taker
from wirespeed.identity import Identity

pytestmark = pytest.mark.anyio


class Connection(Taker):
    """A connection that keeps what it takes."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.is_replaced = False
        self.has_room = asyncio.Event()
        self.has_room.set()

    def take(self, taken: list[Message], last: int) -> None:
        self.taken += [payload for _, payload in taken]

    def closing(self) -> bool:
        return False

    async def drained(self) -> None:
        await self.has_room.wait()

    def replaced(self) -> None:
        self.is_replaced = True


class Scene:
    """The kept runs of an app, and the refusals that they have counted."""

    def __init__(self, **limits: int) -> None:
        self.refused: Counter[str] = Counter()
        self.cancelled: list[KeptRun] = []
        settings = Settings()
        for name, limit in limits.items():
            object.__setattr__(settings, name, limit)
        self.runs = KeptRuns(settings, Admissions(), lambda why, **_: self.refused.update([why]))

    def begin(self, user: str = "", held: int = 0) -> KeptRun:
        run = self.runs.begin("owner", user, NEVER, Identity(user=user), "stream")
        run.is_hosted = True
        run.held = lambda: held
        run.on_given_up = lambda: self.cancelled.append(run)
        return run

    def away(self, user: str = "", held: int = 0) -> KeptRun:
        """Return a run whose connection was lost, and which has some bytes of messages."""
        run, taker = self.begin(user, held), Connection()
        run.attach(taker)
        run.leave(taker, for_good=False)
        return run


def write(journal: Journal, *payloads: bytes) -> None:
    for payload in payloads:
        journal.write(frame(TEXT, payload), 1)


def test_journal_repeats_what_was_taken() -> None:
    """A journal goes back to any message that it still has, and to no other."""
    journal = Journal(4 * (BESIDE + 1), 10_000, KeptBudget(10_000))
    write(journal, b"a", b"b", b"c")
    assert [payload for _, payload in journal.take()] == [b"a", b"b", b"c"]
    with pytest.raises(RunGone):
        journal.rewind(0)  # half of the bound is two messages
    with pytest.raises(RunGone):
        journal.rewind(4)
    journal.rewind(1)
    assert journal.taken == 1
    assert [payload for _, payload in journal.take()] == [b"b", b"c"]


def test_journal_is_bounded() -> None:
    """A run waits for room: early while it has a connection, and at half of the bound while it has none."""
    journal = Journal(20 * (BESIDE + 1), 2 * (BESIDE + 1), KeptBudget(100_000))
    journal.has_taker = True
    write(journal, b"a", b"b")
    assert not journal.writable()
    journal.has_taker = False
    write(journal, *[b"c"] * 7)
    assert journal.writable()
    write(journal, b"d")
    assert not journal.writable()
    journal.take()
    assert journal.writable()


def test_journals_have_one_bound_together() -> None:
    """Beyond it, journals keep nothing that was taken, and a run without a connection waits; the end frees all."""
    together = KeptBudget(5 * (BESIDE + 1))
    one, other = Journal(100_000, 10_000, together), Journal(100_000, 10_000, together)
    one.has_taker = True
    write(one, b"a", b"b")
    one.take()
    write(other, b"c", b"d", b"e")
    assert other.writable()
    write(one, b"f")
    assert not one.writable()
    assert not other.writable()
    one.take()
    with pytest.raises(RunGone):
        one.check(0)
    one.check(1)
    one.check(3)
    assert other.writable()
    for journal in (one, other):
        journal.release()
        journal.take()
    assert together.used == 0


async def waiting_for_room(scene: Scene, count: int, size: int) -> tuple[list[KeptRun], list[KeptRun], list[Any]]:
    """Return runs without a connection that wait for room to write some bytes, those that have, and their tasks."""
    runs, written = [scene.begin() for _ in range(count)], list[KeptRun]()

    async def go_on(run: KeptRun) -> None:
        await run.journal.drained()
        write(run.journal, b"x" * size)
        written.append(run)

    tasks = [asyncio.ensure_future(go_on(run)) for run in runs]
    await turns(3)
    assert written == []
    return runs, written, tasks


async def test_run_that_waits_gets_the_room_of_another() -> None:
    """When a run is forgotten or its client has taken a part, those that wait for room go on."""
    scene = Scene(max_kept_bytes=10_000)
    one, other = scene.begin(), scene.begin()
    one.attach(taker := Connection())
    write(one.journal, b"x" * 9_000, b"y" * 9_000)
    write(other.journal, b"z" * 9_000)
    runs, written, tasks = await waiting_for_room(scene, 4, 1)
    other.give_up()
    passing = asyncio.ensure_future(one.pass_on(taker))
    await until(lambda: taker.taken)
    tasks[0].cancel()  # it was woken, and makes way
    await until(lambda: written == runs[1:])
    passing.cancel()


async def test_room_goes_to_those_that_wait_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for one run wakes no crowd: of many that wait, each gets its turn, in the order in which they came."""
    scene, looks, look = Scene(max_kept_bytes=10_000), list[Journal](), Journal.writable

    def counted(journal: Journal) -> bool:
        looks.append(journal)
        return look(journal)

    monkeypatch.setattr(Journal, "writable", counted)
    full = scene.begin()
    write(full.journal, b"x" * 11_000)
    runs, written, _ = await waiting_for_room(scene, 100, 11_000)
    looks.clear()
    for number, run in enumerate([full, *runs[:9]]):
        run.give_up()
        await turns(9)
        assert written == runs[: number + 1]
    assert len(looks) < 50
    for run in runs:
        run.give_up()
        await turns(9)
    assert written == runs


async def test_each_user_has_a_bound() -> None:
    """Beyond the bound of one user, the run ends that has waited longest; those of others stay."""
    scene = Scene(max_kept_runs_per_user=2)
    first, other, second, third = [scene.away(user) for user in ("ann", "bob", "ann", "ann")]
    assert scene.cancelled == [first]
    assert scene.refused == {"too many kept runs": 1}
    for run in (other, second, third):
        assert scene.runs.find(run.id, "owner") is run
    with pytest.raises(RunGone):
        scene.runs.find(first.id, "owner")


async def test_runs_that_have_ended_go_first() -> None:
    """At the bound, a run that goes on stays for longer than one that has ended, however long it waits."""
    scene = Scene(max_kept_runs=2)
    going, ended = scene.away(), scene.away()
    ended.finish(None)
    scene.away()
    assert scene.runs.find(going.id, "owner") is going
    assert scene.cancelled == []
    assert scene.refused == {}


async def test_run_that_makes_room_for_itself_is_forgotten() -> None:
    """Nothing is left of a run that has ended and is given up at once, at the bound of all users."""
    scene = Scene(max_kept_runs=1)
    scene.away()
    run = scene.begin("ann")
    run.attach(Connection())
    run.finish("end")
    forgotten = weakref.ref(run)
    del run
    gc.collect()
    assert forgotten() is None


async def test_messages_of_runs_without_a_connection_are_bounded() -> None:
    """They take half of the bytes of all runs, or one run; beyond it, the runs end that have waited longest."""
    scene = Scene(max_kept_bytes=10_000)
    other, first, second, back = scene.away(), *[scene.away(held=2_000) for _ in range(3)]
    assert scene.cancelled == [first]
    back.attach(Connection())
    ended = scene.away(held=2_000)
    ended.finish("end")
    third = scene.away(held=2_000)
    assert scene.cancelled == [first]
    large = scene.away(held=20_000)
    assert scene.cancelled == [first, second, third]
    assert scene.refused == {"too many kept runs": 3}
    write(other.journal, b"x")
    assert not other.journal.writable()
    large.give_up()
    assert other.journal.writable()
    assert scene.runs.find(ended.id, "owner") is ended


async def test_connection_that_was_replaced_takes_nothing() -> None:
    """Messages that a slow connection has not taken go to the one that has replaced it, and nowhere else."""
    run = Scene().begin()
    old, new = Connection(), Connection()
    run.attach(old)
    old.has_room.clear()
    passing = asyncio.ensure_future(run.pass_on(old))
    await asyncio.sleep(0)
    write(run.journal, b"a", b"b")
    run.attach(new, 0)
    old.has_room.set()
    assert not await passing
    assert old.is_replaced
    run.finish("end")
    assert await run.pass_on(new)
    assert (old.taken, new.taken) == ([], [b"a", b"b"])
    run.leave(old, for_good=True)  # it has no say any more
    assert not run.is_given_up


async def test_owner_that_cannot_be_compared() -> None:
    """A value whose comparison fails is not the owner."""

    class Odd:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

        __hash__ = None  # type: ignore[assignment]

    scene = Scene()
    run = scene.begin()
    with pytest.raises(RunGone):
        scene.runs.find(run.id, Odd())


async def test_stop_waits_for_the_ends() -> None:
    """Stopping gives up all runs, those that begin later included, and waits until they have ended."""
    scene = Scene()
    run = scene.begin()
    over = asyncio.Event()

    async def host() -> None:
        with scene.runs.hosting(run):
            await over.wait()

    hosting = asyncio.ensure_future(host())
    await asyncio.sleep(0)
    stopping = asyncio.ensure_future(scene.runs.stop())
    await until(lambda: scene.cancelled == [run])
    assert not stopping.done()
    over.set()
    await stopping
    await hosting
    later = scene.begin()
    with scene.runs.hosting(later):
        assert later.is_given_up
