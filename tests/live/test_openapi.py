"""OpenAPI's view of definitions: the errors that the app describes."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from wirespeed import Live, LiveRouter


class Problem(BaseModel):
    detail: str


RESPONSES: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem},
    "409": {"description": "Sold out."},
    "5XX": {"model": Problem, "description": "Bad."},
}
IN_JSON = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def stream(live: Live) -> None:
    @live.stream("/x", responses=RESPONSES)
    async def values(problem: Problem) -> AsyncIterator[int]:
        yield 1


def call(live: Live) -> None:
    @live.call("/x", responses=RESPONSES)
    def nothing(problem: Problem) -> None: ...


def feed(live: Live) -> None:
    @live.feed("/x", responses=RESPONSES)
    async def octets() -> AsyncIterator[bytes]:
        yield b""


def topic(live: Live) -> None:
    live.topic("/x", str, responses=RESPONSES)


@pytest.mark.parametrize(
    ("declare", "always"),
    [(stream, {"200", "422"}), (call, {"204", "422"}), (feed, {"200", "304", "503"}), (topic, {"200", "304"})],
)
def test_errors(app: FastAPI, live: Live, declare: Callable[[Live], None], always: set[str]) -> None:
    """Errors are JSON, whatever the values are, and the answers that the definition always has stay."""
    declare(live)
    for _ in range(2):  # FastAPI keeps its document
        (operations,) = app.openapi()["paths"].values()
        (operation,) = operations.values()
        found = operation["responses"]
        assert (found["404"]["content"], found["5XX"]["content"]) == (IN_JSON, IN_JSON)
        assert (found["409"], found["5XX"]["description"]) == ({"description": "Sold out."}, "Bad.")
    assert found.keys() == {"404", "409", "5XX"} | always


def test_answer_that_a_topic_always_has(app: FastAPI, live: Live) -> None:
    """A topic's own text about 404 stays if the app gives a model only, and gives way to another text."""
    live.topic("/a", str, responses={404: {"model": Problem}})
    live.topic("/b", str, responses={404: {"description": "Other."}})
    paths = app.openapi()["paths"]
    said = [paths[path]["get"]["responses"]["404"]["description"] for path in ("/a", "/b")]
    assert said == ["The topic has no value.", "Other."]


def test_withheld_values(app: FastAPI, live: Live) -> None:
    """A GET is documented by its events only if earlier values are withheld, and not at all for bytes."""
    live.topic("/news", str, keep=10, history=False)
    live.topic("/raw", bytes, keep=10, history="resume")
    paths = app.openapi()["paths"]
    assert list(paths) == ["/news"]
    responses = paths["/news"]["get"]["responses"]
    assert list(responses) == ["200", "406"]
    assert list(responses["200"]["content"]) == ["text/event-stream"]


def test_errors_of_routers(app: FastAPI, live: Live) -> None:
    """Answers of routers and of inclusions are there, too; those of the app's own routes stay as they are."""
    router = LiveRouter(responses={401: {"model": Problem}})
    router.topic("/text", str)
    app.include_router(router, responses={403: {"model": Problem}})
    app.get("/own", responses=RESPONSES)(lambda: None)
    paths = app.openapi()["paths"]
    found = paths["/text"]["get"]["responses"]
    assert (found["401"]["content"], found["403"]["content"]) == (IN_JSON, IN_JSON)
    assert paths["/own"]["get"]["responses"]["404"]["content"] == IN_JSON


def test_wrong_option(live: Live) -> None:
    """An option that does not exist is refused by its name."""
    with pytest.raises(TypeError, match="no option 'response'"):
        live.topic("/x", str, response={})  # type: ignore[call-overload]
