"""The Prometheus queries of the dashboard and the alerts, read from their manifests, and taken apart."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelport.measure.prometheus.prometheus import COMPONENTS, rule_groups

DASHBOARD = COMPONENTS / "dashboard" / "dashboard.json"

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
        expr: PromQL with Grafana's variables.
        legend: the name of its series, where `{{label}}` stands for a label's value.
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
        row: title of the row that it belongs to.
    """

    title: str
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
        yield Panel(panel["title"], row, queries)


def dashboard() -> dict[str, Any]:
    """The dashboard's JSON document."""
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return document


def rules() -> Iterator[dict[str, Any]]:
    """All rules, in the manifest's order."""
    for group in rule_groups()["groups"]:
        yield from group["rules"]


def filled_in(expr: str, rate_interval: str, **variables: str) -> str:
    """A panel's query as Grafana sends it.

    Args:
        expr: with variables.
        rate_interval: the value of $__rate_interval.
        variables: regular expressions by name; a variable that is not given is "All".
    """
    expr = expr.replace("$__rate_interval", rate_interval)
    return re.sub(r"\$(\w+)", lambda match: variables.get(match[1], ".*"), expr)


def selectors(expr: str) -> list[str]:
    """The selectors of an expression: metric names with their matchers.

    Strings and label lists are blanked first, so that every name left is a metric's or, before "(", a function's.
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
    """An alert's expression with a result whether it fires or not: 1 or 0 for each compared series.

    A comparison drops series for which it is false, with `bool` it drops none; `absent` becomes `count`.
    """
    spans = [match.span() for match in re.finditer(r'\{[^{}]*\}|"[^"]*"', expr)]

    def compare(match: re.Match[str]) -> str:
        return match[0] if any(a <= match.start() < b for a, b in spans) else f"{match[0]} bool"

    return re.sub(r"\babsent\s*\(", "count(", _COMPARISON.sub(compare, expr))
