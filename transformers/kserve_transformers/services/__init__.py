"""The five services, one a file: how each decodes, prepares and answers."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

from kserve_transformers.predictor import TritonModel
from kserve_transformers.services.anomaly import Anomaly
from kserve_transformers.services.cars import Cars
from kserve_transformers.services.classifier import Classifier
from kserve_transformers.services.detector import Detector, Thresholds
from kserve_transformers.services.digits import Digits
from kserve_transformers.services.transformer import Transformer
from kserve_transformers.settings import Settings

_SIMPLE: Mapping[str, type[Transformer[Any, Any, Any]]] = {
    "classifier": Classifier,
    "cars": Cars,
    "digits": Digits,
    "anomaly": Anomaly,
}


def build_service(
    name: str, models: Mapping[str, TritonModel], settings: Settings, threads: Executor
) -> Transformer[Any, Any, Any]:
    """One service with its chain of models."""
    chain = [models[model] for model in settings.chains[name]]
    if name == "detector":
        thresholds = Thresholds(settings.score_threshold, settings.iou_threshold)
        return Detector(name, chain, settings.limits, threads, thresholds)
    return _SIMPLE[name](name, chain, settings.limits, threads)
