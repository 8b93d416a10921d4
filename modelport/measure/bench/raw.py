"""A model in its framework in this process, with its threads in Triton; alone, or within our service's functions.

Usage: python -m modelport.measure.bench.raw MODEL BATCH|CASE CONFIG

where CONFIG is config.pbtxt as JSON, since Triton's protobuf classes cannot be imported beside KServe's. Loads the
model, prints "ready", reads a line with the seconds to run, runs, and prints a report in JSON.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import tensorflow_runtime
from kserve_transformers.predictor.declaration import Declaration, TensorSpec
from kserve_transformers.predictor.golden import GoldenSample
from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.settings import Limits
from kserve_transformers.tasks import build_task
from kserve_transformers.tasks.task import Answered
from modelport.measure.bench.cases import CASES, instance
from modelport.measure.metering import Meter, pace_ms
from modelport.samples import REPOSITORY
from modelport.services import choose

Run = Callable[[npt.NDArray[Any]], Mapping[str, npt.NDArray[Any]]]
Config = Mapping[str, Any]
WARM_RUNS = 5


def load(model_dir: Path, config: Config) -> Run:
    """Load the newest version in its framework, with the numbers of threads in config.pbtxt."""
    version = max((path for path in model_dir.glob("[0-9]*")), key=lambda path: int(path.name))
    return _LOADERS[config["platform"]](version, config)


def _onnx(version: Path, config: Config) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads(config, "intra_op_thread_count")
    options.inter_op_num_threads = _threads(config, "inter_op_thread_count")
    session = onnxruntime.InferenceSession(version / "model.onnx", options, providers=["CPUExecutionProvider"])
    names = _names(config, "output")
    (taken,) = _names(config, "input")
    return lambda batch: dict(zip(names, session.run(names, {taken: batch}), strict=True))


def _torch(version: Path, config: Config) -> Run:
    import torch

    from exporters.torchscript import load_artefact

    torch.set_num_threads(_threads(config, "INTRA_OP_THREAD_COUNT"))
    torch.set_num_interop_threads(_threads(config, "INTER_OP_THREAD_COUNT"))
    torch.jit.enable_onednn_fusion(True)
    module = load_artefact(version / "model.pt")
    (name,) = _names(config, "output")

    def run(batch: npt.NDArray[Any]) -> Mapping[str, npt.NDArray[Any]]:
        with torch.inference_mode():  # row by row, which is faster than a batch
            return {name: np.concatenate([module(row).numpy() for row in torch.from_numpy(batch).split(1)])}

    return run


def _tensorflow(version: Path, config: Config) -> Run:
    tensorflow = tensorflow_runtime.start()
    from tensorflow.compat import v1

    tensorflow.get_logger().setLevel("ERROR")
    inter = _threads(config, "TF_NUM_INTER_THREADS")
    options = v1.ConfigProto(
        intra_op_parallelism_threads=_threads(config, "TF_NUM_INTRA_THREADS"),
        inter_op_parallelism_threads=-1 if inter == 1 else inter,
    )
    graph = tensorflow.Graph()
    session = v1.Session(graph=graph, config=options)
    with graph.as_default():
        loaded = v1.saved_model.load(session, ["serve"], str(version / "model.savedmodel"))
    signature = loaded.signature_def["serving_default"]
    names = _names(config, "output")
    feed = [signature.inputs[name].name for name in _names(config, "input")]
    call = session.make_callable([signature.outputs[name].name for name in names], feed_list=feed)
    return lambda batch: dict(zip(names, call(batch), strict=True))


_LOADERS: Mapping[str, Callable[[Path, Config], Run]] = {
    "onnxruntime_onnx": _onnx,
    "pytorch_libtorch": _torch,
    "tensorflow_savedmodel": _tensorflow,
}


def _threads(config: Config, key: str) -> int:
    return int(config["parameters"][key]["string_value"])


def _names(config: Config, kind: str) -> list[str]:
    return [tensor["name"] for tensor in config[kind]]


def declaration(model_dir: Path, config: Config) -> Declaration:
    """The declaration that the transformer reads from Triton, made from the model's files."""
    inputs, outputs = (
        {
            t["name"]: TensorSpec(t["name"], t["data_type"].removeprefix("TYPE_"), tuple(map(int, t["dims"])))
            for t in config[kind]
        }
        for kind in ("input", "output")
    )
    labels = model_dir / "labels.txt"
    return Declaration(
        name=config["name"],
        version="1",
        inputs=inputs,
        outputs=outputs,
        max_batch_size=config["max_batch_size"],
        parameters={key: value["string_value"] for key, value in config["parameters"].items()},
        labels=tuple(labels.read_text().splitlines()) if labels.exists() else (),
    )


def alone(model: str, batch: int, config: Config) -> Callable[[], None]:
    """A function that runs the model once over a batch of its golden sample."""
    folder = REPOSITORY / model
    sample = GoldenSample.load(folder, declaration(folder, config).input, "1")
    run, rows = load(folder, config), np.ascontiguousarray(np.repeat(sample.batch, batch, axis=0))
    return lambda: void(run(rows))


def with_service(name: str, config: Config) -> Callable[[], None]:
    """A function that runs the service's own functions once, from bytes to the JSON answer, without HTTP and Triton."""
    case = CASES[name]
    known = declaration(REPOSITORY / case.model, config)
    (spec,) = choose(case.service)
    task = build_task(spec)
    data: Any = instance(case.service)
    run = load(REPOSITORY / case.model, config)

    def once() -> None:
        taken = np.array(json.loads(data), np.float32) if task.kind is InstanceKind.WINDOW else data
        prepared = task.prepare(task.decode(taken, [known], Limits.pixels), known)
        outputs = run(np.stack([prepared.row]))  # row[np.newaxis] has a stride of 0, which slows PyTorch
        first = {key: value[0] for key, value in outputs.items()}
        answer = task.answer(first, prepared.context, task.options({}), known)
        json.dumps(task.predictions(Answered([answer], case.model, False, None, {})))

    return once


def void(_: object) -> None:
    """Nothing."""


def main(model: str, what: str, config: str) -> None:
    """Wait for the start, run for some seconds, tell."""
    read = json.loads(config)
    once = alone(model, int(what), read) if what.isdecimal() else with_service(what, read)
    for _ in range(WARM_RUNS):
        once()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    seconds = float(sys.stdin.readline())
    pace = pace_ms()
    meter, began, latencies = Meter(()), time.perf_counter(), []
    while (now := time.perf_counter()) - began < seconds:
        once()
        latencies.append(time.perf_counter() - now)
    used = meter.read()
    report = {"seconds": time.perf_counter() - began, "latencies_s": latencies, "own_s": used.own_s}
    sys.stdout.write(json.dumps(report | {"others": used.others, "pace_ms": (pace + pace_ms()) / 2}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
