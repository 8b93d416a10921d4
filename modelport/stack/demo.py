"""`modelport demo`: send sample instances to a running stack, print the answers, draw detections into build/demo/."""

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kserve_transformers.client.drawing import draw_detections
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.tasks import build_task
from kserve_transformers.tasks.samples import SampleRequest, sample_request
from modelport.arguments import server_url
from modelport.environment import ROOT
from modelport.samples import PHOTOS, read_instance, sample_file
from modelport.services import choose


def ask(url: str, body: bytes | None = None) -> Any:
    """GET, or POST where there is a body; JSON both ways."""
    request = urllib.request.Request(url, body, {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        return json.load(response)


def sample_requests(specs: Iterable[ServiceSpec]) -> Iterator[tuple[ServiceSpec, Path, SampleRequest]]:
    """What the demo sends: all photos to tasks that take any, else the golden input, by the legacy routes."""
    for spec in specs:
        task = build_task(spec)
        files = sorted(PHOTOS.glob("*.jpg")) if task.takes_photos else [sample_file(spec)]
        for file in files:
            yield spec, file, sample_request(task, "own", read_instance(spec, file))


def main() -> int:
    """Send, print, draw."""
    parser = argparse.ArgumentParser(prog="modelport demo", description=__doc__)
    parser.add_argument("--url", type=server_url, default="http://127.0.0.1:8080")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "demo")
    options = parser.parse_args()
    try:
        services = ask(f"{options.url}/v1/models")["models"]
    except (urllib.error.HTTPError, ValueError, LookupError, TypeError):
        print(f"{options.url} is not a Modelport server, or requires an API key: --url names another", file=sys.stderr)
        return 1
    except OSError:
        print(
            f"nothing answers at {options.url}: start the stack with `make serve` in another terminal", file=sys.stderr
        )
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    annotated = False
    hosted = [spec for spec in choose() if spec.name in services]
    for spec, file, request in sample_requests(hosted):
        try:
            answer = ask(options.url + request.path, request.body)
        except urllib.error.HTTPError as error:
            print(f"{spec.name:<11}{file.name}: {error.code} {error.read().decode()}", file=sys.stderr)
            return 1
        print(f"{spec.name:<11}{file.name:<22}{json.dumps(answer)}")
        if "detections" in answer:
            image = np.asarray(cv2.imread(str(file)), np.uint8)
            folder = options.out / spec.name
            folder.mkdir(exist_ok=True)
            cv2.imwrite(str(folder / file.name), draw_detections(image, answer["detections"]))
            annotated = True
    if annotated:
        print(f"annotated images: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
