"""Refusals of the app on the multiplexed connection: our own clients get the status and the detail, others a text."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Query
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from tests.centrifuge.sides import SIDES, Fields, Side
from tests.live.multiplexing import Speaker, speaking
from wirespeed import Identity, Live
from wirespeed.testing import lifespan

pytestmark = pytest.mark.anyio

TAKEN = {"field": "seat", "by": ["Ada", "\ud800"]}


class Booking(BaseModel):
    seat: int


async def book(booking: Booking) -> int:
    """Refuse in several ways."""
    raise {
        1: HTTPException(409, TAKEN),
        2: HTTPException(404, "No such seat."),
        3: HTTPException(404),
        4: HTTPException(400, ["x" * 100_000]),
        5: HTTPException(422, [{"loc": ["body", "seat"], "msg": "It is taken."}]),
        6: HTTPException(429, "Slow down.", {"Retry-After": 5}),  # type: ignore[dict-item]
    }[booking.seat]


async def many(numbers: list[int]) -> int:
    """Take many values."""
    return len(numbers)


def guard(day: Annotated[str, Query()]) -> None:
    """Admit no client."""
    raise HTTPException(403, {"closed": day})


async def run(booking: Booking) -> AsyncIterator[int]:
    """End with the refusal."""
    yield 1
    await book(booking)


async def door(token: str, connection: HTTPConnection) -> Identity:
    """Admit clients without a token."""
    if token:
        raise HTTPException(402, {"plan": token})
    return Identity()


@pytest.fixture(name="app")
def app_that_refuses() -> FastAPI:
    """Return an app whose definitions refuse everything."""
    app = FastAPI()
    live = Live(app, authenticate=door)
    live.call("/book")(book)
    live.call("/list")(many)
    live.stream("/run")(run)
    live.topic("/guarded", int, dependencies=[Depends(guard)])
    live.topic("/room", int).on_message(book)
    return app


@pytest.fixture(params=SIDES, ids=repr, name="side")
def side_of(request: pytest.FixtureRequest) -> Side:
    """Return each of the two formats."""
    chosen: Side = request.param
    return chosen


def explained(answer: Fields) -> tuple[int, Any]:
    """Return the code of an error, and what its message says as JSON."""
    return answer["error"]["code"], json.loads(answer["error"]["message"])


async def called(speaker: Speaker, seat: Any) -> Fields:
    """Return the answer of the call."""
    return await speaker.ask({"rpc": {"method": "book", "data": {"seat": seat}}})


async def test_our_own_clients_get_status_and_detail(app: FastAPI, side: Side) -> None:
    """Calls, publications, subscriptions and the ends of streams carry the detail of an HTTPException and of a 422."""
    taken = {"message": "Conflict", "status": 409, "detail": TAKEN}
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        await speaker.connected(name="wirespeed")
        assert explained(await called(speaker, 1)) == (409, taken)
        invalid = explained(await called(speaker, "a"))
        assert (invalid[0], invalid[1]["status"]) == (107, 422)
        assert [each["loc"] for each in invalid[1]["detail"]] == [["body", "seat"]]
        many = await speaker.ask({"rpc": {"method": "list", "data": ["x"] * 300}})
        assert [each["loc"] for each in explained(many)[1]["detail"]] == [["body"]]
        own = explained(await called(speaker, 5))
        assert own == (
            107,
            {
                "message": "seat: It is taken.",
                "status": 422,
                "detail": [{"loc": ["body", "seat"], "msg": "It is taken."}],
            },
        )
        assert explained(await speaker.ask({"publish": {"channel": "room", "data": {"seat": 1}}})) == (409, taken)
        refused = explained(await speaker.subscribe("guarded?day=monday"))
        assert refused == (103, {"message": "permission denied", "status": 403, "detail": {"closed": "monday"}})
        missing = explained(await speaker.subscribe("guarded"))
        assert (missing[0], missing[1]["status"], missing[1]["detail"][0]["loc"]) == (107, 422, ["query", "day"])
        await speaker.subscribed("run", data={"seat": 1})
        assert await speaker.pub("run") == 1
        end = (await speaker.push())["unsubscribe"]
        assert (end["code"], json.loads(end["reason"])) == (2409, taken)


async def test_a_404_of_the_app_differs_from_an_unknown_path(app: FastAPI, side: Side) -> None:
    """A call's own 404 has a status; an unknown path has none, and is a plain text."""
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        await speaker.connected(name="wirespeed")
        for seat, text in ((2, "No such seat."), (3, "Not Found")):
            answer = explained(await called(speaker, seat))
            assert answer == (102, {"message": text, "status": 404, "detail": text})
        unknown = await speaker.ask({"rpc": {"method": "nowhere", "data": None}})
        assert unknown["error"]["message"] in ("unknown channel", "method not found")


async def test_a_detail_that_is_too_large_is_left_out(app: FastAPI, side: Side) -> None:
    """Status and message still arrive."""
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        await speaker.connected(name="wirespeed")
        assert explained(await called(speaker, 4)) == (400, {"message": "Bad Request", "status": 400})


async def test_a_header_that_is_a_number(app: FastAPI, side: Side) -> None:
    """A refusal with a header that is not a text keeps its status and its message."""
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        await speaker.connected(name="js")
        error = (await called(speaker, 6))["error"]
        assert (error["code"], error["message"]) == (111, "Slow down.")


async def test_other_clients_get_plain_text(app: FastAPI, side: Side) -> None:
    """Official SDKs show the message to people: it never contains JSON, nor does the error have further fields."""
    async with lifespan(app), speaking(app, side, connects=False) as speaker:
        await speaker.connected(name="js")
        assert (await called(speaker, 1))["error"] == {"code": 409, "message": "Conflict"}
        assert (await called(speaker, 2))["error"] == {"code": 102, "message": "No such seat."}
        assert (await speaker.subscribe("guarded?day=x"))["error"] == {"code": 103, "message": "permission denied"}
        await speaker.subscribed("run", data={"seat": 1})
        assert await speaker.pub("run") == 1
        assert (await speaker.push())["unsubscribe"] == {"code": 2409, "reason": "Conflict"}


async def test_a_refused_connect(app: FastAPI, side: Side) -> None:
    """The refusal of ``authenticate`` arrives like any other."""
    for name, message in (
        ("wirespeed", {"message": "Payment Required", "status": 402, "detail": {"plan": "free"}}),
        ("js", "Payment Required"),
    ):
        async with lifespan(app), speaking(app, side, connects=False) as speaker:
            error = (await speaker.ask({"connect": {"name": name, "token": "free"}}))["error"]
            said = json.loads(error["message"]) if name == "wirespeed" else error["message"]
            assert (error["code"], said) == (402, message)
