"""Processes: requests of one process to the others, with their bounds in time and bytes."""

import asyncio
import gc
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import pytest

from tests.brokers.simulated import Network, SimulatedBroker
from tests.hub.stepping import BACKEND, running
from tests.lanes.turns import turns
from wirespeed.errors import BrokerDown
from wirespeed.hub.processes import MOST_ANSWERING, MOST_BYTES, MOST_WAITING, PATIENCE, Processes
from wirespeed.isolation import Lines

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> object:
    """Tests run on a loop whose time they let pass."""
    return BACKEND


@asynccontextmanager
async def three(network: Network) -> AsyncIterator[list[Processes]]:
    """Three processes that know of each other, and answer with what they are asked, and their number."""
    found = []
    brokers = [SimulatedBroker(network) for _ in range(3)]
    for number, broker in enumerate(brokers):
        found.append(processes := Processes())
        processes.answers["echo"] = lambda body, number=number: b"%d %b" % (number, body)  # type: ignore[misc]
        processes.open(broker.control)
        await broker.__aenter__()
    await running().pass_time(1)
    yield found
    network.clear_up()
    for broker in brokers:
        await broker.__aexit__(None, None, None)


async def test_one_is_asked() -> None:
    """The process that is named answers, and no other."""
    async with three(Network()) as (one, two, _):
        assert await one.ask("echo", b"a\n", two.process) == b"1 a\n"
        unknown = asyncio.create_task(one.ask("echo", b"", "unknown"))
        await running().pass_time(1)
        assert unknown.result() is None


async def test_unknown_processes_cost_the_broker_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to processes that do not exist ask the broker once a second together, and known ones not at all."""
    network = Network()
    async with three(network) as (one, two, _):
        control, looks = network.brokers[0].control, 0
        alive = control.processes

        async def processes() -> Collection[str]:
            nonlocal looks
            looks += 1
            return await alive()

        monkeypatch.setattr(control, "processes", processes)
        assert [await one.ask("echo", b"a", two.process) for _ in range(9)] == [b"1 a"] * 9
        assert looks == 1
        asked = [asyncio.create_task(one.ask("echo", b"a", f"unknown {number}")) for number in range(300)]
        await running().pass_time(0.1)
        asked += [asyncio.create_task(one.ask("echo", b"a", f"unknown {number}")) for number in range(300)]
        await running().pass_time(2.5)
        assert {each.result() for each in asked} == {None}
        assert looks <= 3


async def test_process_that_comes_later_is_found() -> None:
    """A process that has started since the last look is asked, even while clients ask for others that do not exist."""
    network = Network()
    async with three(network) as (one, *_):
        assert await one.ask("echo", b"a", "unknown") is None
        async with three(network) as (late, *_):
            asked = [asyncio.create_task(one.ask("echo", b"a", each)) for each in ("unknown", late.process)]
            await running().pass_time(1.5)
            assert [each.result() for each in asked] == [None, b"0 a"]


async def test_all_are_asked() -> None:
    """All others answer; requests at the same time do not get each other's answers."""
    async with three(Network()) as (one, two, three_):
        first, second = await asyncio.gather(one.ask_all("echo", b"a"), one.ask_all("echo", b"b"))
        assert first == (2, {two.process: b"1 a", three_.process: b"2 a"}, set())
        assert second == (2, {two.process: b"1 b", three_.process: b"2 b"}, set())


async def test_process_that_does_not_answer() -> None:
    """The others' answers are returned when the time is over; a single one that does not answer is None."""
    network = Network()
    async with three(network) as (one, two, three_):
        network.deaf.add(network.brokers[2])
        asked = asyncio.create_task(one.ask_all("echo", b"a", 3.0))
        await running().pass_time(2.9)
        assert not asked.done()
        await running().pass_time(0.2)
        assert asked.result() == (2, {two.process: b"1 a"}, {three_.process})
        single = asyncio.create_task(one.ask("echo", b"a", three_.process))
        await running().pass_time(PATIENCE + 0.1)
        assert single.result() is None


async def test_unknown_request_has_no_answer() -> None:
    """A process of another version does not know a word: it ignores the request, and answers the next one."""
    async with three(Network()) as (one, two, _):
        asked = asyncio.create_task(one.ask("news", b"a", two.process))
        await running().pass_time(PATIENCE + 0.1)
        assert asked.result() is None
        assert await one.ask("echo", b"a", two.process) == b"1 a"


async def test_bytes_that_wait() -> None:
    """Requests wait for answers up to a bound in bytes; beyond it they are refused, until others have ended."""
    network = Network()
    async with three(network) as (one, two, _):
        network.deaf.add(network.brokers[1])
        large = b"x" * MOST_BYTES
        asked = [asyncio.create_task(one.ask("echo", large, two.process)) for _ in range(MOST_WAITING // MOST_BYTES)]
        await running().pass_time(0.1)
        with pytest.raises(BrokerDown, match=f"{MOST_WAITING} bytes of requests wait"):
            await one.ask("echo", b"x", two.process)
        await running().pass_time(PATIENCE)
        assert [each.result() for each in asked] == [None] * len(asked)
        network.deaf.clear()
        assert await one.ask("echo", b"x", two.process) == b"1 x"


async def test_bytes_of_a_message(caplog: pytest.LogCaptureFixture) -> None:
    """A request that is too large is refused; an answer that is too large does not come, and is logged."""
    async with three(Network()) as (one, two, _):
        with pytest.raises(ValueError, match="at most 1048576 are possible"):
            await one.ask("echo", b"x" * (MOST_BYTES + 1), two.process)
        with pytest.raises(ValueError, match="at most 1048576 are possible"):
            one.tell("echo", b"x" * (MOST_BYTES + 1))
        asked = asyncio.create_task(one.ask("echo", b"x" * MOST_BYTES, two.process))
        await running().pass_time(PATIENCE + 0.1)
        assert asked.result() is None
        assert [each.levelname for each in caplog.records] == ["ERROR"]
        caplog.clear()


async def test_broker_that_is_away() -> None:
    """Requests and messages are refused at once, and nothing waits for them."""
    network = Network()
    async with three(network) as (one, two, _):
        network.go_down()
        for attempt in (one.ask("echo", b"", two.process), one.ask_all("echo", b"")):
            with pytest.raises(BrokerDown):
                await attempt
        with pytest.raises(BrokerDown):
            one.tell("echo", b"")


async def test_broker_that_does_not_answer() -> None:
    """A request is given up when its time is over."""
    network = Network()
    async with three(network) as (one, two, _):
        network.is_calm = False
        asked = [asyncio.create_task(one.ask("echo", b"", two.process)), asyncio.create_task(one.ask_all("echo", b""))]
        await running().pass_time(PATIENCE + 0.1)
        for each in asked:
            with pytest.raises(BrokerDown, match="does not answer"):
                await each


async def test_request_that_is_cancelled() -> None:
    """Its answer is ignored, and its bytes wait no longer."""
    async with three(Network()) as (one, two, _):
        for _ in range(2 * MOST_WAITING // MOST_BYTES):
            asked = asyncio.create_task(one.ask("echo", b"x" * (MOST_BYTES - 10), two.process))
            await asyncio.sleep(0)
            asked.cancel()
            await asyncio.wait([asked])
        assert await one.ask("echo", b"a", two.process) == b"1 a"


async def test_answers_that_take_time(caplog: pytest.LogCaptureFixture) -> None:
    """An answer may take more than one turn; a few are made at once, and others follow; one that fails is logged."""
    async with three(Network()) as (one, two, _):
        may_answer, begun = asyncio.Event(), 0

        async def slow(body: bytes) -> bytes:
            nonlocal begun
            begun += 1
            await may_answer.wait()
            return b"slow " + body

        async def fails(body: bytes) -> bytes:
            raise RuntimeError("cannot look")

        two.slow |= {"slow": slow, "fails": fails}
        asked = [asyncio.create_task(one.ask("slow", b"%d" % each, two.process)) for each in range(2 * MOST_ANSWERING)]
        await running().pass_time(PATIENCE / 2)
        assert begun == MOST_ANSWERING
        may_answer.set()
        await running().pass_time(1)
        assert [each.result() for each in asked] == [b"slow %d" % each for each in range(2 * MOST_ANSWERING)]
        assert await one.ask("slow", b"later", two.process) == b"slow later"
        failed = asyncio.create_task(one.ask("fails", b"", two.process))
        await running().pass_time(PATIENCE + 0.1)
        assert failed.result() is None
        assert "could not be answered" in caplog.text


async def test_requests_that_wait_for_their_turn(caplog: pytest.LogCaptureFixture) -> None:
    """They are bounded in bytes, empty ones, too; those beyond it have no answer, of which the log has one line."""
    processes, control = Processes(), SimulatedBroker(Network()).control
    may_answer, answered = asyncio.Event(), 0

    async def slow(body: bytes) -> bytes:
        nonlocal answered
        await may_answer.wait()
        answered += 1
        return body

    processes.slow["slow"] = slow
    processes._lines = Lines(lambda: 0.0)  # time stands
    processes.open(control)
    for _ in range(20_000):
        control.receive("other", b"slow 0\n")
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    may_answer.set()
    await turns(5000)
    assert answered == MOST_ANSWERING + MOST_WAITING // 512
    control.receive("other", b"slow 0\n")
    await turns(10)
    assert answered == MOST_ANSWERING + MOST_WAITING // 512 + 1


async def test_alone() -> None:
    """Without a broker nothing is sent, and there is no one to ask."""
    processes = Processes()
    processes.tell("echo", b"")
    assert await processes.ask("echo", b"", "other") is None
    assert await processes.ask_all("echo", b"") == (0, {}, ())
    assert processes.process == ""


async def test_closed_before_an_answer_begins(recwarn: pytest.WarningsRecorder) -> None:
    """A request whose answer has not begun is dropped by a process that closes, without a warning of Python."""
    processes, control = Processes(), SimulatedBroker(Network()).control

    async def slow(body: bytes) -> bytes:
        return body

    processes.slow["slow"] = slow
    processes.open(control)
    for _ in range(2 * MOST_ANSWERING):
        control.receive("other", b"slow 1\n")
    processes.close()
    await running().pass_time(1)
    gc.collect()
    assert [str(each.message) for each in recwarn] == []
