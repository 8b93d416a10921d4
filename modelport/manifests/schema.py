"""Strict schemas: a field that the API does not know is an error, as it is for an API server with strict validation.

Core kinds: the schemas that kubernetes-validate carries. KServe's kinds: the models of KServe's own SDK. The rest has
no schema on PyPI: shapes.py lists the fields that this project writes, so that a misspelt field is found.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import kserve
import kubernetes.client
import kubernetes_validate  # type: ignore[import-untyped]

from modelport.manifests.findings import Document, Finding, Findings, title
from modelport.manifests.shapes import SHAPES

SPECS = {
    "InferenceService": kserve.V1beta1InferenceServiceSpec,
    "ServingRuntime": kserve.V1alpha1ServingRuntimeSpec,
    "ClusterServingRuntime": kserve.V1alpha1ServingRuntimeSpec,
    "InferenceGraph": kserve.V1alpha1InferenceGraphSpec,
}
CONTAINER_TYPE = re.compile(r"(?:list|dict)[\[(](?:str, ?)?(?P<item>[^\])]+)[\])]")
QUANTITIES = {"limits", "requests"}
UNKNOWN = "Remove it, or spell it as the API reference does"


def check_schema(document: Document) -> Findings:
    """Unknown fields, missing required fields and wrong types of one document."""
    kind = document.get("kind", "")
    if kind in SPECS:
        if document.get("apiVersion", "").split("/")[0] != "serving.kserve.io":
            yield Finding(
                title(document), "apiVersion", "is not KServe's", "Write serving.kserve.io/v1beta1 or v1alpha1"
            )
        for field, problem in _walk(document.get("spec"), SPECS[kind], "spec"):
            yield Finding(title(document), field, problem, UNKNOWN)
    elif kind in SHAPES:
        for field in sorted(set(_paths(document)) - SHAPES[kind]):
            yield Finding(title(document), field, "is not among the fields in modelport/manifests/shapes.py", UNKNOWN)
    else:
        try:
            fault = _core_fault(json.dumps(document, default=str))
            if fault:
                yield Finding(title(document), *fault, UNKNOWN)
        except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError):
            yield Finding(
                title(document),
                "kind",
                f"no schema for {document.get('apiVersion')} {kind}",
                "Add its fields to shapes.py",
            )


@cache  # many overlays have documents in common, and validation is slow
def _core_fault(document: str) -> tuple[str, str] | None:
    try:
        kubernetes_validate.validate(json.loads(document), kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as exc:
        return ".".join(map(str, exc.path)) or "(document)", exc.message[:200]
    return None


def _walk(value: Any, model: Any, path: str) -> Iterator[tuple[str, str]]:
    """Compare a value with a generated model: names of its fields, required fields, types all the way down."""
    if not isinstance(value, Mapping):
        yield path, f"must be a mapping, found {value!r}"
        return
    names = {written: name for name, written in model.attribute_map.items()}
    for written, item in value.items():
        here = f"{path}.{written}"
        if written not in names:
            yield here, f"unknown field of {model.__name__}"
        elif item is None:
            yield here, "is null"
        else:
            yield from _typed(item, model.openapi_types[names[written]], here)


def _typed(value: Any, declared: str, path: str) -> Iterator[tuple[str, str]]:
    several = CONTAINER_TYPE.fullmatch(declared)
    if several and declared.startswith("list"):
        if not isinstance(value, list):
            yield path, f"must be a list, found {value!r}"
            return
        for index, item in enumerate(value):
            yield from _typed(item, several["item"], f"{path}.{index}")
    elif several:
        if not isinstance(value, Mapping):
            yield path, f"must be a mapping, found {value!r}"
            return
        for key, item in value.items():
            if not (path.rpartition(".")[2] in QUANTITIES and isinstance(item, int)):
                yield from _typed(item, several["item"], f"{path}.{key}")
    elif declared in _SCALARS:
        if not isinstance(value, _SCALARS[declared]) or (declared == "int" and isinstance(value, bool)):
            yield path, f"must be {declared}, found {value!r}"
    elif declared != "object":
        model = getattr(kserve, declared, None) or getattr(kubernetes.client, declared, None)
        if model is not None:
            yield from _walk(value, model, path)


_SCALARS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "bool": (bool,), "float": (int, float)}


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """Paths of all leaves, list positions written as []."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _paths(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for item in value:
            yield from _paths(item, f"{path}[]")
    elif not path.startswith(("metadata.annotations.", "metadata.labels.")):
        yield path
