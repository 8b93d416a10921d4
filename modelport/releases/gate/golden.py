"""The golden check: a real Triton serves the release's folder, and every model must give its golden answer."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tritonclient.http import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from exporters.config import dtype
from exporters.repository import versions
from kserve_transformers.predictor.declaration import TensorSpec
from kserve_transformers.predictor.golden import GoldenSample
from modelport.releases.errors import GateError
from modelport.releases.gate.configs import read_config
from modelport.stack.errors import StartError
from modelport.stack.server import LOOPBACK, free_ports
from modelport.stack.triton_distribution import lay_out
from modelport.stack.triton_server import TritonServer, TritonSettings

INFER_TIMEOUT_S = 120.0  # for the first answer of a large model on a busy machine


def read_sample(model_dir: Path, config: Any) -> GoldenSample:
    """The golden sample of a model.

    Raises:
        GateError: there is none, or it does not match the configuration.
    """
    tensor = config.input[0]
    spec = TensorSpec(tensor.name, np_to_triton_dtype(dtype(tensor)), tuple(tensor.dims))
    try:
        sample = GoldenSample.load(model_dir, spec, str(max(versions(model_dir), default=0)))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise GateError(f"{model_dir.name}/golden is not a golden sample ({exc}): export the model again") from exc
    if not sample.outputs:
        raise GateError(f"{model_dir.name}/golden/answer.json has no outputs: export the model again")
    return sample


def check_golden_answers(folder: Path, models: Iterable[str]) -> str:
    """Serve a release by Triton, as a cluster does, and compare every model's answer with its golden answer.

    Args:
        folder: the release's folder, with release.json, which Triton must ignore.
        models: the models that must answer.

    Returns:
        Triton's version.

    Raises:
        GateError: Triton does not serve a model, or its answer is not the golden one.
        SetupError: Triton could not be installed.
    """
    with tempfile.TemporaryDirectory(prefix="modelport-gate-") as logs:
        http, grpc, metrics = free_ports(3)
        settings = TritonSettings(folder, Path(logs) / "triton.log", http, grpc, metrics)
        triton = TritonServer(lay_out(), settings)
        try:
            triton.start()
            triton.wait_until_ready()
            with InferenceServerClient(f"{LOOPBACK}:{settings.http_port}", network_timeout=INFER_TIMEOUT_S) as client:
                for model in models:
                    check_model(client, folder / model)
                return str(client.get_server_metadata()["version"])
        except StartError as exc:
            raise GateError(
                f"Triton does not serve it: {'; '.join(triton.errors()) or exc}: export the model again"
            ) from exc
        finally:
            triton.stop()


def check_model(client: InferenceServerClient, model_dir: Path) -> None:
    """Compare the answer of a Triton that serves a model with the model's golden answer.

    Raises:
        GateError: it differs, or Triton does not answer.
    """
    config = read_config(model_dir / "config.pbtxt")
    sample = read_sample(model_dir, config)
    tensor = InferInput(config.input[0].name, list(sample.batch.shape), np_to_triton_dtype(sample.batch.dtype))
    tensor.set_data_from_numpy(sample.batch)
    try:
        answer = client.infer(model_dir.name, [tensor])
    except InferenceServerException as exc:
        raise GateError(
            f"{model_dir.name} does not answer in Triton ({exc.message()}): export the model again"
        ) from exc
    wrong = sample.drift({output.name: answer.as_numpy(output.name) for output in config.output}).reason
    if wrong:
        raise GateError(f"{model_dir.name} fails its golden check: {wrong}: export the model again")
