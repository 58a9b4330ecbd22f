"""The documentation of feeds and topics: its examples do what its text says."""

import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import generate_latest

from tests.exchanges import Exchange
from wirespeed import LogFull, TooManyLogs, WatchStatistics
from wirespeed.testing import connect, lifespan

from . import test_docs
from .test_docs import Load, close_code, read, receive, refusal

pytestmark = pytest.mark.anyio

load = test_docs.load

EVENTS = {"accept": "text/event-stream"}


async def test_readme(load: Load, tmp_path: Path) -> None:
    """The README's feed answers on a WebSocket and by GET, and its page is served."""
    (tmp_path / "index.html").write_text("the page")
    app = load("README.md").app
    with TestClient(app) as client, client.websocket_connect("/price/BTC") as socket:
        assert all(90 < float(price) < 110 for price in (socket.receive_text(), client.get("/price/ETH").text))
        assert client.get("/").text == "the page"


async def test_publish_from_anywhere(load: Load) -> None:
    """Endpoints in threads and in the loop publish; so does a router's lifespan, at its start and end."""
    main = load("docs/how-to/publish-from-anywhere.md")
    with TestClient(main.app) as client:
        assert client.get("/news").text == "open"
        assert [re.sub(".*:", "", client.post(f"/news/{way}?text=x").json()) for way in ("sync", "async")] == ["2", "3"]
        assert client.post("/orders/7", json={"item": "tea", "count": 1}).status_code == 201
        assert client.get("/orders/007").json() == {"item": "tea", "count": 1}
        with client.websocket_connect("/news") as socket:
            client.post("/import")
            assert [socket.receive_text() for _ in range(3)] == ["0 done", "1 done", "2 done"]


async def test_publish_before_the_end(load: Load) -> None:
    """A router's lifespan that ends publishes before connections are closed."""
    main = load("docs/how-to/publish-from-anywhere.md")
    async with lifespan(main.app), connect(main.app, "/news") as client:
        await main.news.publish("now")
        assert await client.receive() == "now"
        main.news.publish("closing")
        assert await client.receive() == "closing"


async def test_growing_text(load: Load) -> None:
    """Pieces reach a client that asks for them; everyone else, and GET, gets the whole."""
    app = load("docs/how-to/stream-growing-text.md").app
    with TestClient(app) as client:
        with client.websocket_connect("/answers/1?append=1") as socket:
            assert client.post("/ask/1").json() == "done"
            text = socket.receive_json()["value"]
            while text != "Once upon a time.":
                text += socket.receive_json()["append"]
        assert client.get("/answers/1").text == "Once upon a time."
        client.post("/chat/a/reply")
        assert client.get("/chat/a").json() == [{"id": 1, "author": "bot", "text": "Hello!"}]
        with client.websocket_connect("/story") as socket:
            while (text := socket.receive_text()) != "It was a dark night.":
                assert text in "It was a dark night."


async def test_keep_and_resume(load: Load) -> None:
    """New watchers receive the replay; returning ones receive what they missed, or learn of the loss."""
    main = load("docs/how-to/keep-and-resume.md")
    async with lifespan(main.app):
        positions = [await main.chat.publish(str(number)) for number in range(30)]
        async with connect(main.app, "/chat") as client:
            assert [await client.receive() for _ in range(20)] == [str(number) for number in range(10, 30)]
        async with connect(main.app, f"/chat?positions=1&since={positions[-2]}") as client:
            assert await client.receive_json() == {"position": str(positions[-1]), "value": "29"}
        assert (await main.chat.history())[0] == (positions[0], "0", {})
        for _ in range(100):
            main.chat.publish("more")
        for since, lost in ((positions[9], 20), ("gone:7", None)):
            async with connect(main.app, f"/chat?since={since}") as client:
                assert await client.receive_json() == {"lost": lost}
                assert await client.receive() == "more"


async def test_slow_watchers(load: Load) -> None:
    """A watcher that is too slow is closed with 1013, or learns how much is lost and continues."""
    main = load("docs/how-to/keep-and-resume.md")
    async with lifespan(main.app), connect(main.app, "/chat", max_waiting=1) as closed:
        async with connect(main.app, "/trace", max_waiting=1) as skipping:
            for number in range(20_000):
                main.chat.publish("x" * 100)
                main.trace.publish(number)
            seen: list[Any] = []
            while not seen or seen[-1] != 19_999:
                seen.append(await skipping.receive_json())
        lost = [each["lost"] for each in seen if isinstance(each, dict)]
        assert lost
        assert sum(lost) + len(seen) - len(lost) == 20_000 == main.trace.statistics().lost + len(seen) - len(lost)
        async for _ in closed:
            pass
        assert await close_code(closed) == 1013


async def test_tables(load: Load) -> None:
    """A new watcher receives all rows, then changes and removals; one that returns after a change receives a reset."""
    main = load("docs/how-to/tables.md")
    quote = {"symbol": "lathe", "price": 1.0}
    with TestClient(main.app) as client, client.websocket_connect("/machines?positions=1") as socket:
        client.put("/machines/lathe", params={"price": 1})
        seen = socket.receive_json()
        position = seen.pop("position")
        assert seen == {"key": "lathe", "value": quote}
        assert client.get("/machines").json() == [quote]
        client.delete("/machines/lathe")
        assert socket.receive_text().endswith('"key":"lathe","removed":true}')
        with client.websocket_connect(f"/machines?since={position}") as again:
            assert again.receive_text() == '{"reset":true}'
        assert [row["symbol"] for row in client.get("/quotes").json()] == ["ABC", "XYZ"]
        for symbol, price in (("a", 1.0), ("b", 3.0), ("c", 2.0)):
            main.ranking.publish(main.Quote(symbol=symbol, price=price)).result()
        assert [row["symbol"] for row in client.get("/ranking?limit=2").json()] == ["b", "c"]
        assert [row["price"] for row in client.get("/exchange").json()] == [97.13, 104.02]


async def test_load_stored_state(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that were stored before a restart come first, then new ones; a loader can refuse."""
    monkeypatch.chdir(tmp_path)
    for texts in (["a"], ["a", "b"]):
        main = load("docs/how-to/load-stored-state.md")
        with TestClient(main.app) as client:
            assert client.post(f"/rooms/1?text={texts[-1]}").status_code == 201
            with client.websocket_connect("/rooms/1") as socket:
                assert [socket.receive_json()["text"] for _ in texts] == texts
                client.post("/rooms/1?text=new")
                assert socket.receive_json()["text"] == "new"
            main.database.execute("delete from messages where text = 'new'")
            main.database.commit()
            assert client.get("/rooms/_").json() == {"detail": "no such room"}
            assert client.get("/devices").json() == [{"id": 1, "text": "lamp"}, {"id": 2, "text": "door"}]


async def test_get(load: Load) -> None:
    """The output of curl is as shown: the newest value with its tag, events to the end, and then 204."""
    main = load("docs/how-to/watch-with-eventsource-and-curl.md")
    with TestClient(main.app) as client:
        newest = client.get("/temperature")
        assert (newest.text, newest.headers["content-type"], newest.headers["vary"]) == (
            "21.5",
            "application/json",
            "accept",
        )
        again = client.get("/temperature", headers={"if-none-match": newest.headers["etag"]})
        assert (again.status_code, again.text) == (304, "")
        events = client.get("/countdown", headers=EVENTS).text
        assert re.sub("[0-9a-f]{8}:", "8e999e1b:", events) in read("docs/how-to/watch-with-eventsource-and-curl.md")
        assert client.get("/countdown", headers=EVENTS | {"last-event-id": "complete"}).status_code == 204
        assert [client.get(path).status_code for path in ("/news", "/inside")] == [404, 404]
        assert client.get("/temperature?max_rate=0", headers=EVENTS).status_code == 422


async def test_handlers(load: Load) -> None:
    """The conversation is as shown; a client without a name is refused, and a GET needs none."""
    main = load("docs/how-to/let-clients-send.md")
    async with lifespan(main.app), connect(main.app, "/chat/hall?name=ada") as client:
        await client.send_text('{"text": "hello"}')
        assert await client.receive() == '{"user":"ada","text":"hello"}'
        await client.send_text('{"text": ""}')
        assert await client.receive() == '{"error":{"code":400,"message":"Say something."}}'
        await client.send_text("{}")
        assert (await client.receive_json())["error"]["code"] == 422
        assert (await refusal(main.app, "/chat/hall")).status == 422
    with TestClient(main.app) as http:
        assert http.get("/chat/hall").status_code == 404


async def test_rates(load: Load) -> None:
    """With conflation many values are skipped; a log skips none, not even in a burst at a low rate."""
    main = load("docs/how-to/limit-rates.md")
    async with lifespan(main.app):
        async with connect(main.app, "/price?max_rate=20") as client:
            first, second = await receive(client, 2)
            assert second - first > 10
        async with connect(main.app, "/log?max_rate=1", max_waiting=5000) as client:
            for number in range(2000):
                main.log.publish(str(number))
            assert await receive(client, 1500) == list(range(1500))


async def test_guards(load: Load) -> None:
    """Owners watch, others are refused on WebSockets and by GET; spellings of one key are one run."""
    main = load("docs/how-to/guard-a-feed.md")
    ada, bob = {"cookie": "session=s3cret"}, {"cookie": "session=t0ken"}
    async with lifespan(main.app):
        async with connect(main.app, "/balance/ada", headers=ada) as client:
            assert await client.receive_json() >= 1
        assert (await refusal(main.app, "/balance/ada", **bob)).status == 403
        assert (await refusal(main.app, "/weather/7?days=8")).status == 422
        texts = []
        for path in ("/weather/7", "/weather/007?unit=C", "/weather/7?unit=F&other=1"):
            async with connect(main.app, path) as client:
                texts.append(await client.receive())
        assert texts == ["7: 1 days in C", "7: 1 days in C", "7: 1 days in F"]
    with TestClient(main.app) as http:
        assert [http.get("/balance/ada", headers=each).status_code for each in ({}, bob, ada)] == [401, 403, 200]


async def test_figures(load: Load) -> None:
    """The figures on the page have all fields, and Prometheus receives what is shown."""
    main = load("docs/how-to/watch-the-watchers.md")
    async with lifespan(main.app), connect(main.app, "/price/a") as client:
        await client.receive()
        page, reference = read("docs/how-to/watch-the-watchers.md"), read("docs/reference.md")
        for field in WatchStatistics._fields:
            assert f'"{field}"' in page
            assert f"| `{field}` |" in reference
        metrics = generate_latest(main.registry).decode()
        shown = re.findall(r"^(wirespeed_\w+(?:{(?!reason).*})?) [\d.]+$", page, re.MULTILINE)
        assert [each for each in shown if f"\n{each} " not in metrics] == []
        assert len(shown) == 5
        assert TestClient(main.app).get("/metrics-of-many").text.startswith("# HELP wirespeed_connections ")


async def test_tracing(load: Load) -> None:
    """The app on the page makes the spans on the page."""
    page, main = "docs/how-to/trace-with-opentelemetry.md", load("docs/how-to/trace-with-opentelemetry.md")
    memory = InMemorySpanExporter()
    main.provider.add_span_processor(SimpleSpanProcessor(memory))
    async with lifespan(main.app), connect(main.app, "/orders") as watcher, connect(main.app, "/count/2") as counter:
        assert await receive(counter, 2) == [0, 1]
        async with Exchange(main.app, "/orders?text=tea", method="POST"):
            assert await watcher.receive() == "tea"
    names = {each.name for each in memory.get_finished_spans()}
    ours = {"stream /count/{number}", "publish /orders", "deliver /orders"}
    assert ours | {"WS /count/{number}", "POST /orders"} <= names
    assert [name for name in ours if name not in read(page)] == []
    main.provider.shutdown()


async def test_limits_of_keys_and_rows(load: Load) -> None:
    """The errors of the topic on loss are raised."""
    main = load("docs/topics/loss.md")
    async with lifespan(main.app):
        await main.rows.publish({"id": 1})
        with pytest.raises(LogFull):
            await main.rows.publish({"id": 2})
        async with connect(main.app, "/words/a"), connect(main.app, "/words/b"):
            assert (await refusal(main.app, "/words/c")).status == 503
            for word in "ab":
                await main.words.publish("x", word=word)
            with pytest.raises(TooManyLogs):
                await main.words.publish("x", word="c")
