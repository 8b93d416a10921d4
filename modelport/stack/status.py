"""`modelport status`: what runs, since when, what is ready and why not, which release serves, and how many requests."""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from exporters.table import table
from modelport.environment import say
from modelport.stack.running import Running, newer, running
from modelport.stack.server import LOOPBACK, READY_PATH

NONE_RUNS = 3
TIMEOUT_S = 5.0
# Outcomes that are no failure of the service: a caller's own mistakes, and callers that went away.
_FAILED = {"500", "502", "503", "504", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the state of the stacks of this checkout.

    Returns:
        0: all that runs is ready; 1: something is not; 3: nothing runs.
    """
    parser = argparse.ArgumentParser(prog="modelport status", description=__doc__)
    parser.add_argument("--port", type=int, help="of one stack (default: all of this checkout)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    found = [state(stack) for stack in running(options.port)]
    if options.json:
        say(json.dumps(found, indent=1))
    elif not found:
        say("no stack of this checkout runs" + (f" on port {options.port}" if options.port else "") + ": `make serve`")
    for one in () if options.json else found:
        say("\n".join(lines(one)))
    return NONE_RUNS if not found else int(not all(one["ready"] for one in found))


def state(stack: Running) -> dict[str, Any]:
    """The state of a stack: its servers' readiness reports, and their requests since they started."""
    services: list[dict[str, Any]] = []
    for name, port in stack.transformers.items():
        services += _services(name if stack.overlay else "", f"http://{LOOPBACK}:{port}")
    return {
        "url": f"http://{LOOPBACK}:{stack.port}",
        "pid": stack.pid,
        "started": datetime.fromtimestamp(stack.started).astimezone().isoformat(timespec="seconds"),
        "seconds": int(time.time() - stack.started),
        "overlay": stack.overlay or None,
        "ready": bool(services) and all(service["ready"] for service in services),
        "services": services,
        "newer": stack.newer(),
    }


def lines(state: dict[str, Any]) -> Iterator[str]:
    """The state as text."""
    overlay = f", overlay {state['overlay']}" if state["overlay"] else ""
    yield f"{state['url']} since {state['started']} (process {state['pid']}{overlay})"
    rows = [("service", "model", "release", "requests", "failed", "state")]
    for service in state["services"]:
        name = service["name"] + (f" ({service['server']})" if service["server"] else "")
        counts = str(service["requests"]), str(service["failed"])
        for model in service["models"] or [{"name": "", "ready": False, "reason": service["reason"]}]:
            told = "ready" if model["ready"] else f"not ready: {model.get('reason')}"
            told += f" ({model['precision']})" if model.get("precision") else ""
            rows.append((name, model["name"], model.get("release") or "", *counts, told))
            name, counts = "", ("", "")
    yield table(rows)
    for model in state["newer"]:
        yield newer(model)


def _services(server: str, url: str) -> Iterator[dict[str, Any]]:
    with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
        try:
            report = client.get(READY_PATH).json()["services"]
            metrics = client.get("/metrics").text
        except (httpx.HTTPError, ValueError, KeyError) as error:
            reason = f"does not answer ({type(error).__name__})"
            yield {"name": server or url, "server": "", "ready": False, "reason": reason, "models": []} | _NO_REQUESTS
            return
    all_requests, failed = _requests(metrics)
    for name, service in report.items():
        models = [{"name": model, **told} for model, told in service["models"].items()]
        counted = {"requests": all_requests[name], "failed": failed[name]}
        yield {"name": name, "server": server, **service, "models": models, **counted}


_NO_REQUESTS = {"requests": 0, "failed": 0}


def _requests(metrics: str) -> tuple[Counter[str], Counter[str]]:
    """Requests by service, and those of them that failed through no fault of the caller."""
    counted: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "modelport_requests_total":
                counted[sample.labels["service"]] += int(sample.value)
                failed[sample.labels["service"]] += int(sample.value) * (sample.labels["outcome"] in _FAILED)
    return counted, failed


if __name__ == "__main__":
    sys.exit(main())
