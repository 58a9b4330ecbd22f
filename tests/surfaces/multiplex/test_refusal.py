"""Refusals: HTTP answers of the app become errors of the protocol."""

import json
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
        (499, None, Error(499, "refused")),
        (500, "Internal Server Error", Error(500, "Internal Server Error")),
        (501, None, Error(501, "Not Implemented")),
        (502, None, Error(502, "Bad Gateway", temporary=True)),
        (504, None, Error(504, "Gateway Timeout", temporary=True)),
        (503, "Try again.", Error(503, "Try again.", temporary=True)),
        (599, None, Error(599, "refused")),
        (302, "Found", Error(100, "internal server error")),
        (200, None, Error(100, "internal server error")),
        (0, None, Error(100, "internal server error")),
    ],
)
def test_statuses(status: int, detail: Any, error: Error) -> None:
    """A status that the protocol has a code for becomes that code; other client errors keep their status."""
    assert error_of(status, detail) == error


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
    assert error_of(422, detail) == Error(107, message)


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
