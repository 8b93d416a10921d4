"""What KServe's webhook rejects in an InferenceService, and what its controllers accept and then ignore."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from modelport.manifests.findings import Document, at
from modelport.manifests.pods import AUTOSCALER, MODE, SERVER_TYPE, Pod, flag

SCHEMES = (
    *("gs://", "s3://", "pvc://", "file://", "http://", "https://", "hdfs://", "webhdfs://", "hf://"),
    *("oci://", "oci+native://", "oci+fetch://"),
)
AUTOSCALERS = ("hpa", "keda", "external", "none")
SHORTCUTS = (
    "triton",
    "tensorflow",
    "pytorch",
    "onnx",
    "sklearn",
    "xgboost",
    "lightgbm",
    "paddle",
    "pmml",
    "huggingface",
)
KNATIVE_METRICS = ("concurrency", "rps", "cpu", "memory")
NOT_IN_A_CANARY = ("workerSpec", "maxReplicas", "scaleTarget", "scaleMetric", "autoScaling")
Rule = Iterator[tuple[str, str, str]]


def _annotations(pod: Pod) -> Rule:
    mode = f"metadata.annotations.{MODE}"
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", pod.name):
        yield "metadata.name", f"{pod.name!r} does not match KServe's pattern", "Use small letters, digits and dashes"
    if pod.mode not in ("Standard", "Knative"):
        yield mode, f"is {pod.mode!r}, so that the cluster's default applies", "Write Standard or Knative"
    if pod.mode == "Standard" and pod.autoscaler is None:
        yield f"metadata.annotations.{AUTOSCALER}", "is missing: KServe creates an HPA", f"Write one of {AUTOSCALERS}"
    if pod.autoscaler not in (None, *AUTOSCALERS):
        yield f"metadata.annotations.{AUTOSCALER}", f"{pod.autoscaler!r} is rejected", f"Write one of {AUTOSCALERS}"


def _replicas(pod: Pod) -> Rule:
    low, high = pod.predictor.get("minReplicas"), pod.predictor.get("maxReplicas")
    if low is not None and high and low > high:
        yield "spec.predictor.minReplicas", f"{low} is greater than maxReplicas {high}", "Swap them"
    if low == 0 and pod.mode == "Standard" and pod.autoscaler != "keda":
        yield (
            "spec.predictor.minReplicas",
            "0 does not scale to zero in Standard mode",
            "Use Knative mode, or KEDA with an external metric",
        )


def _scaling(pod: Pod) -> Rule:
    predictor = pod.predictor
    scaling, metric = predictor.get("autoScaling"), predictor.get("scaleMetric")
    if scaling is not None:
        if pod.autoscaler == "hpa" and scaling.get("behavior"):
            yield "spec.predictor.autoScaling.behavior", "is ignored by the HPA reconciler", "Remove it, or use KEDA"
        if not scaling.get("metrics"):
            yield "spec.predictor.autoScaling.metrics", "is missing", "Name a metric"
        for index, entry in enumerate(scaling.get("metrics") or []):
            if entry.get("type") == "External" and not at(entry, "external.target.value"):
                field = f"spec.predictor.autoScaling.metrics.{index}.external.target.value"
                yield field, "is missing: the target threshold is rejected as empty", "Write it beside averageValue"
        if metric or "scaleTarget" in predictor:
            yield "spec.predictor.scaleMetric", "is ignored beside autoScaling", "Keep one of the two"
    if metric and pod.mode == "Standard" and metric not in ("cpu", "memory"):
        yield "spec.predictor.scaleMetric", f"{metric!r} needs Knative mode", "Write cpu or memory"
    if metric and pod.mode == "Knative" and metric not in KNATIVE_METRICS:
        yield "spec.predictor.scaleMetric", f"{metric!r} is unknown", f"Write one of {KNATIVE_METRICS}"
    if metric == "cpu" and not 0 < predictor.get("scaleTarget", 80) <= 100:
        yield "spec.predictor.scaleTarget", "is not a percentage", "Write 1 to 100"
    if pod.autoscaler == "hpa" and pod.mode == "Standard" and not metric and scaling is None:
        yield "spec.predictor.scaleMetric", "is missing: cpu 80 is used", "Write scaleMetric and scaleTarget"


def _model(pod: Pod) -> Rule:
    predictor, model = pod.predictor, pod.predictor.get("model") or {}
    for shortcut in SHORTCUTS:
        if shortcut in predictor:
            yield f"spec.predictor.{shortcut}", "is a legacy shortcut", "Use model: with a runtime"
    if "name" in model:
        yield "spec.predictor.model.name", "is rejected", "Remove it"
    uri = model.get("storageUri")
    if uri is not None and not uri.startswith(SCHEMES):
        yield "spec.predictor.model.storageUri", f"{uri!r} has an unknown scheme", f"Begin with one of {SCHEMES}"
    if predictor.get("storageUris"):
        if uri:
            yield "spec.predictor.storageUris", "cannot stand beside model.storageUri", "Keep model.storageUri"
        if not any("--load-model" in argument for argument in pod.triton.get("args") or []):
            yield (
                "spec.predictor.storageUris",
                "starts Triton in explicit mode: nothing is loaded",
                "Use model.storageUri with a repository's root, or add --load-model=*",
            )


def _runtime(pod: Pod) -> Rule:
    name, field = at(pod.service, "spec.predictor.model.runtime"), "spec.predictor.model.runtime"
    if not at(pod.service, "spec.predictor.model"):
        return
    if name is None:
        yield field, "is missing: KServe picks one, for tensorflow perhaps TF Serving", "Name the ServingRuntime"
    elif name.startswith("kserve-tritonserver"):
        yield field, "is KServe's own Triton, 23.05", "Name a ServingRuntime of ours"
    elif pod.runtime is None:
        yield field, f"{name!r} is not among the documents", "Render the ServingRuntime too"
    elif (at(pod.runtime, "metadata.annotations") or {}).get(SERVER_TYPE) != "tritonserver":
        yield field, f"{name!r} lacks the annotation {SERVER_TYPE}", f"Annotate it {SERVER_TYPE}: tritonserver"


def _canary(pod: Pod) -> Rule:
    if "canaryTrafficPercent" in pod.predictor and pod.mode != "Knative":
        yield "spec.predictor.canaryTrafficPercent", "is ignored outside Knative mode", "Use spec.canary"
    canaries = at(pod.service, "spec.canary", [])
    if not canaries:
        return
    if pod.mode != "Standard":
        yield "spec.canary", "needs Standard mode", "Use canaryTrafficPercent in Knative mode"
    if at(pod.service, "spec.transformer"):
        yield "spec.transformer", "is not split by a canary", "Collocate the transformer in the predictor"
    if sum(canary.get("trafficPercent", 0) for canary in canaries) > 100:
        yield "spec.canary", "shares add up to more than 100", "Lower trafficPercent"
    if "name" in pod.predictor:
        yield "spec.predictor.name", "is rejected as a change when a canary starts or ends", "Name the canary alone"
    names = [at(canary, "predictor.name") for canary in canaries]
    if None in names or len(set(names)) < len(names):
        yield "spec.canary", "each canary needs a name of its own", "Write predictor.name"
    for index, canary in enumerate(canaries):
        yield from _canary_predictor(f"spec.canary.{index}.predictor", canary.get("predictor", {}), pod.predictor)


def _canary_predictor(field: str, canary: Mapping[str, Any], stable: Mapping[str, Any]) -> Rule:
    for key in NOT_IN_A_CANARY:
        if key in canary:
            yield f"{field}.{key}", "is rejected in a canary", "Remove it: the share decides the replicas"
    if canary.get("minReplicas", 0) > (stable.get("minReplicas") or 1):
        yield f"{field}.minReplicas", "is above the stable predictor's", "Lower it"


def _components(pod: Pod) -> Rule:
    for component in ("predictor", "transformer"):
        spec: Document = at(pod.service, f"spec.{component}", {})
        if "deploymentStrategy" in spec and pod.mode == "Knative":
            yield f"spec.{component}.deploymentStrategy", "is rejected in Knative mode", "Remove it"
        if component == "transformer" and spec.get("containerConcurrency"):
            yield (
                "spec.transformer.containerConcurrency",
                "adds --workers, which loses the SDK's predictor settings",
                "Remove it",
            )
        for index, container in enumerate(spec.get("containers") or []):
            field = f"spec.{component}.containers.{index}"
            if flag(container, "--protocol") is not None:
                yield f"{field}.args", "--protocol is not read", "Write --predictor_protocol"
            if flag(container, "--predictor_request_retries") == "1":
                yield f"{field}.args", "one retry breaks every gRPC call of KServe's client", "Remove it"
            if any(variable.get("name") == "PYTHONPATH" for variable in container.get("env") or []):
                yield f"{field}.env", "PYTHONPATH is rejected by the webhook", "Set it in the image"


RULES = (_annotations, _replicas, _scaling, _model, _runtime, _canary, _components)
