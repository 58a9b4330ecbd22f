"""The health of a feed's source: watchers learn that the generator keeps failing, and refusals of it end them."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import date
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, WebSocketException
from pydantic import BaseModel

from tests.centrifuge.sides import SIDES, Side
from tests.exchanges import Exchange
from tests.live.multiplexing import speaking
from tests.live.source import Source, refusal
from tests.waiting import until
from wirespeed import Feed, Live, Settings, SourceError
from wirespeed.hub import producer
from wirespeed.testing import Closed, connect, lifespan

pytestmark = pytest.mark.anyio

EVENTS = {"accept": "text/event-stream"}
CLOSED = SourceError("exchange is closed for maintenance")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generators are started again without a delay."""
    monkeypatch.setattr(producer, "FIRST_DELAY", 0.0)


@pytest.fixture
def source() -> Source:
    """Return what controls the generators."""
    return Source()


class Row(BaseModel):
    name: str


@pytest.fixture
def live(app: FastAPI) -> Live:
    """Return a ``Live`` that does not wait long for a first value."""
    return Live(app, settings=Settings(first_value_timeout=0.05))


@pytest.fixture
def ticks(live: Live, source: Source) -> Feed[[str], int]:
    """Return a feed of numbers."""
    feed: Feed[[str], int] = live.feed("/ticks/{key}", keep=10)(source.values)
    return feed


def reason(status: Mapping[str, Any]) -> tuple[object, object]:
    """Return the state and the reason of a status."""
    assert status["since"] > 1_700_000_000
    return status["state"], status.get("reason")


async def test_watchers_learn_that_the_source_fails(app: FastAPI, ticks: Feed[[str], int], source: Source) -> None:
    """The app's reason is reported at once, to newcomers as well, and the next value ends it; bare values are alone."""
    async with (
        lifespan(app),
        connect(app, "/ticks/a?positions=1") as positions,
        connect(app, "/ticks/a") as bare,
        Exchange(app, "/ticks/a", EVENTS) as events,
    ):
        assert await events.block() == ":"
        source.put(CLOSED, key="a")
        told = "failing", "exchange is closed for maintenance"
        assert reason((await positions.receive_json())["status"]) == told
        name, _, data = (await events.block()).partition("\ndata: ")
        assert (name, reason(json.loads(data))) == ("event: status", told)
        assert ticks.statistics().failing == 1
        async with connect(app, "/ticks/a?positions=1") as newcomer:
            assert reason((await newcomer.receive_json())["status"]) == told
            source.put(1, key="a")
            for client in (positions, newcomer):
                got = [await client.receive_json() for _ in range(2)]
                assert [each.get("value") for each in got if "value" in each] == [1]
                assert [reason(each["status"]) for each in got if "status" in each] == [("live", None)]
        assert await bare.receive_json() == 1
        assert ticks.statistics().failing == 0


async def test_other_errors_are_reported_without_a_reason(
    app: FastAPI, ticks: Feed[[str], int], source: Source
) -> None:
    """One failure is not yet a failing source; the second in a row is, since the first. Errors do not show."""
    async with lifespan(app), connect(app, "/ticks/a?positions=1") as client:
        source.put(RuntimeError("secret"), key="a")
        await until(lambda: len(source.began) == 2)
        source.put(1, key="a")
        assert (await client.receive_json())["value"] == 1
        source.put(RuntimeError("secret"), RuntimeError("secret"), key="a")
        status = await client.receive_json()
        assert reason(status["status"]) == ("failing", None)
        assert "secret" not in json.dumps(status)


@pytest.mark.parametrize("side", SIDES, ids=repr)
async def test_subscriptions_learn_it(app: FastAPI, ticks: Feed[[str], int], source: Source, side: Side) -> None:
    """A subscription that asks for it gets a message of the connection; others get none."""
    async with lifespan(app), speaking(app, side) as ours, speaking(app, side) as other:
        await ours.subscribed("ticks/a", data={"wirespeed": {"status": True}})
        await other.subscribed("ticks/a")
        source.put(CLOSED, key="a")
        status = (await ours.push())["message"]["data"]["wirespeed"]["status"]["ticks/a"]
        assert reason(status) == ("failing", "exchange is closed for maintenance")
        source.put(1, key="a")
        got = [await ours.push() for _ in range(2)]
        (notice,) = [each["message"] for each in got if "message" in each]
        assert reason(notice["data"]["wirespeed"]["status"]["ticks/a"]) == ("live", None)
        assert await other.pub("ticks/a") == 1


async def test_get_has_a_header(app: FastAPI, ticks: Feed[[str], int], source: Source) -> None:
    """While the source fails, a GET returns the last value with a header; without a value it is refused with it."""
    async with lifespan(app), connect(app, "/ticks/a") as client, connect(app, "/ticks/b"):
        source.put(1, CLOSED, key="a")
        source.put(CLOSED, key="b")
        assert await client.receive_json() == 1
        await until(lambda: ticks.statistics().failing == 2)
        async with Exchange(app, "/ticks/a") as exchange:
            assert (exchange.status, await exchange.body()) == (200, b"1")
            told = "failing", "exchange is closed for maintenance"
            assert reason(json.loads(exchange.headers["wirespeed-status"])) == told
        async with Exchange(app, "/ticks/b") as exchange:
            assert (exchange.status, reason(json.loads(exchange.headers["wirespeed-status"]))) == (503, told)
            assert "the source is failing (exchange is closed for maintenance)" in (await exchange.body()).decode()


async def test_reason_is_bounded(app: FastAPI, ticks: Feed[[str], int], source: Source) -> None:
    """A long reason is cut, and one in any language fits into a header."""
    async with lifespan(app), connect(app, "/ticks/a?positions=1") as client:
        source.put(1, SourceError("\u00fc" * 10_000), key="a")
        assert (await client.receive_json())["value"] == 1
        assert (await client.receive_json())["status"]["reason"] == "\u00fc" * 500
        async with Exchange(app, "/ticks/a") as exchange:
            assert json.loads(exchange.headers["wirespeed-status"])["reason"] == "\u00fc" * 500


# Refusals


GONE = HTTPException(410, "delisted", headers={"x-symbol": "a"})


async def test_generator_refuses_watchers(app: FastAPI, ticks: Feed[[str], int], source: Source) -> None:
    """An ``HTTPException`` ends present watchers after the last value, and refuses new ones for a while."""
    async with (
        lifespan(app),
        connect(app, "/ticks/a") as client,
        Exchange(app, "/ticks/a", EVENTS) as events,
        connect(app, "/ticks/b") as other,
    ):
        source.put(1, GONE, key="a")
        assert await client.receive_json() == 1
        assert await client.receive_json() == {"error": {"code": 410, "message": "delisted"}}
        with pytest.raises(Closed) as caught:
            await client.receive()
        assert (caught.value.code, caught.value.reason) == (1008, "delisted")
        body = (await events.body()).decode()
        assert 'event: error\ndata: {"error":{"code":410,"message":"delisted"}}' in body
        assert "event: complete" not in body
        assert (await refusal(app, "/ticks/a")).status == 410
        for accept in (EVENTS, {}):
            async with Exchange(app, "/ticks/a", accept) as exchange:
                assert (exchange.status, json.loads(await exchange.body())) == (410, {"detail": "delisted"})
                assert exchange.headers["x-symbol"] == "a"
                assert 1 <= int(exchange.headers["retry-after"]) <= 5
        source.put(2, key="b")
        assert await other.receive_json() == 2
        assert sorted(source.began) == ["a", "b"]
        assert ticks.statistics().restarts == 0


@pytest.mark.parametrize("side", SIDES, ids=repr)
async def test_generator_refuses_subscriptions(
    app: FastAPI, ticks: Feed[[str], int], source: Source, side: Side
) -> None:
    """A present subscription ends with 2000 plus the status, a new one is refused; temporary ones may try again."""
    async with lifespan(app), speaking(app, side) as speaker:
        for channel, error in (("ticks/a", GONE), ("ticks/b", HTTPException(503, "later"))):
            await speaker.subscribed(channel)
            source.put(1, error, key=channel[-1])
            assert await speaker.pub(channel) == 1
            ended = {"code": 2000 + error.status_code, "reason": error.detail}
            assert await speaker.push() == {"channel": channel, "unsubscribe": ended}
            refused = (await speaker.subscribe(channel))["error"]
            assert (refused["code"], refused["message"]) == (error.status_code, error.detail)
            assert refused.get("temporary", False) is (error.status_code == 503)


@pytest.mark.parametrize(
    ("detail", "plain"),
    [
        ({"until": date(2026, 1, 2), "least": float("nan")}, {"until": "2026-01-02", "least": None}),
        ({"half": "\ud800"}, {"half": "?"}),
    ],
)
async def test_refusal_that_answers_cannot_carry(
    app: FastAPI, ticks: Feed[[str], int], source: Source, caplog: pytest.LogCaptureFixture, detail: Any, plain: Any
) -> None:
    """A detail that is not JSON becomes JSON on all surfaces; headers that HTTP cannot carry are left out."""
    headers = {"x-why": "→", "x-split": "a\r\nx-more: b", "x y": "z", "x-symbol": " a "}
    async with lifespan(app), speaking(app, connects=False) as speaker:
        await speaker.connected(name="wirespeed")
        async with connect(app, "/ticks/a") as client:
            source.put(HTTPException(403, detail, headers), key="a")
            assert (await client.receive_json())["error"]["detail"] == plain
        assert (await refusal(app, "/ticks/a")).status == 403
        for accept in (EVENTS, {}):
            async with Exchange(app, "/ticks/a", accept) as exchange:
                assert (exchange.status, json.loads(await exchange.body())) == (403, {"detail": plain})
                assert exchange.headers["x-symbol"] == "a"
                assert not {"x-why", "x-split", "x-more", "x y"} & exchange.headers.keys()
        assert json.loads((await speaker.subscribe("ticks/a"))["error"]["message"])["detail"] == plain
    assert [each.levelname for each in caplog.records] == ["WARNING"]


async def test_refused_get_does_not_wait(app: FastAPI, ticks: Feed[[str], int], source: Source) -> None:
    """A GET that waits for the first value is answered with the refusal."""
    source.put(HTTPException(404, {"no": "such symbol"}), key="a")
    async with lifespan(app), Exchange(app, "/ticks/a") as exchange:
        assert (exchange.status, json.loads(await exchange.body())) == (404, {"detail": {"no": "such symbol"}})


async def test_close_code_of_the_generator(app: FastAPI, ticks: Feed[[str], int], source: Source) -> None:
    """A ``WebSocketException`` closes WebSockets with its own code."""
    async with lifespan(app), connect(app, "/ticks/a") as client:
        source.put(WebSocketException(4001, "moved"), key="a")
        with pytest.raises(Closed) as caught:
            await client.receive()
        assert (caught.value.code, caught.value.reason) == (4001, "moved")


async def test_refusal_ends(
    app: FastAPI, ticks: Feed[[str], int], source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the refusal has stood for its time, the next watcher runs the generator again."""
    monkeypatch.setattr("wirespeed.hub.engine.REFUSED_FOR", 0.0)
    async with lifespan(app):
        async with connect(app, "/ticks/a") as client:
            source.put(GONE, key="a")
            assert "error" in await client.receive_json()
        async with connect(app, "/ticks/a") as client:
            source.put(1, key="a")
            assert await client.receive_json() == 1
        assert source.began == ["a", "a"]


async def test_retry_after_decides(app: FastAPI, ticks: Feed[[str], int], source: Source) -> None:
    """The refusal stands for as long as its ``Retry-After`` says, text or number, within an hour."""
    cases: Any = ("a", "60", 55, 60), ("b", "999999", 3595, 3600), ("c", "soon", 1, 5), ("d", 60, 55, 60)
    async with lifespan(app):
        for key, given, least, most in cases:
            source.put(HTTPException(503, headers={"Retry-After": given}), key=key)
            async with Exchange(app, f"/ticks/{key}") as exchange:
                assert exchange.status == 503
            async with Exchange(app, f"/ticks/{key}") as exchange:
                assert least <= int(exchange.headers["retry-after"]) <= most


async def test_reason_that_is_no_text(live: Live, app: FastAPI) -> None:
    """An error in place of the reason of a ``SourceError`` is a failure like others: the generator is started again."""
    runs = iter(range(10))

    @live.feed("/feed", keep=10)
    async def feed() -> AsyncIterator[int]:
        yield next(runs)
        raise SourceError(ValueError("secret"))  # type: ignore[arg-type]

    async with lifespan(app), connect(app, "/feed") as client:
        assert [await client.receive_json(), await client.receive_json()] == [0, 1]


async def test_slow_watcher_gets_everything_before_the_refusal(app: FastAPI, live: Live, source: Source) -> None:
    """A watcher that reads late gets all values, and then the refusal."""
    live.feed("/many/{key}", keep=1000)(source.values)
    async with lifespan(app), connect(app, "/many/a", max_waiting=1) as client:
        source.put(*range(500), GONE, key="a")
        await until(lambda: source.ended == ["a"])
        assert [await client.receive_json() for _ in range(500)] == list(range(500))
        assert (await client.receive_json())["error"]["code"] == 410


async def test_failing_table(app: FastAPI, live: Live, source: Source) -> None:
    """Watchers of rows learn of it without asking for positions."""

    @live.feed("/rows", by="name")
    async def rows() -> AsyncIterator[Row]:
        async for name in source.values():
            yield Row(name=name)

    async with lifespan(app), connect(app, "/rows") as client:
        source.put("x", CLOSED)
        assert (await client.receive_json())["key"] == "x"
        assert reason((await client.receive_json())["status"])[0] == "failing"


async def test_synchronous_generator(app: FastAPI, live: Live) -> None:
    """A generator in a thread fails and refuses as one in the loop does."""
    errors = [CLOSED, GONE]

    @live.feed("/thread", keep=10)
    def thread() -> Iterator[int]:
        yield len(errors)
        raise errors.pop(0)

    async with lifespan(app), connect(app, "/thread?positions=1") as client:
        got: list[Any] = [await client.receive_json()]
        while "error" not in got[-1]:
            got.append(await client.receive_json())
    assert [each["value"] for each in got if "value" in each] == [2, 1]
    assert [each["status"]["state"] for each in got if "status" in each][:1] == ["failing"]
    assert got[-1]["error"]["code"] == 410


async def test_failing_key_disturbs_no_other(app: FastAPI, ticks: Feed[[str], int], source: Source) -> None:
    """The state belongs to one key."""
    async with (
        lifespan(app),
        connect(app, "/ticks/a?positions=1") as failing,
        connect(app, "/ticks/b?positions=1") as other,
    ):
        source.put(CLOSED, key="a")
        assert reason((await failing.receive_json())["status"])[0] == "failing"
        source.put(1, key="b")
        assert (await other.receive_json())["value"] == 1


# Other processes


async def test_other_processes_know_it(url: str, source: Source) -> None:
    """Watchers, GETs and refusals of a process do not depend on where the generator runs."""
    apps = [FastAPI() for _ in range(2)]
    for each in apps:
        live = Live(each, broker=url, settings=Settings(lease_timeout=1.0))
        live.feed("/ticks/{key}", keep=10)(source.values)
    one, two = apps
    told = "failing", "exchange is closed for maintenance"
    async with (
        lifespan(one),
        lifespan(two),
        connect(one, "/ticks/a?positions=1") as near,
        connect(two, "/ticks/a?positions=1") as far,
    ):
        await until(lambda: source.began == ["a"])
        source.put(1, CLOSED, key="a")
        for client in (near, far):
            assert (await client.receive_json())["value"] == 1
            assert reason((await client.receive_json())["status"]) == told
        async with Exchange(two, "/ticks/a") as exchange:
            assert (await exchange.body(), reason(json.loads(exchange.headers["wirespeed-status"]))) == (b"1", told)
        source.put(2, key="a")
        for client in (near, far):
            got = [await client.receive_json() for _ in range(2)]
            assert [reason(each["status"])[0] for each in got if "status" in each] == ["live"]
        source.put(GONE, key="a")
        for client in (near, far):
            assert await client.receive_json() == {"error": {"code": 410, "message": "delisted"}}
        for each in apps:
            assert (await refusal(each, "/ticks/a")).status == 410
    assert sorted(source.began) == ["a", "a"]
