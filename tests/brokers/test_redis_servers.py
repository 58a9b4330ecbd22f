"""The broker finds its servers: by TLS and sockets, behind Sentinel, and in a Cluster that changes."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from random import Random
from secrets import token_hex

import pytest
import trustme

pytest.importorskip("redis", reason="`make test` installs it")

from redis.crc import key_slot

from tests.brokers.contract import LAST, Process, all_alive, control_of, member, store_of, until_async
from tests.brokers.valkey import SLOTS, Cluster, Pipe, Sentinel, Valkey
from tests.lanes.turns import until
from tests.waiting import wait_until
from wirespeed.brokers.broker import Post
from wirespeed.brokers.redis.broker import RedisBroker
from wirespeed.brokers.redis.spelling import keys_of
from wirespeed.errors import BrokerDown, BrokerFull, BrokerRefused
from wirespeed.log.position import Position

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Tests run on the loop of every app: the time of another process passes."""
    return "asyncio"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Cluster of three, with a replica of the first."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), replicas=1)
    yield cluster
    cluster.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A server with a socket and a second user."""
    directory = tmp_path_factory.mktemp("s")
    server = Valkey(directory, {"unixsocket": str(directory / "socket")})
    server.command("ACL", "SETUSER", "ada", "on", ">s3/cret:", "~shop:*", "&shop:*", "+@all", "-@dangerous")
    yield server
    server.kill()


@asynccontextmanager
async def processes(url: str) -> AsyncIterator[tuple[Process, Process]]:
    """Connect two processes."""
    async with RedisBroker(url) as one, RedisBroker(url) as two:
        yield Process(one, token_hex(4)), Process(two, token_hex(4))


async def check(one: Process, two: Process, name: str = "a") -> None:
    """Publish, and see it arrive."""
    replica = await two.attach(name, LAST)
    results = await one.publish(name, LAST, "1", "2")
    await until(lambda: replica.at == results[-1])
    assert replica.positions()[-2:] == results


async def published(one: Process, name: str, text: str) -> None:
    """Publish until the results have arrived, as the outbox does."""
    await stored(one, one.post(name, LAST, text))


async def stored(one: Process, post: Post) -> None:
    """Publish a post until its results have arrived."""
    while True:
        try:
            (results,) = await one.broker.publish([post])
        except BrokerDown:
            await asyncio.sleep(0.05)
        else:
            assert isinstance(results[0], Position)
            return


def slot_of(name: str) -> int:
    """Return the slot of a log."""
    return int(key_slot(keys_of("wirespeed", name)[0].encode()))


def name_in(cluster: Cluster, number: int) -> str:
    """Return the name of a log that a primary has."""
    return next(name for name in map(str, range(1000)) if slot_of(name) * 3 // SLOTS == number)


def disturb(random: Random, cluster: Cluster, names: list[str], owners: dict[int, Valkey]) -> None:
    """Close connections, drop the scripts of a server, or move the slot of a log."""
    server, number = random.choice(cluster.primaries), random.randrange(3)
    match random.choice(("normal", "pubsub", "scripts", "slot")):
        case "scripts":
            server.command("SCRIPT", "FLUSH")
        case "slot":
            target = random.choice([each for each in cluster.primaries if each is not owners[number]])
            cluster.move_slot(slot_of(names[number]), owners[number], target)
            owners[number] = target
        case kind:
            server.command("CLIENT", "KILL", "TYPE", kind)


class TestCluster:
    """Logs are spread over the primaries, and follow their slots."""

    async def test_logs_of_all_primaries(self, cluster: Cluster) -> None:
        """Each log works, on whichever primary it is, also if the URL names only one server."""
        async with processes(f"redis+cluster://127.0.0.1:{cluster.primaries[2].port}") as (one, two):
            for number in range(3):
                await check(one, two, name_in(cluster, number))

    async def test_members_and_messages(self, cluster: Cluster) -> None:
        """Members are stored with their log, on any primary; messages between processes reach them all the same."""
        async with processes(cluster.url) as (one, two):
            controls, heard = [control_of(each) for each in (one, two)], []
            controls[1].receive = lambda _, message: heard.append(message)
            await until_async(lambda: all_alive(controls))
            controls[0].tell(b"all")
            controls[0].tell(b"one", controls[1].process)
            for number in range(3):
                name = name_in(cluster, number)
                await store_of(one).put(name, [member("1")], [])
                await store_of(two).put(name, [member("2")], [])
                assert (await store_of(one).read(name, 10)).clients == 2
                await store_of(two).put(name, [], [], is_whole=True)
                assert await store_of(one).read(name, 10) == (1, 1, [b"1\n"], False)
                assert await store_of(one).sweep(name) == []
            await until(lambda: heard == [b"all", b"one"])

    async def test_slot_moves_while_it_is_subscribed(self, cluster: Cluster) -> None:
        """Values that are published while a slot moves arrive, each once; the replica does not begin again."""
        name = name_in(cluster, 1)
        async with processes(cluster.url) as (one, two):
            replica = await two.attach(name, LAST)
            before = len(replica.entries)
            moving = asyncio.create_task(asyncio.to_thread(cluster.move_slot, slot_of(name), *cluster.primaries[1:]))
            for number in range(20):
                await published(one, name, f"{number}")
            await moving
            await published(one, name, "last")
            await until(lambda: replica.payloads()[-1:] == [b"last"])
            assert replica.payloads()[before:] == [b"%d" % number for number in range(20)] + [b"last"]
            assert replica.begins == 1
            await until(lambda: two.broker.health.state == "ok")
        cluster.move_slot(slot_of(name), *reversed(cluster.primaries[1:]))

    async def test_many_faults(self, cluster: Cluster) -> None:
        """Whatever happens to connections, scripts and slots, each value arrives once, in order."""
        random, is_over = Random(1), False
        names = [name_in(cluster, number) for number in range(3)]
        owners = dict(enumerate(cluster.primaries))

        async def publish(one: Process, name: str) -> int:
            for number in count():
                if is_over:
                    return number
                await published(one, name, f"{number}")
            raise AssertionError

        async with processes(cluster.url) as (one, two):
            replicas = [await two.attach(name, LAST) for name in names]
            before = [len(replica.entries) for replica in replicas]
            publishing = [asyncio.create_task(publish(one, name)) for name in names]
            for _ in range(20):
                await asyncio.to_thread(disturb, random, cluster, names, owners)
            is_over = True
            for replica, first, numbers in zip(replicas, before, await asyncio.gather(*publishing), strict=True):
                await until(lambda: len(replica.entries) >= first + numbers)  # noqa: B023 - waits here
                assert replica.payloads()[first:] == [b"%d" % number for number in range(numbers)]
                assert replica.begins == 1
        for number, owner in owners.items():
            if owner is not cluster.primaries[number]:
                cluster.move_slot(slot_of(names[number]), owner, cluster.primaries[number])

    async def test_server_that_does_not_answer(self, cluster: Cluster) -> None:
        """Posts to the other servers get their results, and the posts to this one are stored once when it answers."""
        name, other = name_in(cluster, 1), name_in(cluster, 2)
        async with processes(cluster.url) as (one, two):
            replica = await two.attach(name, LAST)
            before = len(replica.entries)
            posts = [one.post(name, LAST, "late"), one.post(other, LAST, "early")]
            cluster.primaries[1].pause()
            results = await one.broker.publish(posts)
            cluster.primaries[1].go_on()
            assert [type(each) for (each,) in results] == [BrokerDown, Position]
            await stored(one, posts[0])
            await until(lambda: len(replica.entries) > before)
            assert replica.payloads()[before:] == [b"late"]
            wait_until(cluster.is_ready)

    async def test_primary_dies(self, cluster: Cluster) -> None:
        """The logs of the others go on; those of the dead primary do when its replica was promoted."""
        name, other = name_in(cluster, 0), name_in(cluster, 2)
        async with processes(cluster.url) as (one, two):
            replica, untouched = await two.attach(name, LAST), await two.attach(other, LAST)
            await published(one, name, "before")
            wait_until(cluster.primaries[0].is_copied)
            cluster.primaries[0].kill()
            await until(lambda: replica.is_stale)
            assert two.broker.health.state == "stale"
            assert not untouched.is_stale
            results = await one.broker.publish([one.post(name, LAST, "lost"), one.post(other, LAST, "kept")])
            assert [type(each) for (each,) in results] == [BrokerDown, Position]
            await published(one, name, "after")
            await until(lambda: replica.payloads()[-1:] == [b"after"])
            assert replica.payloads()[-2:] == [b"before", b"after"]
            assert (replica.begins, untouched.begins) == (1, 1)
            await until(lambda: two.broker.health.state == "ok")


class TestSentinel:
    """The broker asks Sentinel for the primary, and follows it."""

    async def test_failovers(self, tmp_path: Path) -> None:
        """After a failover by hand, and after the death of the primary, values arrive by the new one."""
        async with AsyncExitStack() as stack:
            primary, second = (self._running(stack, Valkey(tmp_path)) for _ in range(2))
            second.follow(primary)
            sentinel = Sentinel(tmp_path, primary)
            stack.callback(sentinel.kill)
            wait_until(lambda: sentinel.knows_replicas(1))
            url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/{Sentinel.NAME}"
            one, two = await stack.enter_async_context(processes(url))
            replica = await two.attach("a", LAST)
            await published(one, "a", "1")
            wait_until(primary.is_copied)
            await asyncio.to_thread(sentinel.fail_over)
            await published(one, "a", "2")
            await until(lambda: replica.payloads()[-1:] == [b"2"])
            assert b"role:master" in second.command("INFO", "replication")

    def _running(self, stack: AsyncExitStack, server: Valkey) -> Valkey:
        stack.callback(server.kill)
        return server

    async def test_unknown_primary(self, tmp_path: Path) -> None:
        """A name that no Sentinel knows is named as the problem."""
        url = "redis+sentinel://127.0.0.1:1/other"
        async with RedisBroker(url) as broker:
            assert "GET-MASTER-ADDR-BY-NAME other" in broker.health.problem


class TestAddresses:
    """One server, reached in different ways."""

    async def test_socket(self, server: Valkey) -> None:
        """A socket is named by its path."""
        path = server.command("CONFIG", "GET", "unixsocket").split(b"\r\n")[-2].decode()
        async with processes(f"unix://{path}?db=2") as (one, two):
            await check(one, two)

    async def test_user_with_few_rights(self, server: Valkey) -> None:
        """A user needs the keys and channels of the namespace, and no dangerous commands."""
        url = f"valkey://ada:s3%2Fcret%3A@127.0.0.1:{server.port}/1"
        async with RedisBroker(url, "shop") as one, RedisBroker(url, "shop") as two:
            await check(Process(one, token_hex(4)), Process(two, token_hex(4)))

    async def test_user_without_rights(self, server: Valkey) -> None:
        """Missing rights are a problem of the broker that is named, and the password is not."""
        async with RedisBroker(f"redis://ada:s3%2Fcret%3A@127.0.0.1:{server.port}", "other") as broker:
            assert "NOPERM" in broker.health.problem or "permission" in broker.health.problem
            assert "cret" not in broker.health.problem
        async with RedisBroker(f"redis://ada:wrong@127.0.0.1:{server.port}", "shop") as broker:
            assert broker.health.state == "down"
            assert "password" in broker.health.problem
            assert "wrong" not in broker.health.problem

    @pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
    async def test_certificates(self, server: Valkey, tmp_path: Path, scheme: str) -> None:
        """With TLS the certificate is checked, against the system's authorities or one that the URL names."""
        authority = trustme.CA()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        pipe = Pipe(server.port, context)
        await pipe.open()
        url = f"{scheme}://127.0.0.1:{pipe.port}"
        async with RedisBroker(url) as broker:
            assert "certificate" in broker.health.problem.lower()
        async with processes(f"{url}?ssl_ca_certs={tmp_path / 'ca.pem'}") as (one, two):
            await check(one, two)
        async with processes(f"{url}?ssl_cert_reqs=none") as (one, two):
            await check(one, two, "b")
        await pipe.close()

    @pytest.mark.parametrize(
        ("url", "problem"),
        [
            ("nats://localhost", "unknown scheme"),
            ("localhost", "no scheme"),
            ("redis://a,b", "several hosts"),
            ("redis://s:e/cret@localhost", "host or port"),
            ("redis://cret@localhost", "needs a password"),
            ("redis://localhost:99999", "host or port"),
            ("redis://localhost/zero", "number of the database"),
            ("redis://localhost?cret=1", "unknown option"),
            ("redis://localhost?max_value_bytes=1e6", "max_value_bytes"),
            ("redis://localhost?ssl_ca_certs=x", "need rediss"),
            ("rediss://localhost?ssl_cert_reqs=perhaps", "ssl_cert_reqs"),
            ("redis+sentinel://localhost", "name the primary"),
            ("redis+cluster://localhost/1", "only database 0"),
            ("unix://localhost/path", "no host"),
        ],
    )
    def test_wrong_url(self, url: str, problem: str) -> None:
        """A wrong URL is an error that says how to write it, without parts that may be a password."""
        with pytest.raises(ValueError, match=problem) as caught:
            RedisBroker(url)
        assert "redis+sentinel://host1,host2/name" in str(caught.value)
        assert "cret" not in str(caught.value)


class TestConfiguration:
    """The server's configuration, and its memory."""

    async def test_eviction_is_warned_of(self, server: Valkey, caplog: pytest.LogCaptureFixture) -> None:
        """A server that may evict logs is named, with the setting."""
        server.command("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru")
        async with RedisBroker(server.url):
            assert "maxmemory-policy is allkeys-lru" in caplog.text
        caplog.clear()
        server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        async with RedisBroker(server.url):
            assert caplog.text == ""
        server.command("CONFIG", "SET", "maxmemory", "0")

    async def test_full_server(self, server: Valkey) -> None:
        """A publication without memory fails at once; logs can still be read, attached and ended."""
        async with processes(server.url) as (one, two):
            (first,) = await one.publish("e", LAST, "1")
            server.command("CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "noeviction")
            (refused,) = await one.publish("e", LAST, "2")
            replica = await two.attach("e", LAST)
            await one.broker.end("e", LAST)
            server.command("CONFIG", "SET", "maxmemory", "0")
            await until(lambda: replica.completed_at)
            assert type(refused) is BrokerFull
            assert replica.positions() == [first]

    async def test_value_that_is_too_large(self, server: Valkey) -> None:
        """A large value is refused by itself, with the option that allows it; the others of its post are stored."""
        async with processes(f"{server.url}?max_value_bytes=10") as (one, two):
            replica = await two.attach("f", LAST)
            results = await one.publish("f", LAST, "1", "x" * 11, "3")
            await until(lambda: len(replica.entries) == 2)
            assert [type(each) for each in results] == [Position, BrokerRefused, Position]
            assert "max_value_bytes" in str(results[1])
            assert replica.payloads() == [b"1", b"3"]
            assert [type(each) for each in await one.publish("f", LAST, "x" * 11)] == [BrokerRefused]

    async def test_key_of_another_application(self, server: Valkey) -> None:
        """A key that is something else fails the publications to one log, and nothing else."""
        server.command("SET", keys_of("wirespeed", "c")[0], "foreign")
        async with processes(server.url) as (one, two):
            (refused,) = await one.publish("c", LAST, "1")
            with pytest.raises(BrokerDown, match="WRONGTYPE"):
                await two.attach("c", LAST)
            assert type(refused) is BrokerRefused
            assert "WRONGTYPE" in str(refused)
            await check(one, two, "d")

    async def test_replica_is_not_taken_for_a_primary(self, server: Valkey, tmp_path: Path) -> None:
        """A server that is a replica is refused, until it is promoted."""
        copy = Valkey(tmp_path)
        try:
            copy.follow(server)
            async with RedisBroker(copy.url) as broker:
                assert "is a replica" in broker.health.problem
                copy.promote()
                await until(lambda: broker.health.state == "ok")
        finally:
            copy.kill()
