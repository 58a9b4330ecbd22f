"""The engine: one run per key while the key is watched, and the path of publications."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, Literal

import pytest
from anyio import CapacityLimiter

from tests.hub.stepping import BACKEND, SteppedLoop, running
from tests.hub.watching import WIRE, Client, Source, feed, topic
from tests.lanes.turns import turns, until
from tests.waiting import PATIENCE
from wirespeed.definitions import FeedDefinition
from wirespeed.errors import LogFull, Stopped, TooManyLogs
from wirespeed.hub.engine import Engine
from wirespeed.hub.logs import LocalLogs
from wirespeed.log.base import Removed
from wirespeed.log.position import Position
from wirespeed.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    """Run the tests on a loop whose time they control."""
    return BACKEND


@pytest.fixture
async def loop() -> SteppedLoop:
    """Return the loop of the test."""
    return running()


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """Return an engine with room for three keys."""
    engine = Engine(LocalLogs(running()), CapacityLimiter(4), Settings(max_keys=3))
    yield engine
    await engine.stop()


@pytest.fixture
def source() -> Source:
    """Return a generator that the test controls."""
    return Source()


def prices(source: Source, **options: Any) -> FeedDefinition[..., Any]:
    """Declare a feed of the source."""
    return feed(source.values, **options)


# One run per key


async def test_one_run_is_for_all(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """However many watchers a key has, its generator runs once, and all receive the same."""
    watched = prices(source)
    clients = [await Client().watch(engine, watched) for _ in range(50)]
    source.give("a")
    await loop.pass_time(1)
    source.give("b")
    await loop.pass_time(1)
    assert (source.runs, source.open) == (1, 1)
    assert [client.values for client in clients] == [["a", "b"]] * 50


async def test_nothing_runs_without_a_watcher(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """A feed without watchers costs nothing; reading its values does not start it."""
    watched = prices(source)
    assert await engine.entries(watched, watched.path, {}) == []
    await loop.pass_time(10)
    assert source.runs == 0
    assert engine.statistics(watched).keys == 0


async def test_each_key_has_its_own_run(engine: Engine, loop: SteppedLoop) -> None:
    """The generator receives the key's values, and its watchers only values of their key."""

    async def twice(number: int) -> AsyncIterator[int]:
        yield 2 * number
        await asyncio.Event().wait()

    watched = feed(twice)
    clients = [Client(), Client()]
    for number, client in enumerate(clients):
        ticket = await engine.enter(watched, f"/feed?{number}", {"number": number}, None)
        engine.watch(ticket, client.lane, WIRE, client, None)
    await loop.pass_time(1)
    assert [client.values for client in clients] == [["0"], ["2"]]


async def test_sync_generator_runs_in_a_thread(engine: Engine) -> None:
    """A plain generator may block; its values arrive, and it is closed in its thread."""
    ended: list[int] = []
    goes_on = threading.Event()

    def blocking() -> Iterator[int]:
        try:
            yield 1
            goes_on.wait(PATIENCE)
            while True:
                yield 2
        finally:
            ended.append(threading.get_ident())

    watched = feed(blocking, keep=10, linger=0.0)
    client = await Client().watch(engine, watched)
    await until(lambda: client.values)
    assert client.values == ["1"]
    client.leave(engine, watched.path)
    await running().pass_time(1)
    goes_on.set()
    await until(lambda: ended)
    assert ended != [threading.get_ident()]


# Linger, and the end of a run


async def test_run_lingers(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """After its last watcher a generator continues for a while; a client that returns meanwhile finds the same run."""
    watched = prices(source, linger=5.0)
    for _ in range(3):
        client = await Client().watch(engine, watched)
        await loop.pass_time(20)
        client.leave(engine, watched.path)
        await loop.pass_time(4.9)
        assert (source.runs, source.open) == (1, 1)
    await loop.pass_time(0.2)
    assert (source.runs, source.open) == (1, 0)
    assert engine.statistics(watched).producers == {}


async def test_lingering_ends_with_the_last_watcher_only(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """One of two watchers that leaves ends nothing."""
    watched = prices(source, linger=0.0)
    leaving, staying = [await Client().watch(engine, watched) for _ in range(2)]
    leaving.leave(engine, watched.path)
    leaving.leave(engine, watched.path)
    await loop.pass_time(60)
    source.give("a")
    await loop.pass_time(1)
    assert (staying.values, leaving.values) == (["a"], [])


async def test_watching_tickets_keep_a_run_alive(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """A ticket counts as a watcher, until it is given back."""
    watched = prices(source, linger=1.0)
    first = await Client().watch(engine, watched)
    ticket = await engine.enter(watched, watched.path, {}, None)
    first.leave(engine, watched.path)
    await loop.pass_time(10)
    assert source.open == 1
    engine.leave(ticket)
    await loop.pass_time(10)
    assert source.open == 0


async def test_newest_value_ends_with_its_run(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """A watcher that comes after a pause never sees an old value."""
    watched = prices(source, linger=1.0)
    client = await Client().watch(engine, watched)
    source.give("old")
    await loop.pass_time(1)
    client.leave(engine, watched.path)
    await loop.pass_time(2)
    assert await engine.entries(watched, watched.path, {}) == []
    newcomer = await Client().watch(engine, watched)
    await loop.pass_time(1)
    assert (newcomer.values, source.runs) == ([], 2)


async def test_retained_log_keeps_its_epoch(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """A log of several values is kept for a while: a watcher returns to a new run without a loss."""
    watched = prices(source, keep=10, linger=0.0, retain=60.0)
    client = await Client().watch(engine, watched)
    source.give("a", "b")
    await loop.pass_time(1)
    client.leave(engine, watched.path)
    await loop.pass_time(30)
    (first, _) = await engine.entries(watched, watched.path, {})
    returning = await Client().watch(engine, watched, since=first.position)
    source.give("c")
    await loop.pass_time(1)
    assert (returning.values, source.runs) == (["b", "c"], 2)


async def test_log_begins_anew_after_its_time(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """After its time a log is gone; a client that returns learns that an unknown number is lost."""
    watched = prices(source, keep=10, linger=0.0, retain=60.0)
    client = await Client().watch(engine, watched)
    source.give("a", "b")
    await loop.pass_time(1)
    (first, _) = await engine.entries(watched, watched.path, {})
    client.leave(engine, watched.path)
    await loop.pass_time(61)
    assert await engine.entries(watched, watched.path, {}) == []
    returning = await Client().watch(engine, watched, since=first.position)
    source.give("c")
    await loop.pass_time(1)
    assert returning.values == ['{"lost":null}', "c"]


async def test_newcomer_waits_for_the_old_run_to_close(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """While the old run's finally block runs there is no other; then the watcher gets a new run and log."""
    watched = prices(source, linger=0.0)
    source.may_end.clear()
    client = await Client().watch(engine, watched)
    source.give("old")
    await loop.pass_time(1)
    client.leave(engine, watched.path)
    await loop.pass_time(1)
    newcomer = Client()
    coming = asyncio.create_task(newcomer.watch(engine, watched))
    await loop.pass_time(1)
    assert not coming.done()
    assert engine.statistics(watched).producers == {"stopping": 1}
    source.may_end.set()
    await coming
    source.give("new")
    await loop.pass_time(1)
    assert (newcomer.values, source.runs, source.most) == (["new"], 2, 1)


async def test_newcomer_does_not_wait_for_ever(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """If the old run does not end, watchers are refused after the time for a first value."""
    watched = prices(source, linger=0.0)
    source.may_end.clear()
    client = await Client().watch(engine, watched)
    source.give("old")
    await loop.pass_time(1)
    client.leave(engine, watched.path)
    await loop.pass_time(1)
    coming = [
        asyncio.ensure_future(Client().watch(engine, watched)),
        asyncio.ensure_future(engine.first(watched, watched.path, {}, 5)),
    ]
    await loop.pass_time(6)
    refused = [each.done() and isinstance(each.exception(), TimeoutError) for each in coming]
    source.may_end.set()
    assert refused == [True, True]


async def test_nobody_comes_after_the_end(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """A watcher that waits for an old run while the app stops is refused, and starts no new one."""
    watched = prices(source, linger=0.0)
    source.may_end.clear()
    client = await Client().watch(engine, watched)
    await loop.pass_time(1)
    client.leave(engine, watched.path)
    await loop.pass_time(1)
    coming = asyncio.create_task(Client().watch(engine, watched))
    await loop.pass_time(1)
    engine.refuse()
    source.may_end.set()
    with pytest.raises(Stopped):
        await coming
    assert source.runs == 1


async def test_run_that_fails_while_it_is_closed(
    engine: Engine, source: Source, loop: SteppedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """A finally block that raises ends the run as well, and watchers that came meanwhile get a new one."""
    watched = prices(source, linger=0.0)
    source.may_end.clear()
    source.fails_at_end = ValueError("in finally")
    client = await Client().watch(engine, watched)
    await loop.pass_time(1)
    client.leave(engine, watched.path)
    await loop.pass_time(1)
    newcomers = [Client() for _ in range(2)]
    coming = [asyncio.create_task(each.watch(engine, watched)) for each in newcomers]
    await loop.pass_time(1)
    source.may_end.set()
    await asyncio.gather(*coming)
    source.give("new")
    await loop.pass_time(60)
    assert [each.values for each in newcomers] == [["new"], ["new"]]
    assert "failed while it was closed" in caplog.text
    source.fails_at_end = None


# Failures, and completion


async def test_failed_run_starts_again(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """Watchers keep their place while the generator is started again; each restart is counted.

    They learn that it fails from the second failure on.
    """
    watched = prices(source, keep=10)
    client = await Client().watch(engine, watched)
    source.give("a", ValueError("once"), "b", ValueError("twice"), "c")
    await loop.pass_time(10)
    assert (client.values, client.told, source.runs) == (["a", "b", "c"], ["failing", "live"], 3)
    assert engine.statistics(watched).restarts == 2
    (first, *_, last) = await engine.entries(watched, watched.path, {})
    assert first.position.epoch == last.position.epoch


async def test_failing_keys_are_counted(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """A key counts as failing from its second failure to its next value, or to its end."""

    def counted() -> tuple[int, dict[str, int], int]:
        figures = engine.statistics(watched)
        return figures.failing, dict(figures.producers), figures.watchers

    watched = prices(source, keep=10, linger=0.0)
    client = await Client().watch(engine, watched)
    await turns(5)
    assert counted() == (0, {"running": 1}, 1)
    source.give(ValueError("once"), ValueError("twice"))
    await loop.pass_time(10)
    assert counted() == (1, {"running": 1}, 1)
    source.give("a")
    await loop.pass_time(1)
    assert counted() == (0, {"running": 1}, 1)
    source.give(ValueError("once"), ValueError("twice"))
    await loop.pass_time(10)
    assert counted()[0] == 1
    client.leave(engine, watched.path)
    await loop.pass_time(60)
    assert counted() == (0, {}, 0)


async def test_waiting_run_ends_when_all_have_left(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """A generator that waits to be started again is not started without watchers."""
    watched = prices(source, linger=0.0)
    client = await Client().watch(engine, watched)
    source.give(ValueError("once"))
    await turns(5)
    assert engine.statistics(watched).producers == {"waiting": 1}
    client.leave(engine, watched.path)
    await loop.pass_time(60)
    assert (source.runs, engine.statistics(watched).keys) == (1, 0)


async def test_complete_is_told_to_all(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """A generator that ends by itself completes the feed, after its last value; a watcher may start a new run."""
    watched = prices(source, after_end="restart")
    clients = [await Client().watch(engine, watched) for _ in range(3)]
    source.give("a", None)
    await loop.pass_time(1)
    assert [(client.values, client.told) for client in clients] == [(["a"], ["complete"])] * 3
    newcomer = await Client().watch(engine, watched)
    source.give("b")
    await loop.pass_time(1)
    assert (newcomer.values, newcomer.told, source.runs) == (["b"], [], 2)
    for client in clients:
        client.leave(engine, watched.path)
    assert engine.statistics(watched).watchers == 1


@pytest.mark.parametrize("keep", ["latest", 10])
@pytest.mark.parametrize("values", [[], ["a"]])
async def test_complete_feed_is_kept_from_its_end_on(
    engine: Engine, source: Source, loop: SteppedLoop, keep: Any, values: list[str]
) -> None:
    """Clients that come again and again do not keep it longer: then the generator runs again."""
    watched = prices(source, keep=keep, retain=10.0)
    source.give(*values, None)
    for seconds in (0, 4, 4):
        await loop.pass_time(seconds)
        client = await Client().watch(engine, watched)
        await loop.pass_time(0.5)
        assert (client.values, client.told, source.runs) == (values, ["complete"], 1)
        client.leave(engine, watched.path)
    await loop.pass_time(4)
    await Client().watch(engine, watched)
    await loop.pass_time(0.5)
    assert source.runs == 2


@pytest.mark.parametrize("keep", ["latest", 10])
@pytest.mark.parametrize("rate", [None, 1])
async def test_run_that_ends_while_a_client_comes(
    engine: Engine, source: Source, loop: SteppedLoop, keep: Any, rate: int | None
) -> None:
    """A client that entered before the end receives the values, and then the completion."""
    watched = prices(source, keep=keep)
    await Client().watch(engine, watched)
    await loop.pass_time(1)
    ticket = await engine.enter(watched, watched.path, {}, None)
    source.give("a", None)
    await loop.pass_time(1)
    late = Client()
    engine.watch(ticket, late.lane, WIRE, late, rate)
    await loop.pass_time(3)
    assert (late.values, late.told) == (["a"], ["complete"])
    assert engine.statistics(watched).keys == 0


# A first value


async def test_first_value_is_waited_for(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """Asking for a value starts the feed, waits for the first one, and lets the run linger."""
    watched = prices(source, linger=1.0)
    asking = [asyncio.create_task(engine.first(watched, watched.path, {}, 5.0)) for _ in range(3)]
    await loop.pass_time(1)
    assert (source.runs, [task.done() for task in asking]) == (1, [False] * 3)
    source.give("a")
    assert [[entry.payload for entry in (await task)[0]] for task in asking] == [[b"a"]] * 3
    assert [entry.payload for entry in (await engine.first(watched, watched.path, {}, 5.0))[0]] == [b"a"]
    await loop.pass_time(2)
    assert (source.runs, source.open) == (1, 0)


async def test_first_value_is_not_waited_for_for_ever(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """If none comes in time, TimeoutError is raised, and no run is left behind."""
    watched = prices(source, linger=1.0)
    asking = asyncio.create_task(engine.first(watched, watched.path, {}, 5.0))
    await loop.pass_time(5.1)
    with pytest.raises(TimeoutError):
        await asking
    await loop.pass_time(2)
    assert source.open == 0


@pytest.mark.parametrize("keep", ["latest", 10])
async def test_first_value_after_a_failure(
    engine: Engine, source: Source, loop: SteppedLoop, keep: Literal["latest"] | int
) -> None:
    """Values of a run before its failure are not current: a value of the next run is awaited."""
    watched = prices(source, keep=keep)
    await Client().watch(engine, watched)
    source.give("a", ValueError("once"))
    await turns(5)
    asking = asyncio.create_task(engine.first(watched, watched.path, {}, 100.0))
    await loop.pass_time(10)
    assert (source.runs, asking.done()) == (2, False)
    source.give("b")
    assert [entry.payload for entry in (await asking)[0]] == [b"b"]


async def test_first_value_of_a_feed_that_has_none(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """A generator that ends without a value is no longer awaited."""
    watched = prices(source)
    asking = asyncio.create_task(engine.first(watched, watched.path, {}, 5.0))
    await loop.pass_time(1)
    source.give(None)
    await loop.pass_time(1)
    assert asking.done()
    assert (await asking)[0] == []


async def test_first_value_of_a_topic(engine: Engine) -> None:
    """A topic's first value is not awaited."""
    watched = topic()
    assert (await engine.first(watched, watched.path, {}, 5.0))[0] == []
    engine.publishing.publish(watched, watched.path, "a")
    assert [entry.payload for entry in (await engine.first(watched, watched.path, {}, 5.0))[0]] == [b"a"]


# Bounds


async def test_keys_are_bounded(engine: Engine, loop: SteppedLoop) -> None:
    """Watchers of one key too many are refused; those of known keys, and after a leave, are not."""
    watched = topic()
    clients = [await Client().watch(engine, watched, name=f"/topic?{number}") for number in range(3)]
    with pytest.raises(TooManyLogs):
        await Client().watch(engine, watched, name="/topic?3")
    with pytest.raises(TooManyLogs):
        engine.check_room("/topic?3")
    await Client().watch(engine, watched, name="/topic?0")
    clients[1].leave(engine, "/topic?1")
    await Client().watch(engine, watched, name="/topic?3")
    assert engine.statistics(watched).keys == 3


# The first entries of a watcher


async def test_watcher_begins_with_what_was_declared(engine: Engine, loop: SteppedLoop) -> None:
    """In a log of many, a new watcher receives new values, after the last few if that was declared."""
    plain, replaying = topic(path="/plain"), topic(path="/replaying", replay=2)
    clients = []
    for watched in (plain, replaying):
        for value in "abc":
            engine.publishing.publish(watched, watched.path, value)
        clients.append(await Client().watch(engine, watched))
        engine.publishing.publish(watched, watched.path, "d")
    await loop.pass_time(1)
    assert ["".join(client.values) for client in clients] == ["d", "bcd"]


async def test_watcher_returns_where_it_was(engine: Engine, loop: SteppedLoop) -> None:
    """Everything since its position arrives, once; a watcher at the head receives new values."""
    watched = topic()
    places = [await engine.publishing.publish(watched, watched.path, value) for value in "abcd"]
    clients = [await Client().watch(engine, watched, since=place) for place in places]
    clients.append(await Client().watch(engine, watched, since=Position(places[0].epoch, 0)))
    engine.publishing.publish(watched, watched.path, "e")
    await loop.pass_time(1)
    assert ["".join(client.values) for client in clients] == ["bcde", "cde", "de", "e", "abcde"]


async def test_lost_position_is_told(engine: Engine, loop: SteppedLoop) -> None:
    """For a position that the log does not have, the watcher learns what is lost, and receives all entries."""
    watched = topic(keep=2)
    places = [await engine.publishing.publish(watched, watched.path, value) for value in "abcd"]
    epoch = places[0].epoch
    clients = [
        await Client().watch(engine, watched, since=since)
        for since in (places[0], Position("other", 3), Position(epoch, 99))
    ]
    await loop.pass_time(1)
    assert [client.values for client in clients] == [
        ['{"lost":1}', "c", "d"],
        ['{"lost":null}', "c", "d"],
        ['{"lost":null}', "c", "d"],
    ]
    assert engine.statistics(watched).lost == 1


async def test_newest_value_needs_no_word_of_loss(engine: Engine, source: Source, loop: SteppedLoop) -> None:
    """A client that returns to a feed of the newest value receives that, whatever its position."""
    watched = prices(source)
    await Client().watch(engine, watched)
    source.give("a", "b")
    await loop.pass_time(1)
    (newest,) = await engine.entries(watched, watched.path, {})
    returning = [
        await Client().watch(engine, watched, since=since) for since in (Position("other", 1), newest.position)
    ]
    await loop.pass_time(1)
    assert [client.values for client in returning] == [["b"], []]


async def test_table_is_reset_for_who_returns(engine: Engine, loop: SteppedLoop) -> None:
    """A returning watcher of a table receives a reset, unless it has everything."""
    watched = topic(dict[str, int], by="n", keep="latest")
    first = await engine.publishing.publish(watched, watched.path, {"n": 1})
    last = await engine.publishing.publish(watched, watched.path, {"n": 2})
    clients = [await Client().watch(engine, watched, since=since) for since in (first, last)]
    await loop.pass_time(1)
    rows = ['{"key":1,"value":{"n":1}}', '{"key":2,"value":{"n":2}}']
    assert [client.values for client in clients] == [['{"reset":true}', *rows], []]


# Publishing


async def test_publication_has_its_position(engine: Engine) -> None:
    """With or without watchers, a publication is numbered, at once and in order."""
    watched = topic()
    first = engine.publishing.publish(watched, watched.path, "a")
    await Client().watch(engine, watched)
    second = engine.publishing.publish(watched, watched.path, "b")
    assert first.done()
    assert [(await first).offset, (await second).offset] == [1, 2]
    assert engine.statistics(watched).published == 2


async def test_publication_that_fails_is_told_to_who_asks(engine: Engine) -> None:
    """A failed publication raises in its receipt, is counted, and affects nothing else."""
    watched = topic(dict[str, int], by="n", keep="latest")
    client = await Client().watch(engine, watched)
    broken = engine.publishing.publish(watched, watched.path, {"no": "row"})
    engine.publishing.publish(watched, watched.path, {"n": 1})
    with pytest.raises(KeyError):
        await broken
    await running().pass_time(1)
    assert len(client.values) == 1
    assert engine.statistics(watched).failed == 1


async def test_table_without_room_says_so(loop: SteppedLoop) -> None:
    """The rows of a table are bounded by the app's settings; removing one makes room."""
    engine = Engine(LocalLogs(running()), CapacityLimiter(1), Settings(max_table_rows=1))
    watched = topic(dict[str, int], by="n", keep="latest")
    await engine.publishing.publish(watched, watched.path, {"n": 1})
    with pytest.raises(LogFull):
        await engine.publishing.publish(watched, watched.path, {"n": 2})
    await engine.publishing.publish(watched, watched.path, Removed(1))
    await engine.publishing.publish(watched, watched.path, {"n": 2})


async def test_value_that_cannot_be_encoded_is_passed_over(
    engine: Engine, loop: SteppedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """If values are encoded when they are read, one that fails is logged once and counted."""
    watched = topic(object, keep="latest", path="/objects")
    clients = [await Client().watch(engine, watched) for _ in range(2)]
    engine.publishing.publish(watched, watched.path, object())
    await loop.pass_time(1)
    engine.publishing.publish(watched, watched.path, 1)
    await loop.pass_time(1)
    assert [client.values for client in clients] == [["1"], ["1"]]
    assert engine.statistics(watched).failed == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_expired_value_is_not_the_newest(engine: Engine, loop: SteppedLoop) -> None:
    """A log with a duration has no newest value once that is too old, even while it is watched."""
    watched = topic(keep=timedelta(seconds=10))
    client = await Client().watch(engine, watched)
    engine.publishing.publish(watched, watched.path, "a")
    assert [entry.payload for entry in (await engine.first(watched, watched.path, {}, 5.0))[0]] == [b"a"]
    await loop.pass_time(11)
    assert client.values == ["a"]
    assert (await engine.first(watched, watched.path, {}, 5.0))[0] == []
    assert await engine.entries(watched, watched.path, {}) == []


# The end


async def test_stop_ends_all_runs(engine: Engine, loop: SteppedLoop) -> None:
    """All generators are cancelled, and their finally blocks are awaited."""
    sources = [Source(), Source()]
    feeds = [prices(source, path=f"/{number}") for number, source in enumerate(sources)]
    client = await Client().watch(engine, feeds[0])
    await Client().watch(engine, feeds[1])
    await loop.pass_time(1)
    client.leave(engine, feeds[0].path)
    for source in sources:
        source.may_end.clear()
    stopping = asyncio.create_task(engine.stop())
    await loop.pass_time(1)
    assert not stopping.done()
    for source in sources:
        source.may_end.set()
    await stopping
    assert [source.open for source in sources] == [0, 0]
    await loop.pass_time(60)
    assert [source.runs for source in sources] == [1, 1]


async def test_stop_is_bounded(
    engine: Engine, source: Source, loop: SteppedLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """A generator that does not end does not keep the app from stopping; it is logged."""
    await Client().watch(engine, prices(source))
    await loop.pass_time(1)
    source.may_end.clear()
    stopping = asyncio.create_task(engine.stop())
    await loop.pass_time(5.1)
    assert stopping.done()
    assert "keep running after the app" in caplog.text
    source.may_end.set()
    await turns(5)


async def test_flush_writes_what_waits(engine: Engine, loop: SteppedLoop) -> None:
    """News that waits for the clock or for a slower rate is written at once, before connections close."""
    watched = topic()
    clients = [await Client().watch(engine, watched, rate=rate) for rate in (None, 1)]
    for value in "ab":
        engine.publishing.publish(watched, watched.path, value)
        engine.flush()
        assert [client.values[-1:] for client in clients] == [[value]] * 2
    await loop.pass_time(5)
    assert [client.values for client in clients] == [["a", "b"]] * 2
