"""`make demo`: the sample photos through a running stack; answers are printed, detections drawn into build/demo/."""

from __future__ import annotations

import argparse
import base64
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kserve_transformers.client.drawing import draw_detections
from modelport.environment import ROOT

PICTURES = ROOT / "tests" / "data" / "pictures"


def ask(url: str, body: Mapping[str, Any] | None = None) -> Any:
    """GET, or POST where there is a body; JSON both ways."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        return json.load(response)


def sample_requests(services: list[str]) -> list[tuple[str, str, str, Mapping[str, Any]]]:
    """What the demo asks: sample's name, service, route, body."""
    photos = sorted(PICTURES.glob("*.jpg"))
    golden = ROOT / "model_repository"
    requests: list[tuple[str, str, str, Mapping[str, Any]]] = [
        (photo.name, "detector", "/detector/api/", {"id": photo.name, "image": _base64(photo)}) for photo in photos
    ]
    requests += [(photo.name, "classifier", "/classifier/classify", {"image": _base64(photo)}) for photo in photos]
    requests += [(photo.name, "cars", "/cars/predict", {"image": _base64(photo)}) for photo in photos[:1]]
    for digit in sorted(golden.glob("mnist/golden/*.png")):
        requests.append((f"mnist/{digit.name}", "digits", "/digits/predict", {"image": _base64(digit)}))
    for window in sorted(golden.glob("anomaly/golden/windows.json")):
        series = json.loads(window.read_text())
        requests.append((f"anomaly/{window.name}", "anomaly", "/anomaly/predict", {"data": [series]}))
    return [request for request in requests if request[1] in services]


def main() -> int:
    """Ask, print, draw."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "demo")
    options = parser.parse_args()
    try:
        services = ask(f"{options.url}/v1/models")["models"]
    except (urllib.error.URLError, OSError):
        print(
            f"nothing answers at {options.url}: start the stack with `make serve` in another terminal", file=sys.stderr
        )
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    for name, service, route, body in sample_requests(services):
        try:
            answer = ask(options.url + route, body)
        except urllib.error.HTTPError as error:
            print(f"{service:<11}{name}: {error.code} {error.read().decode()}", file=sys.stderr)
            return 1
        print(f"{service:<11}{name:<22}{json.dumps(answer)}")
        if service == "detector":
            picture = np.asarray(cv2.imread(str(PICTURES / name)), np.uint8)
            cv2.imwrite(str(options.out / name), draw_detections(picture, answer["detections"]))
    if "detector" in services:
        print(f"annotated pictures: {options.out}")
    return 0


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


if __name__ == "__main__":
    sys.exit(main())
