"""Faults of artefacts: a damaged one, and intact ones that give wrong answers."""

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from modelport.measure.generator.requests import counts
from modelport.measure.torture.outcome import HONEST, Outcome, judge
from modelport.measure.torture.served import RECOVER_S, Served, TortureError, copy_repository, wait_for
from modelport.measure.traffic import begin, requests

MODEL = "yolov3_tiny"
SERVICES = ("detector",)
REASON = "golden sample's answer is wrong"


def truncated(folder: Path) -> Outcome:
    """Half of an artefact: the stack does not start, and one line says why."""
    repository = copy_repository(folder)
    artefact = next((repository / MODEL).glob("[0-9]*/model.onnx"))
    artefact.write_bytes(artefact.read_bytes()[: artefact.stat().st_size // 2])
    with Served(folder / "truncated.log", repository, SERVICES) as served:
        began = time.monotonic()
        try:
            served.wait_until_ready()
        except TortureError:
            pass
        else:
            return Outcome("", Counter(), broken=("the stack started",))
        errors = [line for line in served.log().splitlines() if line.startswith("error: ")]
    broken = () if len(errors) == 1 and MODEL in errors[0] else (f"the log has the errors {errors}",)
    return Outcome("", Counter(), noticed_s=time.monotonic() - began, note="refused to start", broken=broken)


def wrong(folder: Path) -> Outcome:
    """An artefact that does not give the golden answer: never ready, and no caller gets an answer from it."""
    repository = copy_repository(folder)
    answer = repository / MODEL / "golden" / "answer.json"
    document = json.loads(answer.read_text())
    document["outputs"]["scores"]["values"] = [1 - value for value in document["outputs"]["scores"]["values"]]
    answer.write_text(json.dumps(document))
    with Served(folder / "wrong.log", repository, SERVICES) as served:
        noticed_s = wait_for(lambda: REASON in json.dumps(served.get("/v2/health/ready")[1]), RECOVER_S)
        running = begin(served.url, ("detector V2",))
        time.sleep(4)
        records = running.stop()
        ready = served.get("/v2/health/ready")[0]
        served.memory.reset()
        time.sleep(1.5)
        promises = {
            "the failed golden check was not reported": noticed_s is not None,
            "ready in spite of a wrong answer": ready == 503,
            "not every caller got 503": counts(records).keys() == {"503"},
        }
        outcome = dataclasses.replace(
            judge(records), noticed_s=noticed_s, broken=tuple(what for what, holds in promises.items() if not holds)
        )
        return served.memory.add_to(outcome)


def swapped(folder: Path) -> Outcome:
    """A running model's artefact is replaced and its processes are killed: no answer comes from the other network."""
    repository = copy_repository(folder)
    artefact = next((repository / MODEL).glob("[0-9]*/model.onnx"))
    original = artefact.read_bytes()
    with Served(folder / "swapped.log", repository, SERVICES) as served:
        served.wait_until_ready()
        right = _answer(served)
        seen: Counter[str] = Counter()
        wrong = 0

        def send_until(condition: Callable[[], bool], seconds: float) -> float | None:
            nonlocal wrong
            began = time.monotonic()
            while time.monotonic() - began < seconds:
                status, document = _answer(served)
                seen[str(status)] += 1
                wrong += status == 200 and document != right[1]
                if condition():
                    return time.monotonic() - began
            return None

        artefact.write_bytes(_another(original))
        for process in served.stubs(MODEL):
            process.kill()
        noticed_s = send_until(lambda: REASON in json.dumps(served.get("/v2/health/ready")[1]), RECOVER_S)
        artefact.write_bytes(original)
        recovered_s = send_until(served.all_ready, 2 * RECOVER_S)
        send_until(lambda: False, 2)
        broken = {
            "the other network was not noticed": noticed_s is None,
            "not ready again with the right one": recovered_s is None,
            f"{wrong} answers were wrong": wrong > 0,
            f"callers saw {dict(seen)}": bool(seen.keys() - HONEST),
            "no request succeeded": not seen["200"],
        }
        count = sum(seen.values())
        outcome = Outcome(
            "", seen, noticed_s, recovered_s, count, count, broken=tuple(what for what, so in broken.items() if so)
        )
        return served.memory.add_to(outcome)


def _answer(served: Served) -> tuple[int | None, Any]:
    request = requests()["detector V1"]
    return served.post(request.path, request.body, request.headers)


def _another(artefact: bytes) -> bytes:
    """A network of the same structure with other weights."""
    network = onnx.load_from_string(artefact)
    largest = max(network.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights = np.frombuffer(largest.raw_data, np.float32)
    largest.raw_data = np.roll(weights, 1).tobytes()
    return bytes(network.SerializeToString())
