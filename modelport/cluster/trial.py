"""An overlay on trial: deployed into a namespace of the test's own, called from a pod, changed and removed again."""

from __future__ import annotations

import base64
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from kserve_transformers.judging.shares import is_ready
from modelport.cluster import entries
from modelport.cluster.addresses import Addresses
from modelport.cluster.answers import Sample, sample_of
from modelport.cluster.entries import Entry
from modelport.cluster.kubectl import READY_TIMEOUT_S, Kubectl, wait_until
from modelport.cluster.pods import Caller, OwnPod, explain, pod
from modelport.cluster.relocation import Fit, relocate
from modelport.cluster.store import Store
from modelport.manifests.canary_end import retire_canaries
from modelport.manifests.canary_start import stable_first, with_stable
from modelport.manifests.findings import Document, at
from modelport.manifests.pods import pods
from modelport.manifests.release_file import Choice, edited, parse, release_file
from modelport.manifests.rendering import MANIFESTS, render
from modelport.measure.generator.load import Load
from modelport.measure.generator.requests import Request
from modelport.services import load

REVISION = "serving.knative.dev/revision"
RESTARTED = "modelport.io/restarted"
_ANSWERED = re.compile(r'^modelport_requests_total\{[^}]*outcome="(?:200|OK)"[^}]*\} (\S+)$', re.MULTILINE)


class BrokenPromiseError(Exception):
    """The overlay does not do what it promises; the message says what was seen."""


class NotPossibleError(Exception):
    """The cluster cannot show whether the overlay keeps a promise; the message says why."""


@dataclass
class Traffic:
    """What became of the requests of a load; complete once its block has ended."""

    outcomes: Counter[str] = field(default_factory=Counter)

    def require_none_lost(self) -> str:
        """How many requests were answered.

        Raises:
            BrokenPromiseError: some were not.
        """
        answered = self.outcomes["200"]
        others = {outcome: number for outcome, number in self.outcomes.items() if outcome != "200"}
        if others or not answered:
            lost = ", ".join(f"{number} x {outcome}" for outcome, number in others.items()) or "no answer at all"
            raise BrokenPromiseError(f"of {self.outcomes.total()} requests: {lost}")
        return f"{answered} of {answered} requests answered"


class Trial:
    """A deployed overlay.

    Args:
        cluster: where.
        overlay: its name.
        fit: how its documents are fitted to the cluster.
        caller: the pod that sends requests.
        headers: of every request, as tokens are.
        manifests: a folder of manifests that is the trial's own: its release file is edited.
        store: where its models are, if in the test's own bucket.

    Attributes:
        stops_controllers: whether checks may stop controllers that are there for the whole cluster, for a while.
    """

    stops_controllers = False

    def __init__(
        self,
        cluster: Kubectl,
        overlay: str,
        fit: Fit,
        caller: Caller,
        headers: Mapping[str, str],
        manifests: Path,
        store: Store | None = None,
    ) -> None:
        self.cluster, self.overlay, self.fit, self.caller = cluster, overlay, fit, caller
        self.manifests, self.store = manifests, store
        self._declared = tuple(load())
        self.choices = {
            name: Choice(one.stable, one.stable, 0) for name, one in parse(self._release_file.read_text()).items()
        }
        self.documents = self.rendered(self.choices)
        self.addresses = Addresses(cluster, self.namespace, self.documents, caller, headers)
        self._splitting: set[str] | None = None
        self._shadowing: set[str] | None = None
        self.specs = entries.services(self.documents)
        self.samples: Mapping[str, Sample] = {name: sample_of(spec) for name, spec in self.specs.items()}

    @property
    def namespace(self) -> str:
        """The test's own."""
        return self.fit.namespace

    @property
    def _release_file(self) -> Path:
        return release_file(self.manifests)

    def rendered(self, choices: Mapping[str, Choice]) -> list[dict[str, Any]]:
        """The documents with these releases."""
        text = self._release_file.read_text()
        for service, choice in choices.items():
            text = edited(text, service, choice)
        self._release_file.write_text(text)
        return self.moved(render(self.overlay, self.manifests))

    def moved(self, documents: Iterable[Document]) -> list[dict[str, Any]]:
        """Documents of the trial's manifests, fitted to the trial."""
        return relocate(documents, self.fit, self._declared)

    def deploy(
        self,
        choices: Mapping[str, Choice] | None = None,
        change: Callable[[list[dict[str, Any]]], None] | None = None,
    ) -> None:
        """Apply the overlay as declared, with other releases of some services, or with a change of its documents."""
        documents = self.rendered({**self.choices, **(choices or {})})
        if change:
            change(documents)
        if any(map(self.splits, self.specs)):  # as `modelport deploy` does
            found = self.cluster.items("inferenceservice", self.namespace)
            there = {str(at(one, "metadata.name")): one for one in found}
            if first := stable_first(documents, there):
                self.cluster.apply(with_stable(documents, first))
                self.wait_ready()
            retire_canaries(documents, there)
        self.cluster.apply(documents)

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until every InferenceService is Ready and every rollout has ended.

        Raises:
            ClusterError: not in time; the message has the pods' states and events.
        """
        for name in self.specs:
            wait_until(partial(self._is_ready, name), f"{name} is Ready", timeout_s, self.explain)
        wait_until(self._is_reached, "the way to the services is open", timeout_s, self.explain)

    @property
    def in_knative(self) -> bool:
        """Whether KServe lets Knative serve."""
        return entries.mode(self.documents) == "Knative"

    def rolled_out(self, name: str) -> bool:
        """Whether all replicas of an InferenceService are of its newest revision, ready, and the only ones."""
        if self.in_knative:
            return self._newest_alone(name)
        found = self.cluster.get("deployment", f"{name}-predictor", self.namespace) or {}
        state, wanted = found.get("status", {}), at(found, "spec.replicas", 1)
        current = state.get("observedGeneration") == at(found, "metadata.generation")
        numbers = [state.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
        return bool(found) and current and numbers == [wanted] * 4

    def _newest_alone(self, name: str) -> bool:
        found = self.cluster.get("services.serving.knative.dev", f"{name}-predictor", self.namespace) or {}
        state, current = found.get("status", {}), at(found, "metadata.generation")
        newest = state.get("latestReadyRevisionName")
        ready = state.get("observedGeneration") == current and state.get("latestCreatedRevisionName") == newest
        revisions = {at(pod, "metadata.labels", {}).get(REVISION) for pod in self.pods(name)}  # Knative tries on others
        return bool(found) and ready and revisions <= {newest}

    def restart(self, service: str) -> None:
        """Replace all pods of an InferenceService, which stays as it is."""
        if self.in_knative:
            now = {"metadata": {"annotations": {RESTARTED: str(time.time())}}}
            self.cluster.patch("inferenceservice", service, self.namespace, now)
        else:
            self.cluster.run("rollout", "restart", f"deployment/{service}-predictor", f"--namespace={self.namespace}")

    def explain(self) -> str:
        """Why pods are not ready."""
        return explain(self.cluster, self.namespace)

    def pods(self, service: str, ready: bool = True) -> list[Document]:
        """The pods of an InferenceService that are not being deleted, canaries included."""
        found = self.cluster.items("pod", self.namespace, f"{entries.SERVICE_LABEL}={service}")
        alive = [one for one in found if "deletionTimestamp" not in one["metadata"]]
        return [one for one in alive if not ready or is_ready(one)]

    def serving(self, service: str, release: str) -> list[Document]:
        """The Ready pods of a service that serve a release."""
        return [pod for pod in self.pods(service) if release_of(pod) == release]

    def beside(self, overlay: str, settings: Mapping[str, str]) -> list[dict[str, Any]]:
        """The documents of an overlay that stands beside others, with values in its settings.yaml."""
        file = self.manifests / "overlays" / overlay / "settings.yaml"
        text = file.read_text()
        for key, value in settings.items():
            text = re.sub(rf"(?m)^(  {key}:) .*$", rf'\1 "{value}"', text)
        file.write_text(text)
        return self.moved(render(overlay, self.manifests))

    def entry(self, name: str) -> Entry:
        """The way to a service that callers are meant to take, with its address."""
        if self.splits(name) and not self.in_knative:
            return self.addresses.kserve_gateway(name)
        return self.addresses.resolved(entries.entries(self.documents, name, self.namespace)[0])

    def splits(self, name: str) -> bool:
        """Whether a release can get a share of a service's traffic by KServe's own routes, or by Knative's."""
        if self._splitting is None:
            halves = {service: replace(choice, percent=50) for service, choice in self.choices.items()}
            keys = ("spec.canary", "spec.predictor.canaryTrafficPercent")
            split = [one for one in self.rendered(halves) if any(at(one, key) for key in keys)]
            self._splitting = {str(at(one, "metadata.name")) for one in split}
        return name in self._splitting

    def shadows(self, service: str) -> bool:
        """Whether a release can get copies of a service's requests."""
        if self._shadowing is None:
            all_ = {one: replace(choice, shadow_percent=50) for one, choice in self.choices.items()}
            self._shadowing = {str(at(one, "metadata.name")) for one in self.rendered(all_)}
        return f"{service}-shadow" in self._shadowing

    @property
    def rate_limit(self) -> int:
        """How many requests a second the gateway admits from one address; 0 for any number."""
        rule = "spec.rateLimit.local.rules.0.limit.requests"
        return next((int(at(one, rule)) for one in self.documents if at(one, rule)), 0)

    @property
    def requires_signature(self) -> bool:
        """Whether only signed releases serve."""
        return requires_signature(self.documents)

    def send(self, entry: Entry, service: str, protocol: str) -> dict[str, Any]:
        """Send a service's sample."""
        request = dict(self.samples[service].requests[protocol])
        url = entry.grpc_url if "grpc" in request else entry.url + request["path"]
        request |= {"url": url, "headers": {**request.get("headers", {}), **entry.headers}}
        (answer,) = self.caller.send([request])
        return answer

    @contextmanager
    def traffic(self, service: str, callers: int = 2, protocol: str = "V1") -> Iterator[Traffic]:
        """Send a service's sample over and over, each time on a new connection, until the block ends."""
        entry, one = self.entry(service), self.samples[service].requests[protocol]
        request = Request(one["path"], base64.b64decode(one["body"]), {**one["headers"], **entry.headers})
        think_s = 4 * callers / self.rate_limit if self.rate_limit else 0.0  # half of the limit at most
        file, traffic = self.caller.begin(entry.url, Load((request,), callers=callers, think_s=think_s)), Traffic()
        try:
            yield traffic
        finally:
            traffic.outcomes += self.caller.end(file)

    def answered(self, pods: Sequence[Document]) -> Counter[str]:
        """How many requests each pod has answered since it started, by its name."""
        requests = [{"url": f"http://{at(pod, 'status.podIP')}:8080/metrics"} for pod in pods]
        told = self.caller.send(requests)
        return Counter({at(pod, "metadata.name"): _answered(answer) for pod, answer in zip(pods, told, strict=True)})

    def visitor(self, namespace: str) -> OwnPod:
        """A pod in another of the test's namespaces."""
        image = at(self.cluster.get("pod", self.caller.name, self.caller.namespace) or {}, "spec.containers.0.image")
        return OwnPod(self.cluster, pod("visitor", namespace, image))

    def is_light(self, name: str) -> bool:
        """Whether an InferenceService is lighter pods of a service, which the gateway alone calls."""
        return self.specs[name].name != name

    def signal(self, pod: Document, number: int, container: str = "kserve-container") -> None:
        """Signal the first process of a pod's container."""
        states = at(pod, "status.containerStatuses", [])
        self.caller.signal(number, next(one["containerID"] for one in states if one["name"] == container))

    def _is_ready(self, name: str) -> bool:
        found = self.cluster.get("inferenceservice", name, self.namespace) or {}
        conditions = {one["type"]: one["status"] for one in at(found, "status.conditions", [])}
        if conditions.get("Ready") != "True":
            return False
        return self.rolled_out(name)

    def _is_reached(self) -> bool:
        """Whether something answers where callers begin: a gateway's proxies start later than its services."""
        entry = self.entry(next(iter(self.specs)))
        (answer,) = self.caller.send([{"url": f"{entry.url}/", "timeout_s": 5}])
        return bool(answer["status"] != "unreachable")


@contextmanager
def own_manifests() -> Iterator[Path]:
    """A copy of manifests/, whose release file may be edited."""
    with tempfile.TemporaryDirectory(prefix="modelport-manifests-") as scratch:
        yield Path(shutil.copytree(MANIFESTS, Path(scratch) / "manifests"))


def requires_signature(documents: Sequence[Document]) -> bool:
    """Whether the services of an overlay serve signed releases alone."""
    return any(one.startswith("--require_signature=") for pod in pods(documents) for one in pod.transformer_arguments())


def release_of(pod: Document) -> str:
    """The release that a pod serves: the end of its volume's sub path, or of its storage initializer's address."""
    mounts = [one for box in at(pod, "spec.containers", []) for one in box.get("volumeMounts", [])]
    paths = [str(one["subPath"]) for one in mounts if "subPath" in one]
    sources = [
        str(box["args"][0]) for box in at(pod, "spec.initContainers", []) if box["name"] == "storage-initializer"
    ]
    return (sources or paths or [""])[0].rpartition("/")[2]


def _answered(answer: Mapping[str, Any]) -> int:
    if answer["status"] != "200":
        raise BrokenPromiseError(f"a pod's metrics cannot be read: {answer['status']} {answer.get('error', '')}")
    return round(sum(float(number) for number in _ANSWERED.findall(base64.b64decode(answer["body"]).decode())))
