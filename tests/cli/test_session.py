"""The errors of the Python client as sentences."""

from types import SimpleNamespace
from typing import Any

import pytest

from wirespeed.cli.session import refused


def refusal(detail: Any) -> str:
    """Return the text of a refusal of a call's input, with its hint."""
    error = refused(SimpleNamespace(what="/call", status=422, code=0, detail=detail, reason="Refused."))
    return f"{error}\n{error.hint}"


def test_faults_of_the_input_are_listed() -> None:
    """FastAPI's errors are named by their places in the message."""
    assert "a.0: Wrong." in refusal([{"loc": ["body", "a", 0], "msg": "Wrong."}])


@pytest.mark.parametrize("detail", [["bad"], [1, None], [{"loc": 7}], [{"loc": ["body"]}, "bad"]])
def test_own_detail_may_have_any_form(detail: Any) -> None:
    """A detail that is not FastAPI's does not end the command with an error of its own."""
    assert "/call: Refused. (status 422)." in refusal(detail)
