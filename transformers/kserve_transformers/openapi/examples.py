"""Small instances to try each service with, and what the models answered to them."""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

from kserve_transformers.openapi.schemas import Service, window_length
from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.routes.seeds import REPEATS_ID

FOLDER = Path(__file__).parent / "examples"
ANSWERS = FOLDER / "answers.json"


def picture(service: Service) -> bytes:
    """A picture that means something to the service."""
    return (FOLDER / ("digit.png" if service.name == "digits" else "picture.webp")).read_bytes()


def instance(service: Service) -> Any:
    """An instance as it stands in JSON; None where the service's model takes windows of another length."""
    if service.kind is InstanceKind.IMAGE:
        return base64.b64encode(picture(service)).decode()
    window = json.loads((FOLDER / "window.json").read_text())
    return window if window_length(service) in (None, len(window)) else None


def own_request(service: Service) -> dict[str, Any]:
    """For the service's own route."""
    if service.kind is InstanceKind.WINDOW:
        return {"data": [instance(service)]}
    return {**({"id": "1"} if service.name in REPEATS_ID else {}), "image": instance(service)}


def v1_request(service: Service) -> dict[str, Any]:
    """For V1."""
    one = instance(service)
    return {"instances": [one if service.kind is InstanceKind.WINDOW else {"image": {"b64": one}}]}


def v2_request(service: Service) -> dict[str, Any]:
    """For V2."""
    (declared,) = service.get_input_types()
    one = instance(service)
    shape = [1, len(one)] if service.kind is InstanceKind.WINDOW else [1]
    data = one if service.kind is InstanceKind.WINDOW else [one]
    return {"inputs": [{"name": declared["name"], "datatype": declared["datatype"], "shape": shape, "data": data}]}


@cache
def answers() -> dict[str, Any]:
    """What was answered to the requests above, by operation: recorded by tests/integration/test_document.py."""
    recorded: dict[str, Any] = json.loads(ANSWERS.read_text())
    return recorded
