"""Sample instances of the declared services: files that can be sent to them."""

import json
from pathlib import Path
from typing import Any

from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.tasks import TASKS
from modelport.environment import ROOT

PHOTOS = ROOT / "tests" / "data" / "images"
PHOTO = PHOTOS / "coffee.jpg"
REPOSITORY = ROOT / "model_repository"


def sample_file(spec: ServiceSpec) -> Path:
    """A photo where the service's task takes any, else the golden input of the first model of its chain."""
    if TASKS[spec.task].takes_photos:
        return PHOTO
    golden = REPOSITORY / spec.models[0] / "golden"
    return next(file for file in sorted(golden.iterdir()) if file.name != "answer.json")


def read_instance(spec: ServiceSpec, file: Path) -> Any:
    """A file's content as an instance: an image's bytes, or a window's numbers."""
    data = file.read_bytes()
    return data if TASKS[spec.task].kind is InstanceKind.IMAGE else json.loads(data)
