"""What the dashboard and the alerts ask Prometheus, read from their manifests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from modelport.environment import ROOT

COMPONENTS = ROOT / "manifests" / "components"
DASHBOARD = COMPONENTS / "dashboard" / "dashboard.json"
RULES = COMPONENTS / "alerts" / "rules.yaml"

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_CLAUSE = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_BRACES = re.compile(r"\{[^{}]*\}")
_NAME = re.compile(r"(?<![\w:.])[a-zA-Z_:][\w:]*")
_WORDS = {"and", "or", "unless", "bool", "offset"}
_COMPARISON = re.compile(r"(==|!=|<=|>=|<|>)(?!\s*bool\b)")


@dataclass(frozen=True)
class Query:
    """One query of a panel.

    Attributes:
        expr: with Grafana's variables in it.
        legend: how its series are named, `{{label}}` stands for a label's value.
    """

    expr: str
    legend: str

    @property
    def labels(self) -> list[str]:
        """The labels that the legend names."""
        return re.findall(r"\{\{\s*(\w+)\s*\}\}", self.legend)


@dataclass(frozen=True)
class Panel:
    """One panel of the dashboard.

    Attributes:
        kind: Grafana's type.
        unit: Grafana's name of the unit.
        row: title of the group that it belongs to.
    """

    title: str
    kind: str
    unit: str
    row: str
    queries: tuple[Query, ...]


def panels(dashboard: Mapping[str, Any]) -> Iterator[Panel]:
    """All panels of a dashboard, without its rows."""
    row = ""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
            continue
        queries = tuple(Query(target["expr"], target.get("legendFormat", "")) for target in panel["targets"])
        yield Panel(panel["title"], panel["type"], panel["fieldConfig"]["defaults"].get("unit", ""), row, queries)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return document


def rule_groups() -> dict[str, Any]:
    """The rules as Prometheus reads them, out of the PrometheusRule."""
    return {"groups": yaml.safe_load(RULES.read_text())["spec"]["groups"]}


def rules() -> Iterator[dict[str, Any]]:
    """All rules, recording ones first as they stand there."""
    for group in rule_groups()["groups"]:
        yield from group["rules"]


def filled_in(expr: str, rate_interval: str, **variables: str) -> str:
    """A panel's query as Grafana sends it: a variable that is not given is "All".

    Args:
        expr: with variables.
        rate_interval: what $__rate_interval stands for.
        variables: regular expressions by name.
    """
    expr = expr.replace("$__rate_interval", rate_interval)
    return re.sub(r"\$(\w+)", lambda match: variables.get(match[1], ".*"), expr)


def selectors(expr: str) -> list[str]:
    """Every series that an expression reads: metric names with their matchers.

    Strings and label lists are blanked first, so that a name that is left is a metric's or, before "(", a function's.
    """
    masked = _STRING.sub(lambda match: '"' + "_" * (len(match[0]) - 2) + '"', expr)
    masked = _CLAUSE.sub(lambda match: " " * len(match[0]), masked)
    names = _BRACES.sub(lambda match: " " * len(match[0]), masked)
    names = re.sub(r"\[[^\]]*\]|\b\d[\w.]*", lambda match: " " * len(match[0]), names)
    found = []
    for match in _NAME.finditer(names):
        if match[0] in _WORDS or re.match(r"\s*\(|\s+(?:by|without)\b", names[match.end() :]):
            continue
        braces = _BRACES.match(masked, match.end())
        found.append(expr[match.start() : braces.end() if braces else match.end()])
    return found


def unfiltered(expr: str) -> str:
    """An alert's expression that answers with or without the alert: 1 or 0 for each series that is compared.

    A comparison drops what it is not true for; with `bool` it drops nothing, and `absent` is asked as presence.
    """
    spans = [match.span() for match in re.finditer(r'\{[^{}]*\}|"[^"]*"', expr)]

    def compare(match: re.Match[str]) -> str:
        return match[0] if any(a <= match.start() < b for a, b in spans) else f"{match[0]} bool"

    return re.sub(r"\babsent\s*\(", "count(", _COMPARISON.sub(compare, expr))
