"""Examples in the API document: the sample request of each service's task, and the recorded answer to it."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kserve_transformers.openapi.schemas import window_length
from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.service import Service
from kserve_transformers.service_spec import ServiceSpec

ANSWERS = Path(__file__).parent / "answers.json"


def instance(service: Service) -> Any:
    """The task's example; None where the service's model takes windows of another length."""
    example = service.task.example_instance()
    fits = service.task.kind is InstanceKind.IMAGE or window_length(service) in (None, len(example))
    return example if fits else None


def recorded_answer(service: Service, protocol: str) -> Any:
    """What a service of this task answered by a protocol ("own", "v1" or "v2"); None where nothing is recorded."""
    if instance(service) is None:
        return None
    answer = answers().get(answer_key(service.spec, protocol))
    return answer | {"model_name": service.name} if answer and protocol == "v2" else answer


def answer_key(spec: ServiceSpec, protocol: str) -> str:
    """Where an answer stands among those that are recorded."""
    return f"{spec.presentation or spec.task}_{protocol}"


@cache
def answers() -> Mapping[str, Any]:
    """What was answered to the tasks' examples: recorded by tests/integration/test_document.py."""
    recorded: Mapping[str, Any] = json.loads(ANSWERS.read_text())
    return recorded
