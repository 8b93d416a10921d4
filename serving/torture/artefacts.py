"""Faults in what is served: a damaged artefact, and one that is whole and gives wrong answers."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

from torture.load import Load, RunningLoad
from torture.outcome import NO_ANSWER, Outcome
from torture.served import Served, TortureError, copy_repository, wait_for
from torture.traffic import counts

MODEL = "yolov3_tiny"
SERVICES = ("detector",)
REASON = "golden sample's answer is wrong"
READY_LOOK_S = 60.0


def truncated(folder: Path) -> Outcome:
    """Half an artefact: the stack does not start, and says why in one line."""
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
    broken = () if len(errors) == 1 and MODEL in errors[0] else (f"the start said {errors}",)
    return Outcome("", Counter(), noticed_s=time.monotonic() - began, note="refused to start", broken=broken)


def wrong(folder: Path) -> Outcome:
    """An artefact that does not give the golden answer: never ready, and no caller gets an answer of it."""
    repository = copy_repository(folder)
    answer = repository / MODEL / "golden" / "answer.json"
    document = json.loads(answer.read_text())
    document["outputs"]["scores"]["values"] = [1 - value for value in document["outputs"]["scores"]["values"]]
    answer.write_text(json.dumps(document))
    with Served(folder / "wrong.log", repository, SERVICES) as served:
        noticed_s = wait_for(lambda: REASON in json.dumps(served.get("/v2/health/ready")[1]), READY_LOOK_S)
        running = RunningLoad(served.url, Load(kinds=("detector V2",)))
        time.sleep(4)
        records = running.stop()
        ready = served.get("/v2/health/ready")[0]
        served.memory.begin_anew()
        time.sleep(1.5)
        outcome = Outcome(
            fault="",
            seen=counts(records),
            noticed_s=noticed_s,
            sent=len(records),
            answered=sum(record.outcome not in NO_ANSWER for record in records),
            lost=sum(record.outcome in NO_ANSWER for record in records),
            broken=tuple(
                promise
                for promise, holds in {
                    "the golden sample's verdict was not told": noticed_s is not None,
                    "ready in spite of a wrong answer": ready == 503,
                    "callers did not all get 503": {record.outcome for record in records} == {"503"},
                }.items()
                if not holds
            ),
        )
        return served.memory.put_into(outcome)
