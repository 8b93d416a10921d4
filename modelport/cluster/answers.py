"""Every route and protocol of a service: what is sent, and whether the answers are right.

The sample is the golden one of the model that should answer: the first trained model of the chain. Its golden answer
names the best label; where no model of the chain is trained, answers must say so and agree with one another.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from exporters.config import read_config
from kserve_transformers.judging.answers import read_answer
from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.tasks import build_task
from kserve_transformers.tasks.samples import AnyTask, raw_image, sample_request, v2_binary, v2_tensor
from modelport.measure.generator.requests import INFER_METHOD
from modelport.samples import REPOSITORY, read_instance

GRPC = "gRPC"
SCORE_TOLERANCE = 0.1  # the golden answer is the network's own; a service's comes after decoding and resizing
AGREEMENT = 2e-3  # between protocols: V1 rounds to four digits, a legacy route to a tenth of a per cent
_NUMPY = {"INT32": np.int32, "FP32": np.float32, "BOOL": np.bool_}


@dataclass(frozen=True)
class Best:
    """The best result of an answer: a label with a score, or of a window the verdict with its error."""

    label: str
    score: float


@dataclass(frozen=True)
class Sample:
    """What is sent to a service, by protocol, and what must come back."""

    model: str  # that must answer
    expected: Best | None  # None where no model of the chain is trained
    # by the protocol's name, in the form of `caller.send`, with a path instead of a URL
    requests: Mapping[str, Mapping[str, Any]]


def sample_of(spec: ServiceSpec, repository: Path = REPOSITORY) -> Sample:
    """The golden sample of a service, in every protocol's form."""
    trained = [model for model in spec.models if _parameters(repository / model).get("weights") == "trained"]
    model = (trained or spec.models)[0]
    golden = repository / model / "golden"
    file = next(path for path in sorted(golden.iterdir()) if path.name != "answer.json")
    task = build_task(spec)
    instance = read_instance(spec, file)
    if task.kind is InstanceKind.WINDOW and isinstance(instance[0], list):
        instance = instance[0]
    return Sample(model, _expected(repository / model) if trained else None, _requests(task, instance))


def judge(answer: Mapping[str, Any], protocol: str) -> Best:
    """The best result of an answer of `caller.send`.

    Raises:
        ValueError: the service did not answer, or not in the protocol's form.
    """
    body = base64.b64decode(answer["body"])
    if answer["status"] != "200":
        raise ValueError(f"{answer['status']} {answer.get('error') or body.decode(errors='replace')[:200]}")
    try:
        if protocol == GRPC:
            return _of_grpc(service_pb2.ModelInferResponse.FromString(body))
        document = json.loads(body)
        return _of_v2(document) if "outputs" in document else _of_prediction(document)
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"the answer has no {error}: {body[:200]!r}") from error


def agreement(found: Mapping[str, Best], expected: Best | None) -> str:
    """What is wrong with the answers of all protocols to one sample; empty where nothing is."""
    first = next(iter(found.values()))
    for protocol, best in found.items():
        if best.label != first.label or abs(best.score - first.score) > AGREEMENT:
            return f"{protocol} answers {best.label} {best.score:.4f}, not {first.label} {first.score:.4f} as the first"
    if expected and first.label != expected.label:
        return f"answers {first.label} {first.score:.4f}, expected {expected.label}"
    if expected and abs(first.score - expected.score) > SCORE_TOLERANCE * max(1.0, abs(expected.score)):
        return f"answers {first.label} {first.score:.4f}, expected {expected.score:.4f}"
    return ""


def _requests(task: AnyTask, instance: Any) -> dict[str, dict[str, Any]]:
    made = {
        "legacy route": sample_request(task, "own", instance),
        "V1": sample_request(task, "v1", instance),
        "V2": sample_request(task, "v2", instance),
        "V2 binary": v2_binary(task, instance),
    }
    if task.kind is InstanceKind.IMAGE:
        made["V1 image body"] = raw_image(task, instance)
    requests = {
        protocol: {"method": "POST", "path": one.path, "headers": dict(one.headers), "body": _text(one.body)}
        for protocol, one in made.items()
    }
    tensor, data = v2_tensor(task, instance)
    message = service_pb2.ModelInferRequest(model_name=task.name, raw_input_contents=[data])
    message.inputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
    requests[GRPC] = {"grpc": INFER_METHOD, "path": "", "body": _text(message.SerializeToString())}
    return requests


def _text(body: bytes) -> str:
    return base64.b64encode(body).decode()


def _parameters(model_dir: Path) -> dict[str, str]:
    return {key: value.string_value for key, value in read_config(model_dir / "config.pbtxt").parameters.items()}


def _expected(model_dir: Path) -> Best:
    outputs = json.loads((model_dir / "golden" / "answer.json").read_text())["outputs"]
    values = {name.partition("__")[0]: np.array(one["values"], np.float64).reshape(-1) for name, one in outputs.items()}
    if "mae" in values:
        error = float(values["mae"][0])
        return Best(str(error > float(_parameters(model_dir)["threshold"])), error)
    scores = values["scores"] if "scores" in values else values["probabilities"]
    place = int(scores.argmax())
    label = int(values["classes"][place]) if "classes" in values else place
    names = (model_dir / "labels.txt").read_text().splitlines()
    return Best(names[label], float(scores[place]))


def _of_v2(document: Mapping[str, Any]) -> Best:
    return _of_tensors({one["name"]: (one["datatype"], one["shape"], one["data"]) for one in document["outputs"]})


def _of_grpc(response: Any) -> Best:
    tensors: dict[str, tuple[str, list[int], Any]] = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        data: Any = _split(raw) if output.datatype == "BYTES" else np.frombuffer(raw, _NUMPY[output.datatype])
        tensors[output.name] = (output.datatype, list(output.shape), data)
    return _of_tensors(tensors)


def _of_tensors(tensors: Mapping[str, tuple[str, list[int], Any]]) -> Best:
    arrays: dict[str, Any] = {}
    for name, (datatype, shape, data) in tensors.items():
        flat = np.asarray(data).reshape(-1)
        if datatype == "BYTES":
            flat = np.array([one if isinstance(one, bytes) else str(one).encode() for one in flat.tolist()], object)
        arrays[name] = flat.astype(_NUMPY.get(datatype, object)).reshape(shape)
    if "anomaly" in arrays:
        return Best(str(bool(arrays["anomaly"][0])), float(arrays["mae"][0]))
    answer = read_answer(arrays)
    return Best(answer.labels[0], float(answer.scores[0]))


def _split(raw: bytes) -> list[bytes]:
    found, place = [], 0
    while place < len(raw):
        length = int.from_bytes(raw[place : place + 4], "little")
        found.append(raw[place + 4 : place + 4 + length])
        place += 4 + length
    return found


def _of_prediction(document: Mapping[str, Any]) -> Best:
    """V1's and the legacy routes' JSON."""
    if "predictions" in document and "model" not in document and "top_prediction" not in document:
        document = document["predictions"][0]
    if "detections" in document:
        best = document["detections"][0]
        return Best(best["label"], best["confidence"])
    if "top_prediction" in document:
        best = document["top_prediction"]
        return Best(best["class"], best["confidence"] / 100)
    if "predicted_digit" in document:
        return Best(str(document["predicted_digit"]), document["confidence"])
    if "anomaly" in document:
        return Best(str(document["anomaly"]), document["mae"])
    best = document["predictions"][0]
    return Best(best["label"], best["score"])
