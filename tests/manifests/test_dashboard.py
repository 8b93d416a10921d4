"""The dashboard's form: what Grafana would refuse or show wrongly. What its queries answer: tests/integration."""

import re
from itertools import combinations
from typing import Any

import pytest
from promql import dashboard, panels, rules

DASHBOARD = dashboard()
SHOWN = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
KINDS = {"timeseries", "stat", "table"}
UNITS = {"s", "µs", "percentunit", "bytes", "reqps", "cps", "none", "short"}


def titles(panel: dict[str, Any]) -> str:
    return str(panel["title"])


def test_ids_are_unique_and_the_schema_is_one_that_grafana_reads():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    assert 36 <= DASHBOARD["schemaVersion"] <= 41  # Grafana 9 to 12
    assert re.fullmatch(r"[\w-]{1,40}", DASHBOARD["uid"])


def test_panels_lie_on_the_grid_and_on_nothing_else():
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)
    overlapping = [
        (a, b)
        for a, b in combinations(places, 2)
        if a["x"] < b["x"] + b["w"]
        and b["x"] < a["x"] + a["w"]
        and a["y"] < b["y"] + b["h"]
        and b["y"] < a["y"] + a["h"]
    ]
    assert overlapping == []


@pytest.mark.parametrize("panel", SHOWN, ids=titles)
def test_a_panel_has_what_grafana_and_people_need(panel):
    assert panel["type"] in KINDS
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["description"].endswith(".")
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references) > 0
    assert all(target["legendFormat"] for target in panel["targets"]) or panel["type"] == "table"


@pytest.mark.parametrize("panel", list(panels(DASHBOARD)), ids=lambda panel: panel.title)
def test_a_query_keeps_to_what_is_chosen(panel):
    for query in panel.queries:
        selected = re.findall(r"\{([^{}]*)\}", query.expr)
        assert selected
        assert all('namespace=~"$namespace",pod=~"$pod"' in matchers for matchers in selected)


def test_variables_are_declared_and_runbook_lines_lead_to_alerts():
    declared = {variable["name"] for variable in DASHBOARD["templating"]["list"]} | {"__rate_interval"}
    used = set(re.findall(r"\$\{?(\w+)", str(DASHBOARD))) - {"__all"}
    assert used <= declared
    named = set(re.findall(r"Modelport[A-Z]\w+", str(DASHBOARD)))
    assert named
    assert named <= {rule["alert"] for rule in rules() if "alert" in rule}
