"""The overlay `batch`: an Indexed Job over a bucket of images, whose killed pods continue where they stopped."""

from __future__ import annotations

import base64
import json
import signal
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

import yaml

from modelport.cluster.checks import Check
from modelport.cluster.kubectl import READY_TIMEOUT_S, wait_until
from modelport.cluster.store import Store
from modelport.cluster.trial import BrokenPromiseError, NotPossibleError, Trial
from modelport.manifests.findings import Document, at
from modelport.manifests.rendering import render

IMAGES, SHARDS = 150, 3
BEGUN = 10  # requests that were answered before pods are killed
ENDED_S = 3600.0
CONTAINER = "client"
_READ = """
import json, obstore, io, os
from arro3.io import read_parquet
store = obstore.store.from_url("s3://BUCKET/out/", client_options={"allow_http": True})
parts = sorted(one["path"] for page in obstore.list(store) for one in page)
tables = {path: read_parquet(io.BytesIO(bytes(obstore.get(store, path).bytes()))).read_all() for path in parts}
print(json.dumps({path: table.column("file").to_pylist() for path, table in tables.items()}))
"""


def _batch(trial: Trial, service: str) -> str:
    store = trial.store
    if store is None:
        raise NotPossibleError("the models come from no bucket of the test's own")
    sample = trial.samples[service].requests.get("V1 image body")
    if sample is None:
        raise NotPossibleError(f"{service} takes no images")
    suffix = ".png" if "png" in json.dumps(sample["headers"]) else ".jpg"
    store.copy(base64.b64decode(sample["body"]), IMAGES, "in", suffix)
    documents = _documents(trial, service, store)
    before = sum(trial.answered(trial.pods(service)).values())

    def answered() -> int:
        return sum(trial.answered(trial.pods(service)).values()) - before

    trial.cluster.apply(documents)
    trial.documents += documents  # is removed with the rest
    wait_until(lambda: answered() >= BEGUN or _ended(trial), "the Job sends", READY_TIMEOUT_S, trial.explain)
    working = [one for one in _pods(trial) if at(one, "status.phase") == "Running"]
    if _ended(trial) or len(working) < 2:
        raise NotPossibleError(f"{IMAGES} images were answered before two pods could be killed")
    trial.signal(working[0], signal.SIGKILL, CONTAINER)
    trial.cluster.delete("pod", at(working[1], "metadata.name"), trial.namespace)
    wait_until(partial(_ended, trial), "the Job ends", ENDED_S, trial.explain)
    return f"{require_each_once(_parts(trial, store))}; a killed and a deleted pod; {answered()} requests"


def _documents(trial: Trial, service: str, store: Store) -> list[dict[str, Any]]:
    """The overlay with the trial's service and bucket, and the Secret that it documents."""
    settings = trial.manifests / "overlays" / "batch" / "settings.yaml"
    document, bucket = yaml.safe_load(settings.read_text()), f"s3://{store.bucket}"
    document["data"] |= {"service": service, "in": f"{bucket}/in/", "out": f"{bucket}/out/", "shards": str(SHARDS)}
    settings.write_text(yaml.safe_dump(document))
    name = {"name": "modelport-batch", "namespace": trial.namespace}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": name, "stringData": store.environment}
    return [*trial.moved(render("batch", trial.manifests)), secret]


def require_each_once(parts: Mapping[str, list[str]]) -> str:
    """What the Parquet files hold, by their rows' files; all inputs are the same image, so all have as many rows."""
    answers = {part: Counter(names) for part, names in parts.items() if "errors" not in part}
    rows = sum(answers.values(), Counter[str]())
    twice = [
        name for name in rows if sum(name in part for part in answers.values()) > 1 or rows[name] > min(rows.values())
    ]
    if len(rows) != IMAGES or twice:
        raise BrokenPromiseError(f"{len(rows)} of {IMAGES} images have results, {len(twice)} of them twice")
    return f"{len(rows)} images, each once, in {len(answers)} Parquet files of {SHARDS} shards"


def _parts(trial: Trial, store: Store) -> dict[str, list[str]]:
    environment = [f"{key}={value}" for key, value in store.environment.items()]
    code = _READ.replace("BUCKET", store.bucket)
    read = trial.caller.execute("env", "PYTHONPATH=/app:/packages", *environment, "python3", "-c", code)
    return dict(json.loads(read))


def _pods(trial: Trial) -> list[Document]:
    return trial.cluster.items("pod", trial.namespace, "app.kubernetes.io/name=modelport-batch")


def _ended(trial: Trial) -> bool:
    job = trial.cluster.get("job", "batch", trial.namespace) or {}
    conditions = {one["type"]: one for one in at(job, "status.conditions", []) if one["status"] == "True"}
    if "Failed" in conditions:
        raise BrokenPromiseError(f"the Job failed: {conditions['Failed'].get('message')}")
    return "Complete" in conditions


CHECKS = (Check("batch", "three shards of a bucket, two killed pods: each image is answered once", _batch, keeps=True),)
