"""The dashboard for Grafana: Grafana can import it, and its queries ask for metrics that the app has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import FastAPI

from wirespeed import BrokerHealth, Live
from wirespeed.metrics import _LiveCollector

DASHBOARD: dict[str, Any] = json.loads((Path(__file__).parents[1] / "docs" / "grafana.json").read_text())
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def queries() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def exported(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Return the names of all metrics, as they are in queries, with the labels that have values."""
    app = FastAPI()
    live = Live(app)
    monkeypatch.setattr(live, "health", lambda: BrokerHealth("ok"))
    live.topic("/news", str)
    found = {}
    for metric in _LiveCollector(live).collect():
        labels = set(cast("Any", metric)._labelnames)
        for suffix in SUFFIXES[metric.type]:
            found[metric.name + suffix] = {*labels, "le"} if suffix == "_bucket" else labels
    return found


def test_queries_ask_for_metrics_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name in the dashboard is exported, with the labels by which it is selected."""
    metrics = exported(monkeypatch)
    for query in queries():
        names = re.findall(r"\bwirespeed_\w+", query)
        assert names, query
        assert [name for name in names if name not in metrics] == [], query
        for name, selector in re.findall(r"\b(wirespeed_\w+){([^}]*)}", query):
            labels = set(re.findall(r"(\w+)=~", selector))
            assert labels <= metrics[name] | {"instance"}, query
        for labels in re.findall(r"\bby \(([^)]*)\)", query):
            assert set(labels.split(", ")) <= metrics[names[0]] | {"instance"}, query


def test_everything_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each metric has a place in the dashboard."""
    shown = set(re.findall(r"\bwirespeed_\w+", " ".join(queries())))
    assert exported(monkeypatch).keys() - shown == set()


def test_dashboard_is_valid() -> None:
    """It has what Grafana needs for an import: a schema, panels with ids of their own that do not overlap, and the data
    source as a variable."""
    assert DASHBOARD["id"] is None
    assert DASHBOARD["schemaVersion"] >= 36
    assert {"title", "uid", "time", "templating"} <= DASHBOARD.keys()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    assert {"name": "datasource", "type": "datasource", "query": "prometheus"}.items() <= DASHBOARD["templating"][
        "list"
    ][0].items()
    plain = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    for each in [*plain, *(target for panel in plain for target in panel["targets"])]:
        assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]} | {"__rate_interval"}
    used = set(re.findall(r"\$(\w+)", " ".join(queries())))
    assert used <= variables
