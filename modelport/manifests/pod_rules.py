"""Rules for pods: they start, report readiness truthfully, keep others from Triton, and end without losing requests."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kserve_transformers.service_spec import ServiceSpec
from modelport.manifests.findings import at
from modelport.manifests.pods import TRANSFORMER, TRITON, Pod, flag

REPOSITORY = "/mnt/models"
SHARED_MEMORY = "/dev/shm"  # noqa: S108 (a mount point, not a place for files of ours)
RESTRICTED = ("model-repository", "shared-memory", "trace", "logging")
CLOSED = {
    "--model-control-mode": ("none",),
    "--exit-on-error": ("true",),
    "--strict-readiness": ("true",),
    "--disable-auto-complete-config": ("", "true"),
}
LOOPBACK = ("127.0.0.1", "localhost")
# What Knative has no field for, and the API server drops, or its webhook refuses without a feature flag.
NOT_IN_KNATIVE = (
    *("securityContext", "terminationGracePeriodSeconds", "topologySpreadConstraints", "affinity", "nodeSelector"),
    *("tolerations", "priorityClassName", "schedulerName", "runtimeClassName", "initContainers", "hostAliases"),
    *("dnsPolicy", "dnsConfig", "hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "restartPolicy"),
    *("activeDeadlineSeconds", "nodeName", "hostname", "subdomain"),
)
NOT_IN_KNATIVE_CONTAINERS = ("lifecycle", "stdin", "stdinOnce", "tty", "volumeDevices")
KNATIVE_TIMEOUT_S = 300  # its default
KNATIVE_VOLUMES = {"name", "secret", "configMap", "projected", "emptyDir"}
TRITON_EXIT_S = 5
LIVENESS_S = 120  # what a busy node delays is not restarted
Rule = Iterator[tuple[str, str, str]]


def _containers(pod: Pod) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield f"containers.{TRITON}", pod.triton
    for container in pod.predictor.get("containers") or []:
        yield f"containers.{container.get('name')}", container


def _transformer(pod: Pod) -> Rule:
    if at(pod.service, "spec.transformer"):
        return
    if not pod.transformer:
        yield "spec.predictor.containers", "no container is the transformer", f"Name a container exactly {TRANSFORMER}"
        return
    try:
        ServiceSpec.parse(flag(pod.transformer, "--service") or "")
    except ValueError as error:
        yield f"containers.{TRANSFORMER}.args", f"no service is declared: {error}", "Write --service=NAME=TASK:MODEL"
    if flag(pod.transformer, "--model_repository") != REPOSITORY:
        yield (
            f"containers.{TRANSFORMER}.args",
            "golden samples are not found",
            f"Write --model_repository={REPOSITORY}: KServe mounts the models there",
        )


def _ports(pod: Pod) -> Rule:
    if not pod.transformer:
        return
    ports = {name: flag(pod.triton, f"--{name}-port") for name in ("http", "grpc", "metrics")}
    own = {flag(pod.transformer, "--http_port") or "8080", flag(pod.transformer, "--grpc_port") or "8081"}
    for name, port in ports.items():
        if port in own or port is None:
            yield f"containers.{TRITON}.args", f"--{name}-port {port} is the transformer's too", "Choose another port"
    host, _, port = (flag(pod.transformer, "--predictor_host") or "").partition(":")
    if host not in LOOPBACK or port != ports["http"]:
        yield (
            f"containers.{TRANSFORMER}.args",
            "--predictor_host is not where Triton listens",
            f"Write --predictor_host=127.0.0.1:{ports['http']}",
        )
    declared = [str(port.get("containerPort")) for port in pod.transformer.get("ports") or []]
    if not declared or declared[0] != (flag(pod.transformer, "--http_port") or "8080"):
        yield (
            f"containers.{TRANSFORMER}.ports",
            "the first port is not the REST port, to which KServe routes",
            "Declare it first",
        )
    if pod.triton.get("ports"):
        yield f"containers.{TRITON}.ports", "Knative rejects a second container with ports", "Declare none"


def _probes(pod: Pod) -> Rule:
    readiness = at(pod.transformer, "readinessProbe.httpGet.path")
    if readiness is None:
        yield f"containers.{TRANSFORMER}.readinessProbe", "is missing", "Write httpGet /v2/health/ready on 8080"
    elif readiness != "/v2/health/ready":
        yield f"containers.{TRANSFORMER}.readinessProbe", f"{readiness} checks no golden sample", "Use /v2/health/ready"
    if at(pod.transformer, "livenessProbe.httpGet.path") == "/v2/health/ready":
        yield (
            f"containers.{TRANSFORMER}.livenessProbe",
            "restarts the transformer for Triton's faults",
            "Use /v2/health/live",
        )
    if pod.mode == "Standard" and at(pod.triton, "livenessProbe.httpGet.path") != "/v2/health/ready":
        yield (
            f"containers.{TRITON}.livenessProbe",
            "Triton reports itself live while a backend process is dead",
            "Probe the golden samples, through the transformer: httpGet /v2/health/ready on 8080",
        )
    if pod.mode == "Standard" and at(pod.triton, "startupProbe.httpGet.port") != 8080:
        yield (
            f"containers.{TRITON}.startupProbe",
            "Triton is restarted while the transformer, which its liveness probe calls, still starts",
            "Probe the golden samples here too: httpGet /v2/health/ready on 8080",
        )
    for container in (pod.transformer, pod.triton):
        probe = container.get("livenessProbe")
        patience_s = at(container, "livenessProbe.periodSeconds", 10) * at(
            container, "livenessProbe.failureThreshold", 3
        )
        if probe and patience_s < LIVENESS_S:
            yield (
                f"containers.{container['name']}.livenessProbe",
                f"restarts it after {patience_s} s: a busy node would restart all replicas",
                f"Raise periodSeconds or failureThreshold, to {LIVENESS_S} s together",
            )
    for name in ("livenessProbe", "readinessProbe"):
        if pod.mode == "Knative" and pod.triton.get(name):
            yield f"containers.{TRITON}.{name}", "is rejected beside the container with the port", "Remove it"


def _closed(pod: Pod) -> Rule:
    field = f"containers.{TRITON}.args"
    for name, allowed in CLOSED.items():
        if flag(pod.triton, name) not in allowed:
            yield field, f"{name} is not set", f"Write {name}{'=' + allowed[0] if allowed[0] else ''}"
    for name in ("--http-address", "--grpc-address"):
        if flag(pod.triton, name) not in LOOPBACK:
            yield field, f"{name} admits callers from outside the pod", f"Write {name}=127.0.0.1"
    for name in ("--http-restricted-api", "--grpc-restricted-protocol"):
        missing = [api for api in RESTRICTED if api not in (flag(pod.triton, name) or "").split(":")[0].split(",")]
        if missing:
            yield field, f"{name} does not restrict {', '.join(missing)}", "Add them"


def _hardening(pod: Pod) -> Rule:
    if pod.predictor.get("automountServiceAccountToken") is not False:
        yield "spec.predictor.automountServiceAccountToken", "the service account's token is mounted", "Write false"
    for field, container in _containers(pod):
        image, context = container.get("image", ""), container.get("securityContext") or {}
        if ("@" not in image and ":" not in image.rpartition("/")[2]) or image.endswith(":latest"):
            yield f"{field}.image", f"{image!r} is not pinned", "Name it in manifests/images"
        for key, wanted in (
            ("runAsNonRoot", True),
            ("readOnlyRootFilesystem", True),
            ("allowPrivilegeEscalation", False),
        ):
            if context.get(key) is not wanted:
                yield f"{field}.securityContext.{key}", f"is {context.get(key)}", f"Write {str(wanted).lower()}"
        if at(context, "capabilities.drop") != ["ALL"]:
            yield f"{field}.securityContext.capabilities", "are not dropped", "Write drop: [ALL]"
        if at(context, "seccompProfile.type") != "RuntimeDefault":
            yield f"{field}.securityContext.seccompProfile", "is missing", "Write type: RuntimeDefault"
        for key in ("requests.cpu", "requests.memory", "limits.memory"):
            if at(container, f"resources.{key}") is None:
                yield f"{field}.resources.{key}", "is missing", "Write it: scheduling and autoscaling depend on it"


def _memory(pod: Pod) -> Rule:
    mounts = {mount.get("mountPath"): mount.get("name") for mount in pod.triton.get("volumeMounts") or []}
    shared = next((volume for volume in pod.volumes if volume.get("name") == mounts.get(SHARED_MEMORY)), None)
    if shared is None or at(shared, "emptyDir.medium") != "Memory" or not at(shared, "emptyDir.sizeLimit"):
        yield (
            f"containers.{TRITON}.volumeMounts",
            f"{SHARED_MEMORY} is the container engine's 64 MiB, too small for the Python backend",
            "Mount an emptyDir with medium Memory and a sizeLimit there",
        )


def _placement(pod: Pod) -> Rule:
    if pod.mode != "Standard":
        return
    if (pod.predictor.get("nodeSelector") or {}).get("kubernetes.io/arch") is None:
        yield "spec.predictor.nodeSelector", "pods may land on nodes of another architecture", "Name kubernetes.io/arch"
    surge = at(pod.predictor, "deploymentStrategy.rollingUpdate.maxSurge")
    if at(pod.triton, "resources.limits", {}).get("nvidia.com/gpu") and surge != 0:
        yield (
            "spec.predictor.deploymentStrategy",
            "an update waits for one more GPU than there are pods",
            "Write maxSurge 0 and maxUnavailable 1",
        )


def _ending(pod: Pod) -> Rule:
    if pod.mode != "Standard":
        return
    drain, request = (float(flag(pod.transformer, name) or default) for name, default in _TIMES)
    waits = at(pod.triton, "lifecycle.preStop.sleep.seconds", 0)
    grace = pod.predictor.get("terminationGracePeriodSeconds", 30)
    if waits < drain + request:
        yield (
            f"containers.{TRITON}.lifecycle.preStop",
            f"Triton exits after {waits} s, but the transformer needs it for {drain + request:g} s",
            f"Sleep {drain + request + 2:g} s",
        )
    if grace < waits + TRITON_EXIT_S:
        yield (
            "spec.predictor.terminationGracePeriodSeconds",
            f"the pod is killed after {grace} s, while it drains",
            f"Write at least {waits + TRITON_EXIT_S}",
        )


_TIMES = (("--drain_s", "5"), ("--request_timeout_s", "30"))


def _knative(pod: Pod) -> Rule:
    if pod.mode != "Knative":
        return
    for key in NOT_IN_KNATIVE:
        if pod.predictor.get(key):
            yield f"spec.predictor.{key}", "is rejected or dropped by Knative without a feature flag", "Remove it"
    if len(pod.transformer.get("ports") or []) > 1:
        yield f"containers.{TRANSFORMER}.ports", "Knative allows one port", "Keep 8080"
    timeout_s = pod.predictor.get("timeout", KNATIVE_TIMEOUT_S)
    if pod.predictor.get("minReplicas") == 0 and timeout_s < KNATIVE_TIMEOUT_S:
        yield (
            "spec.predictor.timeout",
            f"a request that finds no pod ends after {timeout_s} s, and models take longer to load",
            f"Write {KNATIVE_TIMEOUT_S}",
        )
    for volume in pod.volumes:
        for kind in sorted(set(volume) - KNATIVE_VOLUMES):
            yield f"volumes.{volume['name']}.{kind}", "is rejected by Knative without a feature flag", "Use emptyDir"
    for field, container in _containers(pod):
        for key in NOT_IN_KNATIVE_CONTAINERS:
            if container.get(key):
                yield f"{field}.{key}", "is dropped: Knative has no such field", "Remove it"
        if re.search(r"'fieldRef'|'resourceFieldRef'", str(container.get("env"))):
            yield f"{field}.env", "fieldRef is rejected by Knative without a feature flag", "Write a value"


RULES = (_transformer, _ports, _probes, _closed, _hardening, _memory, _placement, _knative, _ending)
