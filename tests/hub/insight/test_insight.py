"""Insight: the bounds of reports, readings in turns, and the vital signs of a process."""

import json
import os

import pytest

from wirespeed.codec import json_of
from wirespeed.hub.insight import process
from wirespeed.hub.insight.insight import bounded
from wirespeed.hub.insight.process import NUMBERS, RUNS
from wirespeed.hub.insight.vitals import Vitals
from wirespeed.hub.processes import MOST_BYTES

pytestmark = pytest.mark.anyio


def test_reports_fit_into_a_message() -> None:
    """The longest list of a report loses its end until the report fits."""
    small = {"total": 2, "keys": ["a", "b"]}
    assert json.loads(bounded(small)) == small
    report = {"total": 1000, "keys": ["x" * 4000] * 1000, "watchers": ["w"]}
    cut = json.loads(bounded(report))
    assert len(bounded(report)) <= MOST_BYTES
    assert (cut["total"], cut["watchers"]) == (1000, ["w"])
    assert 100 <= len(cut["keys"]) < 1000
    assert bounded(None) == b"null"


def test_vital_signs() -> None:
    """A process knows its host, its age, its use of the CPU and its memory."""
    vitals = Vitals()
    assert vitals.host == os.uname().nodename
    assert vitals.uptime() >= 0
    assert vitals.cpu() >= 0
    memory = vitals.memory()
    assert memory is not None
    assert memory > 1_000_000


def test_readings_of_thousands_of_definitions_fit() -> None:
    """A reading is cut where it is largest, and keeps the definitions with the largest figures."""
    streams = {f"/{'stream' * 10}/{number}": dict.fromkeys(RUNS, number) for number in range(10_000)}
    feeds = {f"/feed/{number}": [1, number, *[0] * (len(NUMBERS) - 2)] for number in range(1000)}
    seen = process.bounded({"process": {}, "figures": feeds, "producers": {}, "runs": streams})
    assert len(json_of(seen)) <= MOST_BYTES
    assert len(seen["figures"]) == 1000
    assert 1000 < len(seen["runs"]) < 10_000
    assert f"/{'stream' * 10}/9999" in seen["runs"]
