"""The documentation of the multiplexed connection: its examples do what its text says.

In process, by frames as SDKs send them; the pages on Python against a server. The JavaScript is not run here.
"""

import asyncio
import importlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.waiting import PATIENCE
from wirespeed import Grant, Identity
from wirespeed.centrifuge import codes
from wirespeed.testing import connect, lifespan

from . import test_docs
from .servers import Server, serve
from .speaking import Answer, Refused, Speaker, speaking
from .test_docs import Load, read, refusal

pytestmark = pytest.mark.anyio

load = test_docs.load


async def disconnected(app: Any, token: str) -> int:
    """Return the code with which a connecting client is disconnected."""
    async with connect(app, "/live/websocket") as client:
        await client.send_json({"id": 1, "connect": {"token": token}})
        return await Speaker(client).close_code()


# The tutorial


def with_changes(page: str, code: str) -> str:
    """Return an example after the change that a page shows as a diff."""
    (diff,) = re.findall(r"^```diff[^\n]*\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)
    before, after = ("".join(f"{line[1:]}\n" for line in diff.splitlines() if line[0] in f" {kind}") for kind in "-+")
    assert code.count(before) == 1
    return code.replace(before, after)


@pytest.fixture
def market(load: Load, tmp_path: Path) -> Any:
    """Return the finished app of the tutorial."""
    load("docs/tutorial-sdk.md", "robot.py")
    path = tmp_path / "main.py"
    path.write_text(with_changes("docs/tutorial-sdk.md", path.read_text()))
    return importlib.import_module("main")


async def test_tutorial(market: Any) -> None:
    """Feeds, a log that is resumed, a run, a call and a chat share one connection."""
    async with lifespan(market.app), speaking(market.app) as page:
        first = await page.subscribe("price/BTC?max_rate=10")
        assert (first["recoverable"], "positioned" in first) == (True, False)
        assert 90 < (await page.values("price/BTC?max_rate=10", 1))[0] < 110
        assert await page.code("subscribe", channel="price/DOGE") == 107
        log = await page.subscribe("trades")
        for amount in (1, 2):
            market.trades.publish(market.Trade(symbol="BTC", amount=amount))
        assert await page.values("trades", 2) == [{"symbol": "BTC", "amount": 1}, {"symbol": "BTC", "amount": 2}]
        async with speaking(market.app) as other:
            back = await other.subscribe("trades", recover=True, epoch=log["epoch"], offset=1)
            assert back["recovered"]
            assert [each["data"]["amount"] for each in back["publications"]] == [2]
            await other.do("unsubscribe", channel="trades")
            gone = await other.subscribe("trades", recover=True, epoch="other", offset=1)
            assert (gone["was_recovering"], "recovered" in gone) == (True, False)
            await other.do("unsubscribe", channel="trades")
            await other.subscribe("trades")
            assert [each["amount"] for each in await other.values("trades", 2)] == [1, 2]  # of replay=5
        newest = await page.do("history", channel="trades", limit=10, reverse=True)
        assert [each["data"]["amount"] for each in newest["publications"]] == [2, 1]


async def test_tutorial_runs_and_calls(market: Any) -> None:
    """The run yields its values and ends; the call has a price if it is watched, and otherwise an error."""
    async with lifespan(market.app), speaking(market.app) as page:
        await page.subscribe("backtest", data={"symbol": "BTC", "days": 2})
        assert [each["day"] for each in await page.values("backtest", 2)] == [1, 2]
        assert (await page.push("unsubscribe", "backtest"))["code"] == 2000
        with pytest.raises(Refused, match=r"days: Input should be greater than or equal to 1") as refused:
            await page.subscribe("backtest", data={"symbol": "BTC", "days": 0})
        assert refused.value.code == 107
        cost = {"method": "cost", "data": {"symbol": "ETH", "amount": 2}}
        assert await page.code("rpc", **cost) == 409
        assert await page.code("rpc", method="cost", data={"symbol": "ETH"}) == 107
        await page.subscribe("price/ETH")
        await page.values("price/ETH", 1)
        assert 180 < (await page.do("rpc", **cost))["data"] < 220


async def test_tutorial_people(market: Any) -> None:
    """Publications have their sender, presence has the members, and accounts are for their owners."""
    token = TestClient(market.app).post("/login", params={"name": "ada"}).json()
    async with lifespan(market.app), speaking(market.app) as guest, speaking(market.app, token) as ada:
        assert 50 < ada.connected["ttl"] <= 60
        await guest.subscribe("chat")
        await ada.subscribe("chat")
        assert (await guest.push("join", "chat"))["info"]["user"] == ""
        assert (await guest.push("join", "chat"))["info"]["user"] == "ada"
        present = (await guest.do("presence", channel="chat"))["presence"]
        assert sorted(each["user"] for each in present.values()) == ["", "ada"]
        await ada.do("publish", channel="chat", data={"text": "hello"})
        said = await guest.push("pub", "chat")
        assert (said["data"], said["info"]["user"]) == ({"text": "hello"}, "ada")
        assert await ada.code("publish", channel="chat", data={"text": ""}) == 107
        await ada.subscribe("account/ada")
        market.account.publish(5, user="ada")
        assert await ada.values("account/ada", 1) == [5]
        with pytest.raises(Refused, match=r"This is not your account\.") as refused:
            await guest.subscribe("account/ada")
        assert refused.value.code == 103


# Servers, for the pages on Python


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    """Serve the ``main.py`` that was written before."""
    with serve(tmp_path / "main.py") as server:
        yield server


async def test_tutorial_in_python(market: Any, served: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """The robot sees the run, and publishes its request in the chat."""
    robot = importlib.import_module("robot")
    async with asyncio.timeout(PATIENCE):
        await robot.trade(served.url)
    assert re.fullmatch(r"(\d -?\d+\.\d+\n){3}", capsys.readouterr().out)


async def test_watch_from_python(
    load: Load, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """A feed, a run, a call, a publication, the newest only, a table up to its end, and definitions themselves."""
    script = load("docs/how-to/watch-from-python.md", "script.py")
    names = ("service", "slow", "table", "typed", "main")
    service, slow, table, typed, main = (importlib.import_module(name) for name in names)
    server: Server = request.getfixturevalue("served")
    async with asyncio.timeout(PATIENCE):
        assert await script.warn(server.url) == "It is 21.5 °C."
        await service.main(server.url)
        assert capsys.readouterr().out.splitlines() == ["tea 1", "tea 2", "tea 3", "item='tea' count=2 5.0"]
        assert await slow.look(server.url) == [21.5] * 3
        rows = await table.rows(server.url)
        assert await typed.degrees(server.url) == 21.5
        assert await typed.symbols(server.url) == rows
        assert await typed.shop(server.url) == 5.0
        assert capsys.readouterr().out.splitlines() == ["['tea 1', 'tea 2']", "tea"]
    assert rows == {"ABC": main.Quote(symbol="ABC", price=97.13), "XYZ": main.Quote(symbol="XYZ", price=104.02)}


# The guides


async def test_guards_that_are_there(load: Load) -> None:
    """Guards see cookies and the connect token, on each surface."""
    main = load("docs/how-to/identify-clients.md")
    cookie = {"cookie": "session=s3cret"}
    async with lifespan(main.app):
        await main.balance.publish(5, owner="ada")
        async with speaking(main.app, **cookie) as ada, speaking(main.app, "t0ken", **cookie) as bob:
            await ada.subscribe("balance/ada")
            assert await bob.code("subscribe", channel="balance/ada") == 103
            await bob.subscribe("balance/bob")
            assert await ada.code("subscribe", channel="balance/bob") == 103
        async with speaking(main.app) as nobody:
            assert await nobody.code("subscribe", channel="balance/ada") == 101
        assert (await refusal(main.app, "/balance/ada")).status == 401
    with TestClient(main.app) as http:
        main.balance.publish(5, owner="ada")
        assert [http.get("/balance/ada", headers=each).status_code for each in ({}, cookie)] == [401, 200]


async def test_own_sessions(load: Load) -> None:
    """The function identifies clients, or refuses them, on all surfaces."""
    sessions = load("docs/how-to/identify-clients.md", "sessions.py")
    async with lifespan(sessions.app):
        async with speaking(sessions.app, "s3cret") as ada, speaking(sessions.app) as guest:
            assert list(ada.connected["subs"]) == ["balance/ada"]
            assert await guest.code("subscribe", channel="balance/ada") == 103
        assert await disconnected(sessions.app, "wrong") == 3500
        assert (await refusal(sessions.app, "/balance/ada", cookie="session=t0ken")).status == 403


async def test_tokens(load: Load) -> None:
    """A token connects, and a ticket opens its film; missing and wrong ones are refused."""
    tokens = load("docs/how-to/identify-clients.md", "tokens.py")
    ada, later = tokens.signed("ada", info={"name": "Ada"}), int(time.time()) - 60
    ticket = TestClient(tokens.app).get("/ticket", params={"film": 7}).json()
    async with lifespan(tokens.app):
        async with speaking(tokens.app, ada) as client:
            assert await client.code("subscribe", channel="film/7") == 103
            assert await client.code("subscribe", channel="film/8", token=ticket) == 103
            old = tokens.signed("ada", channel="film/7", exp=later)
            assert await client.code("subscribe", channel="film/7", token=old) == 109
            seen = await client.subscribe("film/7", token=ticket)
            assert 590 < seen["ttl"] <= 600
            (who,) = (await client.do("presence", channel="film/7"))["presence"].values()
            assert (who["user"], who["conn_info"], who["chan_info"]) == ("ada", {"name": "Ada"}, {"seat": 7})
        assert await disconnected(tokens.app, "") == 3501
        assert await disconnected(tokens.app, ada[:-3]) == 3500
        assert await disconnected(tokens.app, ticket) == 3500
        with pytest.raises(Refused) as expired:
            async with speaking(tokens.app, tokens.signed("ada", exp=later)):
                pass
        assert expired.value.code == 109


async def test_own_desk(load: Load) -> None:
    """An authenticator with the method for it verifies tokens of subscriptions."""
    desk = load("docs/how-to/identify-clients.md", "desk.py")
    desk.live.topic("/film", str)
    async with lifespan(desk.app), speaking(desk.app, "ada") as client:
        assert await client.code("subscribe", channel="film", token="nonsense") == 103
        await client.subscribe("film", token="ada may see film")


async def test_reaching_clients(load: Load) -> None:
    """Users are listed, messaged, subscribed, unsubscribed, and disconnected."""
    main = load("docs/how-to/reach-clients.md")
    with TestClient(main.app) as http:
        socket = http.websocket_connect("/live/websocket")
        with socket:
            seen: list[Answer] = []

            def next_answer(kind: str) -> Answer:
                while not seen or kind not in seen[0]:
                    seen[:] = seen[1:] or [json.loads(line) for line in socket.receive_text().splitlines()]
                return dict(seen.pop(0)[kind])

            socket.send_json({"id": 1, "connect": {"token": "ada"}})
            client = next_answer("connect")["client"]
            assert http.get("/online").json() == [{"id": client, "user": "ada", "channels": []}]
            assert [http.post(f"/hello/{user}?text=hi").json() for user in ("ada", "bob")] == [1, 0]
            assert next_answer("push")["message"]["data"] == {"hello": "hi"}
            http.put("/subscriber/ada")
            assert next_answer("push")["subscribe"]["data"] == {"thanks": True}
            assert http.get("/online").json()[0]["channels"] == ["news"]
            http.delete("/subscriber/ada")
            assert next_answer("push")["unsubscribe"]["code"] == 2000
            http.post("/closing")
            assert next_answer("push")["refresh"]["ttl"] == 60
            http.post("/logout/ada")
            assert socket.receive()["code"] == 4500


async def test_presence(load: Load) -> None:
    """A client receives its own join; others see what the page says; presence needs no subscription."""
    main = load("docs/how-to/presence.md")
    async with lifespan(main.app), speaking(main.app, "ada") as ada, speaking(main.app, "bob") as bob:
        await ada.subscribe("room/hall")
        came = (await ada.push("join"))["info"]
        assert came == {"user": "ada", "client": ada.connected["client"], "conn_info": {"name": "Ada"}}
        assert (await bob.do("presence", channel="room/hall"))["presence"] == {came["client"]: came}
        assert await bob.do("presence_stats", channel="room/hall") == {"num_clients": 1, "num_users": 1}
        await bob.subscribe("room/hall")
        assert (await ada.push("join"))["info"]["user"] == "bob"
        await bob.do("publish", channel="room/hall", data={"text": "hi"})
        assert (await ada.push("pub"))["info"]["conn_info"] == {"name": "Bob"}
        await bob.client.disconnect()
        assert (await ada.push("leave"))["info"]["user"] == "bob"


def test_transports(load: Load) -> None:
    """CORS and the check of origins admit the named page only; a missing connection is a 404."""
    client = TestClient(load("docs/how-to/use-other-transports.md").app)
    headers = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    for origin, allowed in (("https://app.example.com", True), ("https://app.example.org", False)):
        for path in ("/live/http_stream", "/live/emulation"):
            preflight = client.options(path, headers={"origin": origin, **headers})
            assert ("access-control-allow-origin" in preflight.headers) is allowed
    stranger = {"origin": "https://app.example.org"}
    assert client.get("/live/sse", headers=stranger).status_code == 403
    command = {"node": "x", "session": "y", "data": "{}"}
    assert client.post("/live/emulation", json=command).status_code == 404
    assert client.post("/live/emulation", json=command, headers=stranger).status_code == 403


async def test_another_prefix(load: Load) -> None:
    """Under Centrifugo's prefix, the emulation is also beside it."""
    app = load("docs/how-to/use-other-transports.md", "like_centrifugo.py").app
    async with speaking(app, path="/connection/websocket") as client:
        assert client.connected["ping"] == 25
    assert TestClient(app).post("/emulation", json={"node": "", "session": "", "data": ""}).status_code == 404
    assert TestClient(app).post("/emulation", content="nonsense").status_code == 400
    assert (await refusal(app, "/live/websocket")).status == 403


async def test_tags(load: Load) -> None:
    """A client receives the matching publications with their tags; its position advances."""
    main = load("docs/how-to/tags-and-deltas.md")
    (shown,) = re.findall(r"tagsFilter: (\{.*?\n  \}),", read("docs/how-to/tags-and-deltas.md"), re.DOTALL)
    wanted = json.loads(re.sub(r",(\s*[\]}])", r"\1", re.sub(r"(\w+):", r'"\1":', shown)))
    async with lifespan(main.app), speaking(main.app) as client:
        await client.subscribe("trades", tf=wanted)
        for symbol, amount in (("BTC", 9), ("BTC", 10), ("DOGE", 100), ("ETH", 11)):
            main.make_trade(main.Trade(symbol=symbol, amount=amount))
        pushes = [await client.push("pub", "trades") for _ in range(2)]
        assert [(each["offset"], each["tags"]["amount"]) for each in pushes] == [(2, "10"), (4, "11")]
        await client.subscribe("readings")
        assert (await client.push("pub", "readings"))["tags"] == {"room": "hall"}
        wrong = {"key": "symbol", "cmp": "like"}
        assert await client.code("subscribe", channel="/trades", tf=wrong) == 107
        assert await client.code("subscribe", channel="/trades", tf=wanted, delta="fossil") == 107


def test_comparisons_are_all_there() -> None:
    """The table of comparisons is complete."""
    page = read("docs/how-to/tags-and-deltas.md")
    named = re.findall(r'"(\w+)"', page[page.index("| `cmp` |") : page.index("A filter that is not valid")])
    assert sorted(named) == sorted(re.findall(r"\w+", "eq neq in nin ex nex sw ew ct lt lte gt gte"))


async def test_deltas(load: Load) -> None:
    """A log grants deltas; elsewhere the request is ignored, and the reply says so."""
    main = load("docs/how-to/tags-and-deltas.md")
    newest = main.live.topic("/newest", str, keep="latest")
    async with lifespan(main.app), speaking(main.app) as client:
        assert (await client.subscribe("chart", delta="fossil"))["delta"]
        assert "delta" not in await client.subscribe("newest", delta="fossil")
        for last in (1.0, 2.0):
            main.draw(main.Chart(title="A chart", points=[*map(float, range(100)), last]))
        whole, difference = [await client.push("pub", "chart") for _ in range(2)]
        assert ("delta" in whole, difference["delta"]) == (False, True)
        assert len(difference["data"]) < len(whole["data"]) / 5
        newest.publish("whole")
        assert await client.values("newest", 1) == ["whole"]


# The topic, and the reference


async def test_what_is_different(market: Any) -> None:
    """Differences from the protocol are refused or ignored as the topic says."""
    async with lifespan(market.app), speaking(market.app) as client:
        assert await client.code("subscribe", channel="trades", type=1) == 108
        assert await client.code("history", channel="price/BTC", limit=1) == 108
        assert await client.code("presence", channel="trades") == 108
        for channel in ("cost", "login", "live/websocket"):
            assert await client.code("subscribe", channel=channel) == 102
        assert await client.code("rpc", method="price/BTC") == 104
        assert await client.code("publish", channel="trades", data={}) == 103
        await client.subscribe("backtest#1", data={"symbol": "BTC", "days": 1})
        await client.subscribe("backtest#2", data={"symbol": "BTC", "days": 1})
        assert await client.code("publish", channel="backtest#1", data={}) == 103
        await client.subscribe("chat", flag=1)
        assert await client.code("subscribe", channel="chat") == 105
        await client.client.send_json({"send": {"data": {}}})
        assert await client.close_code() == 3508


async def test_recovery_knows_no_limit(market: Any) -> None:
    """None of a thousand missed publications is lost: those beyond the answer follow it."""
    long = market.live.topic("/long", str, keep=1000)
    async with lifespan(market.app):
        position = await long.publish("0")
        texts = [f"{number} {'x' * 500}" for number in range(1, 1000)]
        for text in texts:
            long.publish(text)
        async with speaking(market.app) as client:
            back = await client.subscribe("long", recover=True, epoch=position.epoch, offset=1)
            seen = [each["data"] for each in back["publications"]]
            assert back["recovered"]
            assert 0 < len(seen) < len(texts)
            assert seen + await client.values("long", len(texts) - len(seen)) == texts


def test_codes_in_the_reference() -> None:
    """The reference has every code that the source sends."""
    part = read("docs/reference.md").partition("## Codes of the multiplexed connection")[2].partition("## Settings")[0]
    seen = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", part, re.MULTILINE) for code in row.split(", ")}
    source = "".join(path.read_text() for path in (test_docs.ROOT / "src/wirespeed").rglob("*.py"))
    used = set(re.findall(r"\bcodes\.([A-Z_]+)\b", source))
    sent = {value[0] for name, value in vars(codes).items() if name in used}
    assert sent - seen == set()
    assert len(sent) > 20


def test_fields_in_the_reference() -> None:
    """The reference has all fields of an identity and of a grant."""
    page = read("docs/reference.md").partition("## Identity")[2].partition("## WatchStatistics")[0]
    assert [each.name for each in fields(Identity) if f"| `{each.name}` |" not in page] == []
    assert [each.name for each in fields(Grant) if f"`{each.name}`" not in page] == []
