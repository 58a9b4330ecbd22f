"""Spans of OpenTelemetry: of runs, calls and publications, inside those that FastAPI makes."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.telemetry import TelemetryConfig
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from tests.brokers.valkey import Valkey
from tests.exchanges import Exchange
from tests.live.multiplexing import speaking
from tests.waiting import NEVER, until
from wirespeed import Live, Message, Tagged, Topic
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio

Text = Annotated[str, Message()]


class Scene:
    """A traced app, and its spans."""

    def __init__(self, broker: str | None = None, *, sampled: bool = True, telemetry: bool = True, **on: bool) -> None:
        self.memory = InMemorySpanExporter()
        provider = TracerProvider() if sampled else TracerProvider(sampler=ALWAYS_OFF)
        provider.add_span_processor(SimpleSpanProcessor(self.memory))
        self.app = FastAPI(telemetry=TelemetryConfig(tracer_provider=provider, **on))  # type: ignore[typeddict-item]
        self.live = Live(self.app, broker=broker, telemetry=telemetry)
        self.live.stream("/words/{number}")(words)
        self.live.stream("/kept", resume=NEVER)(kept)
        self.live.call("/shout")(shout)
        self.live.call("/answer")(answer)
        self.live.feed("/ticks/{name}", keep=10)(ticks)
        self.news: Topic[..., str] = self.live.topic("/news/{room}", str)

        @self.news
        def news(room: str) -> None: ...

        @self.app.post("/say/{room}")
        async def say(room: str) -> None:
            self.news.publish("hello", room=room)

        @self.app.post("/say-in-thread/{room}")
        def say_in_thread(room: str) -> None:
            self.news.publish("hello", room=room)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Return our own spans that have ended."""
        return [each for each in self.memory.get_finished_spans() if own(each)]

    def named(self, name: str) -> list[ReadableSpan]:
        return [each for each in self.memory.get_finished_spans() if each.name == name]

    async def one(self, name: str) -> ReadableSpan:
        """Return the only span of a name, once it has ended."""
        await until(lambda: self.named(name))
        (span,) = self.named(name)
        return span

    def is_inside(self, inner: ReadableSpan, outer: str) -> bool:
        """Return True if a span is inside another, at any depth."""
        spans = {each.context.span_id: each for each in self.memory.get_finished_spans() if each.context}
        while inner.parent is not None and inner.parent.span_id in spans:
            inner = spans[inner.parent.span_id]
            if inner.name == outer:
                return True
        return False


def own(span: ReadableSpan) -> bool:
    scope = span.instrumentation_scope
    return scope is not None and scope.name == "wirespeed"


def context_of(span: ReadableSpan) -> SpanContext:
    context: SpanContext | None = span.context
    assert context is not None
    return context


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def words(number: int, how: Text) -> AsyncIterator[str]:
    yield how
    end(how)
    if how == "stay":
        await asyncio.Event().wait()


async def kept() -> AsyncIterator[str]:
    yield "first"
    await asyncio.Event().wait()


def shout(how: Text) -> str:
    end(how)
    return how.upper()


async def answer() -> int:
    return 42


def end(how: str) -> None:
    if how == "fail":
        raise ValueError(how)
    if how == "refuse":
        raise HTTPException(409)


async def ticks(name: str) -> AsyncIterator[str]:
    yield name
    if name == "fails":
        raise ValueError(name)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """Return a traced app that runs."""
    scene = Scene()
    async with lifespan(scene.app):
        yield scene


async def test_run_is_inside_the_span_of_its_connection(scene: Scene) -> None:
    """A run's span is named by the path and not by its parameters; it says how the run ended."""
    async with connect(scene.app, "/words/7") as client:
        await client.send_text("hello")
        assert await client.receive_text() == "hello"
        span = await scene.one("stream /words/{number}")
    assert scene.is_inside(span, "WS /words/{number}")
    assert span.kind is SpanKind.INTERNAL
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span) == {
        "wirespeed.kind": "stream",
        "http.route": "/words/{number}",
        "code.function.name": f"{__name__}.words",
        "wirespeed.outcome": "completed",
    }


@pytest.mark.parametrize(
    ("path", "how", "outcome", "error"),
    [
        ("/words/7", "fail", "failed", "ValueError"),
        ("/words/7", "refuse", "refused", None),
        ("/words/7", "stay", "cancelled", None),
        ("/shout", "fail", "failed", "ValueError"),
        ("/shout", "refuse", "refused", None),
    ],
)
async def test_runs_that_do_not_complete(scene: Scene, path: str, how: str, outcome: str, error: str | None) -> None:
    """Only a failure is an error; it has the exception."""
    async with connect(scene.app, path) as client:
        await client.send_text(how)
        await client.receive()
    name = "call /shout" if path == "/shout" else "stream /words/{number}"
    span = await scene.one(name)
    assert attributes(span)["wirespeed.outcome"] == outcome
    assert attributes(span).get("error.type") == error
    assert span.status.status_code is (StatusCode.ERROR if error else StatusCode.UNSET)
    assert [each.name for each in span.events] == (["exception"] if error else [])


class Nameless(Exception):
    """An exception whose text cannot be read."""

    def __str__(self) -> str:
        raise AttributeError


async def test_error_without_a_text(scene: Scene) -> None:
    """Its span has the type of an exception whose text cannot be read, and the client has its answer."""

    @scene.live.call("/nameless")
    async def nameless(how: Text) -> str:
        raise Nameless

    async with connect(scene.app, "/nameless") as client:
        await client.send_text("")
        assert (await client.receive_json())["error"]["code"] == 500
    span = await scene.one("call /nameless")
    assert attributes(span)["wirespeed.outcome"] == "failed"
    assert span.status.status_code is StatusCode.ERROR
    assert dict(span.events[0].attributes or {}) == {
        "exception.type": f"{__name__}.Nameless",
        "exception.message": "its str() fails",
    }


class FailingProcessor(SpanProcessor):
    """A processor of an app that fails for each of our spans: when it begins, or when it ends."""

    def __init__(self, at: str) -> None:
        self._at = at

    def on_start(self, span: ReadableSpan, parent_context: object = None) -> None:
        self._fail(span, "start")

    def on_end(self, span: ReadableSpan) -> None:
        self._fail(span, "end")

    def _fail(self, span: ReadableSpan, at: str) -> None:
        if own(span) and at == self._at:
            raise ArithmeticError


async def brief() -> AsyncIterator[str]:
    yield "first"


def failing(at: str, broker: str | None = None) -> tuple[FastAPI, Live]:
    """Return an app whose spans cannot be begun, or cannot be ended."""
    provider = TracerProvider()
    provider.add_span_processor(FailingProcessor(at))
    app = FastAPI(telemetry=TelemetryConfig(tracer_provider=provider))
    live = Live(app, broker=broker)
    live.stream("/words/{number}")(words)
    live.stream("/kept", resume=NEVER)(brief)
    live.stream("/brief")(brief)
    live.call("/shout")(shout)
    return app, live


@pytest.mark.parametrize("path", ["/words/7", "/shout", "/brief", "/kept?resume=1"])
async def test_span_that_cannot_be_begun(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """A run whose span cannot be begun has failed: its client has an answer, and the failure is reported once."""
    app, live = failing("start")
    async with lifespan(app):
        with suppress(ArithmeticError):  # the only run of a connection: the server logs it
            async with connect(app, path) as client:
                await client.send_text("hello")
                while "error" not in (answer := await client.receive_text()):
                    pass
        assert answer == '{"error":{"code":500,"message":"The %s failed."}}' % ("call" if "shout" in path else "stream")
        assert live.statistics().failed == 1
    assert len([each for each in caplog.records if each.exc_info]) == (path in ("/words/7", "/shout"))


@pytest.mark.parametrize("path", ["/brief", "/kept?resume=1", "/shout"])
def test_span_that_cannot_be_begun_over_http(path: str) -> None:
    """The request fails."""
    app, live = failing("start")
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.post(path, json="hello")
        assert answer.status_code == 500 or '"code":500' in answer.text
        assert live.statistics().failed == 1


@pytest.mark.parametrize("channel", ["words/7", "kept"])
async def test_span_that_cannot_be_begun_on_a_multiplexed_connection(channel: str) -> None:
    """The subscription ends."""
    app, live = failing("start")
    async with lifespan(app), speaking(app) as speaker:
        await speaker.subscribed(channel, data="hello" if channel == "words/7" else None)
        assert (await speaker.push())["unsubscribe"]["code"] == 2001
        assert live.statistics().failed == 1


@pytest.mark.parametrize("path", ["/words/7", "/shout", "/brief", "/kept?resume=1"])
async def test_span_that_cannot_be_ended(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """The run is complete all the same, and the error is logged."""
    app, live = failing("end")
    async with lifespan(app), connect(app, path) as client:
        await client.send_text("hello")
        while await client.receive_text() not in ("hello", "HELLO", '"HELLO"', "first"):
            pass
        await until(lambda: sum(each.completed for each in live.running().values()) == 1)
        assert live.statistics().failed == 0
    assert [each.exc_info[0] for each in caplog.records if each.exc_info] == [ArithmeticError]


@pytest.mark.parametrize("at", ["start", "end"])
@pytest.mark.parametrize("has_broker", [False, True])
async def test_publication_that_cannot_be_traced(
    at: str, has_broker: bool, server: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    """The values are published all the same, with a broker and without, and the error is logged."""
    server.command("FLUSHALL")
    app, live = failing(at, f"redis://127.0.0.1:{server.port}" if has_broker else None)
    numbers = live.topic("/numbers", int, keep=10)
    stored: list[int] = []

    @app.post("/publish")
    async def publish() -> None:
        stored.extend([(await receipt).offset for receipt in [numbers.publish(number) for number in (1, 2)]])

    async with lifespan(app), connect(app, "/numbers") as client:
        for _ in range(2):
            async with Exchange(app, "/publish", method="POST"):
                assert [await client.receive_json() for _ in range(2)] == [1, 2]
        await until(lambda: stored == [1, 2, 3, 4])
    assert {each.exc_info[0] for each in caplog.records if each.exc_info} == {ArithmeticError}


async def test_multiplexed_connection(scene: Scene) -> None:
    """Runs and calls are inside the connection's span; FastAPI's spans of subscriptions have their path as the name."""
    async with speaking(scene.app) as speaker:
        await speaker.subscribed("words/3", data="hello")
        await speaker.pub("words/3")
        await speaker.push()
        await speaker.ask({"rpc": {"method": "shout", "data": "hello"}})
        await speaker.subscribed("news/a")
    for name in ("stream /words/{number}", "call /shout"):
        assert scene.is_inside(await scene.one(name), "WS /live/websocket")
    for name in ("WS /words/{number}", "WS /shout", "WS /news/{room}"):
        assert attributes(await scene.one(name))["http.route"] == name.removeprefix("WS ")


async def test_call_over_http(scene: Scene) -> None:
    """A call by POST is inside the request's span."""
    async with Exchange(scene.app, "/answer", method="POST"):
        span = await scene.one("call /answer")
        await scene.one("POST /answer")
    assert scene.is_inside(span, "POST /answer")


async def test_kept_run_is_one_span(scene: Scene) -> None:
    """A run that is resumed by another connection is one span."""
    async with connect(scene.app, "/kept?resume=1") as client:
        run = (await client.receive_json())["run"]
        client.lose()
        async with connect(scene.app, f"/kept?run={run}&since=0") as again:
            await again.receive_json()
            assert await again.receive_text() == "first"
            assert scene.named("stream /kept") == []
            await again.disconnect(1000)
    assert attributes(await scene.one("stream /kept"))["wirespeed.outcome"] == "cancelled"


async def test_each_run_of_a_feed_is_a_trace(scene: Scene) -> None:
    """The generator of a feed belongs to no client: its runs are traces of their own, and a failure is an error."""
    async with connect(scene.app, "/ticks/fails") as client:
        for _ in range(2):
            assert await client.receive_text() == "fails"
        await until(lambda: len(scene.named("feed /ticks/{name}")) >= 2)
    first, second, *_ = scene.named("feed /ticks/{name}")
    assert first.parent is second.parent is None
    assert attributes(first)["error.type"] == "ValueError"
    assert first.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("route", ["say", "say-in-thread"])
async def test_publication_and_delivery(scene: Scene, route: str) -> None:
    """A publication is inside the span of the request that makes it, from any thread, and its delivery inside it."""
    async with connect(scene.app, "/news/a") as client, connect(scene.app, "/news/a"), connect(scene.app, "/news/b"):
        async with Exchange(scene.app, f"/{route}/a", method="POST"):
            assert await client.receive_text() == "hello"
        publication, delivery = await scene.one("publish /news/{room}"), await scene.one("deliver /news/{room}")
        await scene.one(f"POST /{route}/{{room}}")
    assert scene.is_inside(delivery, "publish /news/{room}")
    assert scene.is_inside(publication, f"POST /{route}/{{room}}")
    assert (publication.kind, delivery.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert attributes(delivery)["wirespeed.watchers"] == 2
    assert attributes(publication) == {
        "messaging.system": "wirespeed",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.template": "/news/{room}",
        "wirespeed.outcome": "completed",
    }


async def test_publication_that_fails(scene: Scene) -> None:
    """A publication that raises, or whose receipt has an error, is an error."""
    numbers = scene.live.topic("/numbers", int)

    @scene.app.post("/fail")
    async def fail() -> None:
        receipt = scene.live._hub.publish(numbers._definition, "", object())
        with pytest.raises(Exception, match="object"):
            await receipt

    async with Exchange(scene.app, "/fail", method="POST"):
        span = await scene.one("publish /numbers")
    assert attributes(span)["wirespeed.outcome"] == "failed"
    assert span.status.status_code is StatusCode.ERROR
    assert scene.named("deliver /numbers") == []


async def test_publications_of_a_feed(scene: Scene) -> None:
    """The generator of a feed may run for days: what it publishes makes no spans. The next run of a stream does."""

    @scene.live.feed("/relay")
    async def relay() -> AsyncIterator[str]:
        scene.news.publish("relayed", room="a")
        yield "done"

    @scene.live.stream("/tell")
    async def tell() -> AsyncIterator[str]:
        scene.news.publish("sent", room="a")
        yield "done"

    async with connect(scene.app, "/relay") as client:
        assert await client.receive_text() == "done"
        await scene.one("feed /relay")
    assert scene.named("publish /news/{room}") == []
    async with connect(scene.app, "/tell") as client:
        assert await client.receive_text() == "done"
    assert scene.is_inside(await scene.one("publish /news/{room}"), "stream /tell")


async def test_publication_outside_of_a_span(scene: Scene) -> None:
    """Publications of background tasks, of which there may be thousands per second, begin no traces."""
    async with connect(scene.app, "/news/a") as client:
        await scene.news.publish("hello", room="a")
        assert await client.receive_text() == "hello"
    assert scene.spans == []


UNTRACED: dict[str, Callable[[], Scene]] = {
    "FastAPI does not trace": lambda: Scene(tracing=False),
    "FastAPI traces requests only": lambda: Scene(operation_spans=False),
    "Live does not trace": lambda: Scene(telemetry=False),
    "nothing is sampled": lambda: Scene(sampled=False),
}


@pytest.mark.parametrize("make", UNTRACED.values(), ids=UNTRACED)
async def test_untraced_apps(make: Callable[[], Scene]) -> None:
    """The app has no spans of ours."""
    scene = make()
    async with lifespan(scene.app):
        async with connect(scene.app, "/words/7") as client, connect(scene.app, "/news/a") as watcher:
            await client.send_text("hello")
            assert await client.receive_text() == "hello"
            async with Exchange(scene.app, "/say/a", method="POST"):
                assert await watcher.receive_text() == "hello"
        await until(lambda: scene.live.running()["/words/{number}"].completed == 1)
    assert scene.spans == []


async def test_tracing_is_decided_at_each_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that starts again without a provider is not traced any more, and imports nothing for it."""
    scene = Scene()
    async with lifespan(scene.app):
        assert scene.live._hub.traces.tracing is not None
    scene.app._telemetry["tracer_provider"] = None
    monkeypatch.setitem(sys.modules, "wirespeed.tracing", None)
    async with lifespan(scene.app):
        assert scene.live._hub.traces.tracing is None


async def test_context_travels_through_the_broker(server: Valkey) -> None:
    """The delivery in another process belongs to the trace of the publication; clients get the value and nothing
    else, and a process that is not traced ignores the context."""
    server.command("FLUSHALL")
    url = f"redis://127.0.0.1:{server.port}"
    one, two, old = Scene(url), Scene(url), Scene(url, telemetry=False)
    async with AsyncExitStack() as stack:
        for each in (one, two, old):
            await stack.enter_async_context(lifespan(each.app))
        watchers = [await stack.enter_async_context(connect(each.app, "/news/a")) for each in (two, old)]
        speaker = await stack.enter_async_context(speaking(two.app))
        await speaker.subscribed("news/a")
        async with Exchange(one.app, "/say/a", method="POST"):
            for watcher in watchers:
                assert await watcher.receive_text() == "hello"
            pub = (await speaker.push())["pub"]
            assert (pub["data"], pub.keys()) == ("hello", {"data", "offset", "epoch"})
            publication, delivery = await one.one("publish /news/{room}"), await two.one("deliver /news/{room}")
            request = await one.one("POST /say/{room}")
        assert {context_of(each).trace_id for each in (request, publication)} == {context_of(delivery).trace_id}
        assert delivery.parent is not None
        assert delivery.parent.span_id == context_of(publication).span_id
        assert delivery.parent.is_remote
        assert attributes(delivery)["wirespeed.watchers"] == 2
        assert one.named("deliver /news/{room}") == []
        assert old.spans == []
        await one.news.publish(Tagged("quiet", {"a": "b"}), room="a")
        for watcher in watchers:
            assert await watcher.receive_text() == "quiet"
        assert len(two.spans) == 1


async def test_malformed_context_of_another_process(server: Valkey) -> None:
    """A context that makes no sense begins a trace of its own; the value is delivered."""
    server.command("FLUSHALL")
    scene = Scene(f"redis://127.0.0.1:{server.port}")
    async with lifespan(scene.app), connect(scene.app, "/news/a") as client:
        for context in (b"", b"\xff\xfe", b"00-0-0-00", b"x" * 10_000):
            key = next(iter(scene.live._hub._engine._keys))  # type: ignore[union-attr]
            scene.live._hub._broker.notify(key, b"trace " + context)  # type: ignore[union-attr]
        await scene.news.publish("hello", room="a")
        assert await client.receive_text() == "hello"
        await until(lambda: len(scene.named("deliver /news/{room}")) == 4)
    assert all(each.parent is None for each in scene.named("deliver /news/{room}"))
