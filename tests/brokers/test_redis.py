"""The broker for Redis keeps the contract with a real Valkey, also when the server is killed, paused or cut off."""

import asyncio
import re
import struct
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

pytest.importorskip("redis", reason="`make test` installs it")

from tests.brokers.contract import LAST, LATEST, TABLE, BrokerContract, Process, control_of
from tests.brokers.valkey import Pipe, Valkey
from tests.lanes.turns import counting_turns, turns, until
from tests.waiting import NEVER
from wirespeed.brokers.broker import Range
from wirespeed.brokers.redis import attached
from wirespeed.brokers.redis import broker as redis_broker
from wirespeed.brokers.redis import node as redis_node
from wirespeed.brokers.redis.attached import Attached
from wirespeed.brokers.redis.broker import RedisBroker
from wirespeed.brokers.redis.spelling import channel_of, keys_of, range_of
from wirespeed.errors import BrokerDown
from wirespeed.log.position import Position
from wirespeed.log.record import Retention


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A running server."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.kill()


class TestRedisBroker(BrokerContract):
    """The contract, through a pipe that is cut where the server has to be unreachable."""

    @pytest.fixture(autouse=True)
    def _server(self, valkey: Valkey) -> None:
        valkey.command("FLUSHALL")
        self.valkey = valkey

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Tests run on the loop of every app: the time of another process passes."""
        return "asyncio"

    @asynccontextmanager
    async def processes(self) -> AsyncIterator[tuple[Process, Process]]:
        self.pipe = Pipe(self.valkey.port)
        await self.pipe.open()
        url = f"redis://127.0.0.1:{self.pipe.port}"
        async with RedisBroker(url) as one, RedisBroker(url) as two:
            self.brokers = one, two
            yield Process(one, "one"), Process(two, "two")
        await self.pipe.close()

    async def stop(self) -> None:
        self.pipe.cut()

    async def start(self) -> None:
        await self.pipe.open()
        await self.recovered()

    async def recovered(self) -> None:
        """Wait until all replicas are up to date again."""
        await until(lambda: all(each.health.state == "ok" for each in self.brokers))

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def let_die(self, process: Process) -> None:
        for key in ("alive", "holders"):
            self.valkey.command("ZADD", f"wirespeed:{{processes}}:{key}", "XX", "1", control_of(process).process)

    @pytest.mark.parametrize("retention", [LAST, LATEST, TABLE])
    async def test_server_that_restarts_empty(self, retention: Retention) -> None:
        """A replica begins again, once, in a new epoch."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", retention)
            (before,) = await one.publish("a", retention, "r=1")
            await until(lambda: replica.at == before)
            self.valkey.kill()
            await until(lambda: replica.is_stale)
            self.valkey.start()
            await self.recovered()
            (after,) = await one.publish("a", retention, "r=2")
            await until(lambda: replica.at == after)
            assert isinstance(before, Position)
            assert isinstance(after, Position)
            assert (replica.payloads(), replica.begins) == ([b"2"], 2)
            assert before.epoch != after.epoch

    async def test_paused_server_is_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A connection that is open but delivers nothing is not healthy; afterwards nothing is missing."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", LAST)
            post = one.post("a", LAST, "1")
            with monkeypatch.context() as patched:  # not longer: a slow machine needs the real limits to connect again
                patched.setattr(redis_broker, "TICK", 0.02)
                patched.setattr(redis_node, "SILENCE", 0.05)
                patched.setattr(redis_node, "PATIENCE", 0.2)
                self.valkey.pause()
                with pytest.raises(BrokerDown):
                    await one.broker.publish([post])
                await until(lambda: replica.is_stale)
                since = two.broker.health.since
                assert since is not None
                assert asyncio.get_running_loop().time() - since > 0.2  # since the last sign of life
            self.valkey.go_on()
            await self.recovered()
            await one.broker.publish([post])
            await until(lambda: replica.entries)
            assert (replica.payloads(), replica.begins, replica.is_stale) == ([b"1"], 1, False)

    @pytest.mark.parametrize("retention", [LAST, LATEST, TABLE])
    async def test_lost_entries_begin_an_epoch(self, retention: Retention) -> None:
        """If the server has lost entries, as after a failover, their offsets are not assigned again."""
        async with self.processes() as (one, two):
            (first,) = await one.publish("a", retention, "r=1")
            replica = await two.attach("a", retention)
            keys = [key for key in keys_of("wirespeed", "a") if b":1\r\n" in self.valkey.command("EXISTS", key)]
            for key in keys:
                self.valkey.command("COPY", key, f"old:{key}")
            (second,) = await one.publish("a", retention, "r=2")
            await until(lambda: replica.at == second)
            for key in keys:
                self.valkey.command("COPY", f"old:{key}", key, "REPLACE")
            (third,) = await one.publish("a", retention, "r=3")
            await until(lambda: replica.at == third)
            assert isinstance(first, Position)
            assert isinstance(third, Position)
            assert third.epoch != first.epoch
            assert replica.begins == 2

    async def test_lost_entries_are_noticed_though_others_follow(self) -> None:
        """If as many entries were stored since as were lost, the tag of the newest one reveals it."""
        async with self.processes() as (one, two):
            await one.publish("a", LAST, "1")
            replica = await two.attach("a", LAST)
            keys = keys_of("wirespeed", "a")[:3:2]
            for key in keys:
                self.valkey.command("COPY", key, f"old:{key}")
            (second,) = await one.publish("a", LAST, "2")
            await until(lambda: replica.at == second)
            self.pipe.cut()
            for key in keys:
                self.valkey.command("COPY", f"old:{key}", key, "REPLACE")
            async with RedisBroker(f"redis://127.0.0.1:{self.valkey.port}") as other:
                await Process(other, "three").publish("a", LAST, "3", "4")
            await self.start()
            assert replica.payloads() == [b"1", b"3", b"4"]
            assert (replica.begins, replica.at != second) == (2, True)

    async def test_lost_entries_are_noticed_by_a_publisher(self) -> None:
        """A process that only publishes notices, by the tag of its last batch, that another one has its place."""
        async with self.processes() as (one, two):
            (first,) = await one.publish("a", LAST, "1")
            self.valkey.command("FLUSHALL")
            async with RedisBroker(self.valkey.url) as other:
                await Process(other, "three").publish("a", LAST, "2")
            assert isinstance(first, Position)
            self.valkey.command("HSET", keys_of("wirespeed", "a")[0], "epoch", first.epoch)
            (second,) = await one.publish("a", LAST, "3")
            assert isinstance(second, Position)
            assert (second.epoch != first.epoch, second.offset) == (True, 2)
            assert (await two.attach("a", LAST)).payloads() == [b"2", b"3"]

    @pytest.mark.parametrize("retention", [LAST, LATEST, TABLE])
    async def test_evicted_keys(self, retention: Retention) -> None:
        """Whatever key of a log is gone, replicas are equal to new ones after the next publication."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", retention)
            for number, key in enumerate(keys_of("wirespeed", "a")):
                await one.publish("a", retention, f"r{number}=1")
                self.valkey.command("DEL", key)
                await one.publish("a", retention, f"r{number}=2")
                async with RedisBroker(self.valkey.url) as third:
                    new = await Process(third, "three").attach("a", retention)
                    (result,) = await one.publish("a", retention, f"q{number}=3")
                    await until(lambda: replica.at == new.at == result)  # noqa: B023 - waits here
                    assert replica.payloads()[-1:] == new.payloads()[-1:] == [b"3"]
                    assert retention is not TABLE or replica.rows() == new.rows()

    @pytest.mark.parametrize("kind", ["normal", "pubsub"])
    async def test_killed_connections(self, kind: str) -> None:
        """A server that closes one of the connections, as it does with slow readers, is connected to again."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", LAST)
            await one.publish("a", LAST, "1")
            self.valkey.command("CLIENT", "KILL", "TYPE", kind)
            await until(lambda: replica.is_stale)
            await self.recovered()
            await one.publish("a", LAST, "2")
            await until(lambda: len(replica.entries) == 2)
            assert (replica.payloads(), replica.begins) == ([b"1", b"2"], 1)

    async def test_damaged_range_is_read_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A reply that cannot be read leaves the replica behind only until the next attempt."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", LAST)
            await one.publish("a", LAST, "1")
            await until(lambda: replica.entries)
            damage = [struct.error("damaged")]

            def damaged(*reply: Any) -> Range:
                if damage:
                    raise damage.pop()
                return range_of(*reply)

            monkeypatch.setattr(attached, "range_of", damaged)
            self.pipe.cut()
            await until(lambda: replica.is_stale)
            await self.start()
            await one.publish("a", LAST, "2")
            await until(lambda: replica.payloads() == [b"1", b"2"])
            assert damage == []

    async def test_cut_within_a_message(self) -> None:
        """A connection that ends in the middle of a message leaves no trace of the message."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", LAST)
            self.pipe.cut_within(100_000)
            with suppress(BrokerDown):  # if the reply has come before
                await one.publish("a", LAST, "x" * 90_000, "y" * 90_000)
            await until(lambda: replica.is_stale)
            self.pipe.cut_within(None)
            await self.start()
            whole = await one.broker.read("a", LAST)
            assert whole is not None
            await until(lambda: replica.at == whole.at)
            assert (replica.entries, replica.begins) == (list(whole.entries), 1)

    async def test_foreign_messages(self) -> None:
        """A message that is not one of ours is logged and ignored."""
        async with self.processes() as (one, two):
            replica = await two.attach("a", LAST)
            channel = channel_of("wirespeed", "a", 0)
            for text in ("", "hello", "a b c\nd", f"{replica.at.epoch if replica.at else ''} 0 tag\n1234"):
                self.valkey.command("SPUBLISH", channel, text)
            await one.publish("a", LAST, "1")
            await until(lambda: replica.entries)
            assert (replica.payloads(), replica.begins) == ([b"1"], 1)

    async def test_cancelled_request_does_not_take_the_next_reply(self) -> None:
        """The reply to a call that was cancelled is dropped."""
        async with self.processes() as (one, _):
            cancelled = asyncio.create_task(one.broker.read("a", LAST))
            await asyncio.sleep(0)
            cancelled.cancel()
            (result,) = await one.publish("a", LAST, "1")
            assert isinstance(result, Position)

    async def test_flushed_scripts_are_sent_again(self) -> None:
        """A server that has forgotten the scripts gets them with the next call."""
        async with self.processes() as (one, two):
            self.valkey.command("SCRIPT", "FLUSH")
            (result,) = await one.publish("a", LAST, "1")
            self.valkey.command("SCRIPT", "FLUSH")
            assert (await two.attach("a", LAST)).positions() == [result]


@pytest.mark.anyio
async def test_unreachable_server_is_named() -> None:
    """A server that cannot be reached at the start is reported with the reason."""
    async with RedisBroker("valkey://127.0.0.1:1") as broker:
        assert broker.health.state == "down"
        assert "127.0.0.1:1" in broker.health.problem


@pytest.mark.parametrize("url", ["nats://localhost", "localhost"])
def test_other_urls_are_refused(url: str) -> None:
    """A URL of something else is an error that names the schemes."""
    with pytest.raises(ValueError, match="redis://"):
        RedisBroker(url)


@pytest.mark.anyio
async def test_quiet_logs_are_checked_in_turns(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many logs are attached, one turn of the loop checks a bounded number, and the next ones the others."""
    monkeypatch.setattr(redis_broker, "LOOKS", 2)
    monkeypatch.setattr(redis_broker, "TICK", NEVER)
    ticks = Counter[tuple[int, Attached]]()
    async with RedisBroker(f"redis://127.0.0.1:{valkey.port}") as broker, counting_turns() as had:

        def tick(self: Attached, now: float) -> None:
            ticks[had(), self] += 1

        monkeypatch.setattr(Attached, "tick", tick)
        process = Process(broker, "one")
        for number in range(5):
            await process.attach(f"quiet {number}", LAST)
        ticks.clear()
        broker._tick()
        await until(lambda: len({attached for _, attached in ticks}) == 5)
        assert max(Counter(at for at, _ in ticks).values()) == 2


@pytest.mark.anyio
async def test_announcements_are_shared(valkey: Valkey) -> None:
    """All that ask while one announcement waits for its reply share the next, and learn of its failure."""
    async with RedisBroker(f"redis://127.0.0.1:{valkey.port}") as broker:
        control = control_of(Process(broker, "one"))
        await control.processes()
        before = calls(valkey)
        first = asyncio.create_task(control.processes())
        await turns(2)
        others = await asyncio.gather(*(control.processes() for _ in range(100)))
        assert set(map(tuple, others)) == {(control.process,)} == {tuple(await first)}
        assert calls(valkey) - before == 2
    with pytest.raises(BrokerDown):
        await control.processes()


@pytest.mark.anyio
async def test_process_that_stops_while_it_is_to_announce_itself(valkey: Valkey) -> None:
    """Announcements that are waiting when a process stops do not make it alive again; it is when it is opened again."""
    valkey.command("FLUSHALL")
    url = f"redis://127.0.0.1:{valkey.port}"
    async with RedisBroker(url) as staying:
        leaving, flags = RedisBroker(url), list[bool]()
        control = leaving.control
        control.beaten = lambda is_known, _: flags.append(is_known)
        for _ in range(2):
            async with leaving:
                assert control.process in await control.processes()
                asked = [asyncio.create_task(control.processes())]
                await turns(2)
                asked.append(asyncio.create_task(control.processes()))
                await turns(2)
                await control.part()
                await asyncio.gather(*asked, control.processes())
                assert control.process not in await staying.control.processes()
        assert len(flags) == 2  # as it was opened; one that stops does not look after its members again


def calls(valkey: Valkey) -> int:
    """Return how many scripts a server has run by now."""
    return sum(
        int(each) for each in re.findall(rb"cmdstat_evalsha:calls=(\d+)", valkey.command("INFO", "commandstats"))
    )
