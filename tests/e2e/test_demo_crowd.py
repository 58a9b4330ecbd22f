"""The work that pages of the demo cause in the server: bounded, and never in the way of the rest."""

import re
from typing import get_args

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from demo import feeds
from tests.lanes.turns import counting_turns
from tests.servers import ROOT
from wirespeed import Live
from wirespeed.testing import connect, lifespan

pytestmark = pytest.mark.anyio


@pytest.fixture
def app() -> FastAPI:
    """Make an app with the demo's feeds."""
    app = FastAPI()
    Live(app)
    app.include_router(feeds.router)
    return app


async def test_server_stays_responsive(app: FastAPI) -> None:
    """Watchers that can never keep up take few values in each turn of the event loop, whatever the machine."""
    async with lifespan(app), connect(app, "/crowd") as crowd, counting_turns() as had:
        await crowd.send_json({"symbol": "BTC", "rate": 50_000, "count": 30})
        await crowd.receive_json()
        before = had()
        received = await crowd.receive_json()
        passed = had() - before
    assert received > 0
    assert received < 10 * feeds.AT_ONCE * passed


async def test_all_pages_together_have_a_bound(app: FastAPI) -> None:
    """A page is refused more watchers than there is room for; those of a page that leaves make room."""
    wanted = {"symbol": "BTC", "rate": 10, "count": feeds.MOST_WATCHERS}
    async with lifespan(app):
        async with connect(app, "/crowd") as first, connect(app, "/crowd") as second:
            await first.send_json(wanted)
            await first.receive_json()
            await second.send_json(wanted)
            assert "can add 1,000 watchers" in (await second.receive_json())["error"]["message"]
        async with connect(app, "/crowd") as third:
            await third.send_json(wanted)
            assert isinstance(await third.receive_json(), int)


async def test_only_the_rates_of_the_page_have_a_generator(app: FastAPI) -> None:
    """The server offers the rates of the page's slider and refuses others, so visitors start few generators."""
    slider = re.search(r'"rate", \[([\d_, ]+)\]', (ROOT / "web/demo/src/signal.ts").read_text())
    assert slider
    rates = [int(each) for each in slider[1].split(",")]
    assert list(get_args(feeds.Rate)) == rates
    async with lifespan(app), AsyncClient(transport=ASGITransport(app), base_url="http://testserver") as http:
        for path in ("/ticks/BTC", "/price/BTC"):
            answers = [(await http.get(f"{path}?rate={each}")).status_code for each in (*rates, 1, 11, 50_001, "ten")]
            assert answers == [*[200] * len(rates), 422, 422, 422, 422]
        async with connect(app, "/crowd") as crowd:
            await crowd.send_json({"symbol": "BTC", "rate": 11, "count": 1})
            assert "Input should be 10, 100" in (await crowd.receive_json())["error"]["message"]
