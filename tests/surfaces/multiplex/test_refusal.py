"""Refusals: HTTP answers of the app become errors of the protocol."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirespeed.centrifuge import codes
from wirespeed.centrifuge.codes import Error
from wirespeed.surfaces.multiplex.refusal import detail_of, error_of


@pytest.mark.parametrize(
    ("status", "detail", "error"),
    [
        (401, "Unauthorized", codes.UNAUTHORIZED),
        (401, "Not authenticated", Error(101, "Not authenticated")),
        (403, "Forbidden", codes.PERMISSION_DENIED),
        (403, "Members only.", Error(103, "Members only.")),
        (404, "Not Found", codes.UNKNOWN_CHANNEL),
        (404, "No such room.", Error(102, "No such room.")),
        (429, "Too Many Requests", codes.TOO_MANY_REQUESTS),
        (429, "Slowly.", Error(111, "Slowly.", temporary=True)),
        (400, "Bad Request", Error(400, "Bad Request")),
        (409, "Taken.", Error(409, "Taken.")),
        (418, None, Error(418, "I'm a Teapot")),
        (410, {"any": "thing"}, Error(410, "Gone")),
        (422, "Not like that.", Error(422, "Not like that.")),
        (499, None, Error(499, "Refused")),
        (500, "Internal Server Error", Error(500, "Internal Server Error")),
        (501, None, Error(501, "Not Implemented")),
        (502, None, Error(502, "Bad Gateway", temporary=True)),
        (504, None, Error(504, "Gateway Timeout", temporary=True)),
        (503, "Try again.", Error(503, "Try again.", temporary=True)),
        (599, None, Error(599, "Refused")),
        (302, "Found", Error(100, "internal server error")),
        (200, None, Error(100, "internal server error")),
        (0, None, Error(100, "internal server error")),
    ],
)
def test_statuses(status: int, detail: Any, error: Error) -> None:
    """A status that the protocol has a code for becomes that code; other client errors keep their status."""
    given = error_of(status, detail)
    assert given == error._replace(status=status, detail=detail)


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ([(b"www-authenticate", b'Bearer error="invalid_token", error_description="The token expired"')], 109),
        ([(b"WWW-Authenticate", b"Bearer error_description=EXPIRED")], 109),
        ([(b"x-other", b"expired")], 101),
        ([(b"www-authenticate", b"Bearer")], 101),
        ([], 101),
    ],
)
def test_expired_tokens(headers: list[tuple[bytes, bytes]], error: int) -> None:
    """A 401 for an expired token makes the client send another one; any other 401 does not."""
    assert error_of(401, "Unauthorized", headers).code == error
    assert error_of(403, "Forbidden", headers).code == 103


@pytest.mark.parametrize(
    ("detail", "message"),
    [
        ([{"loc": ["path", "number"], "msg": "should be a number"}], "number: should be a number"),
        ([{"loc": ["body", "items", 3, "price"], "msg": "missing"}], "items.3.price: missing"),
        ([{"loc": ["query", "a"], "msg": "first"}, {"loc": ["query", "b"], "msg": "second"}], "a: first"),
        ([{"loc": ["body"], "msg": "required"}], "required"),
        ([{"msg": "nowhere"}], "nowhere"),
        ([{"loc": ["query", "a"]}], "a: bad request"),
        ([], "bad request"),
        (["no object"], "bad request"),
    ],
)
def test_what_does_not_validate(detail: list[Any], message: str) -> None:
    """The error has the first of FastAPI's errors, with its field."""
    assert error_of(422, detail) == Error(107, message, status=422, detail=detail)


@pytest.mark.parametrize(
    ("error", "explained"),
    [
        (codes.UNKNOWN_CHANNEL, "unknown channel"),
        (error_of(404, "Not Found"), {"message": "Not Found", "status": 404, "detail": "Not Found"}),
        (error_of(404, {"no": 7}), {"message": "Not Found", "status": 404, "detail": {"no": 7}}),
        (error_of(409, {"by": "Ada"}), {"message": "Conflict", "status": 409, "detail": {"by": "Ada"}}),
        (
            error_of(422, [{"loc": ["body", "a"], "msg": "no"}]),
            {"message": "a: no", "status": 422, "detail": [{"loc": ["body", "a"], "msg": "no"}]},
        ),
        (error_of(409, ""), {"message": "Conflict", "status": 409, "detail": "Conflict"}),
        (error_of(503, None), {"message": "Service Unavailable", "status": 503}),
    ],
)
def test_explanations(error: Error, explained: Any) -> None:
    """The app's refusals have a status and a detail for our own clients; the protocol's errors remain plain text."""
    assert error.explained() == explained if isinstance(explained, str) else json.loads(error.explained()) == explained


class Undecided:
    """Like an array of NumPy: it is neither true nor false."""

    def __bool__(self) -> bool:
        raise ValueError

    def __str__(self) -> str:
        return "[1 2]"


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError


CIRCULAR: list[Any] = []
CIRCULAR.append(CIRCULAR)


@pytest.mark.parametrize(
    ("detail", "sent"),
    [
        ({"ratio": float("nan"), "when": date(2026, 1, 1)}, {"ratio": None, "when": "2026-01-01"}),
        ({"half": "\ud800"}, {"half": "\ud800"}),
        (Unprintable(), None),
        (Undecided(), "[1 2]"),
        ([], []),
        (CIRCULAR, "[[...]]"),
        (["x" * 70_000], None),
        ("y" * 70_000, "y" * 4096 + "…"),
        ({"loc": 5}, {"loc": 5}),
        ([{"loc": 5, "msg": "\ud800"}], [{"loc": 5, "msg": "\ud800"}]),
    ],
)
def test_details_that_json_cannot_carry(detail: Any, sent: Any) -> None:
    """The detail of an app may be anything: what the client gets is valid JSON in UTF-8, and has a limit."""
    error = error_of(422, detail)
    explained = json.loads(error.explained().encode())
    assert explained.get("detail") == sent
    assert len(error.message.encode()) < 20_000


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"detail": "Members only."}', "Members only."),
        (b'{"detail": [{"loc": []}], "more": 1}', [{"loc": []}]),
        (b'{"error": "other"}', None),
        (b'["detail"]', None),
        (b'"detail"', None),
        (b"", None),
        (b"<html>", None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
    ],
)
def test_details(body: bytes, detail: Any) -> None:
    """An answer may have any content; without a detail, the error has none."""
    assert detail_of(body) == detail


@given(
    st.integers(-1, 1000),
    st.none()
    | st.text(max_size=3)
    | st.lists(st.dictionaries(st.just("loc"), st.lists(st.none(), max_size=2)), max_size=2),
)
def test_any_answer_is_an_error(status: int, detail: Any) -> None:
    """For any answer of the app, the client gets a number that it can handle, and a sentence."""
    error = error_of(status, detail_of(json.dumps({"detail": detail}).encode()))
    assert 100 <= error.code <= 111 or 400 <= error.code <= 1000
    assert error.temporary == (status in (429, 502, 503, 504))
    assert isinstance(error.message, str)
