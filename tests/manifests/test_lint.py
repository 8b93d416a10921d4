"""Every overlay is clean, and each trap of KServe and of the gateway is named, with its field, once it is set."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from modelport.manifests.lint import lint
from modelport.manifests.rendering import MANIFESTS, overlays
from modelport.manifests.storage_rules import placeholders

Documents = list[dict[str, Any]]
Change = Callable[[Documents], object]
HPA, KNATIVE, CANARY, FALLBACK, PVC = "standard-hpa", "knative", "canary-standard", "fallback", "storage-pvc"


def of(documents: Documents, kind: str, name: str | None = None) -> dict[str, Any]:
    return next(d for d in documents if d["kind"] == kind and name in (None, d["metadata"]["name"]))


def detector(documents: Documents) -> dict[str, Any]:
    return of(documents, "InferenceService", "detector")


def predictor(documents: Documents) -> dict[str, Any]:
    return detector(documents)["spec"]["predictor"]


def transformer(documents: Documents) -> dict[str, Any]:
    return predictor(documents)["containers"][0]


def triton(documents: Documents) -> dict[str, Any]:
    return of(documents, "ServingRuntime")["spec"]["containers"][0]


def external(documents: Documents) -> dict[str, Any]:
    return predictor(documents)["autoScaling"]["metrics"][0]["external"]


def canary(documents: Documents) -> dict[str, Any]:
    return detector(documents)["spec"]["canary"][0]


def claim(documents: Documents) -> dict[str, Any]:
    return of(documents, "PersistentVolumeClaim")


def light(documents: Documents) -> dict[str, Any]:
    return of(documents, "InferenceService", "classifier-light")["spec"]["predictor"]


def policy(documents: Documents) -> dict[str, Any]:
    return of(documents, "BackendTrafficPolicy", "classifier-fallback")["spec"]


def everywhere(documents: Documents) -> dict[str, Any]:
    return of(documents, "BackendTrafficPolicy", "modelport")["spec"]


def endpoint(documents: Documents, name: str = "classifier") -> dict[str, Any]:
    return of(documents, "Backend", name)["spec"]["endpoints"][0]["fqdn"]


def annotate(documents: Documents, key: str, value: str | None) -> None:
    annotations = detector(documents)["metadata"]["annotations"]
    annotations.pop(f"serving.kserve.io/{key}", None)
    if value is not None:
        annotations[f"serving.kserve.io/{key}"] = value


def argument(container: dict[str, Any], name: str, value: str | None) -> None:
    container["args"] = [a for a in container["args"] if a.split("=")[0] != name]
    if value is not None:
        container["args"].append(f"{name}={value}")


def add(documents: Documents, kind: str, spec: dict[str, Any]) -> None:
    documents.append(
        {"apiVersion": "serving.kserve.io/v1alpha1", "kind": kind, "metadata": {"name": "g"}, "spec": spec}
    )


METRIC = [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 5}}}]
MUTATIONS: list[tuple[str, str, Change, str]] = [
    # --- schema
    ("a core field misspelt", PVC, lambda d: of(d, "NetworkPolicy")["spec"].update(ingres=[]), "spec"),
    ("an isvc field misspelt", PVC, lambda d: predictor(d).update(minReplica=1), "spec.predictor.minReplica"),
    ("a probe misspelt", PVC, lambda d: transformer(d)["readinessProbe"].update(period=1), "Probe.period"),
    ("a number as text", PVC, lambda d: predictor(d).update(timeout="35"), "spec.predictor.timeout"),
    ("a route field misspelt", "gateway", lambda d: of(d, "HTTPRoute")["spec"].update(rule=1), "spec.rule"),
    # --- annotations and scaling
    ("no mode", PVC, lambda d: annotate(d, "deploymentMode", None), "deploymentMode"),
    ("a mode's old name", PVC, lambda d: annotate(d, "deploymentMode", "RawDeployment"), "deploymentMode"),
    ("no autoscaler class", PVC, lambda d: annotate(d, "autoscalerClass", None), "autoscalerClass"),
    ("an unknown autoscaler", PVC, lambda d: annotate(d, "autoscalerClass", "vpa"), "autoscalerClass"),
    ("a name with capitals", PVC, lambda d: detector(d)["metadata"].update(name="Detector"), "metadata.name"),
    ("zero replicas in Standard", HPA, lambda d: predictor(d).update(minReplicas=0), "minReplicas"),
    ("more at least than at most", HPA, lambda d: predictor(d).update(minReplicas=11), "minReplicas"),
    ("concurrency in Standard", HPA, lambda d: predictor(d).update(scaleMetric="concurrency"), "scaleMetric"),
    ("an hpa without metric", HPA, lambda d: predictor(d).pop("scaleMetric"), "scaleMetric"),
    ("cpu 170 per cent", HPA, lambda d: predictor(d).update(scaleTarget=170), "scaleTarget"),
    ("two ways to scale", HPA, lambda d: predictor(d).update(autoScaling={"metrics": METRIC}), "scaleMetric"),
    (
        "hpa behaviour",
        HPA,
        lambda d: predictor(d).update(autoScaling={"metrics": METRIC, "behavior": {"scaleDown": {}}}),
        "autoScaling.behavior",
    ),
    ("keda without a threshold", "keda", lambda d: external(d)["target"].pop("value"), "external.target.value"),
    ("keda without metrics", "keda", lambda d: predictor(d).update(autoScaling={}), "autoScaling.metrics"),
    # --- model and runtime
    ("an unknown scheme", PVC, lambda d: predictor(d)["model"].update(storageUri="ftp://x"), "model.storageUri"),
    ("storageUris", PVC, lambda d: predictor(d).update(storageUris=[{"uri": "s3://x"}]), "spec.predictor.storageUris"),
    ("no runtime", PVC, lambda d: predictor(d)["model"].pop("runtime"), "spec.predictor.model.runtime"),
    ("KServe's Triton", PVC, lambda d: predictor(d)["model"].update(runtime="kserve-tritonserver"), "model.runtime"),
    ("a runtime elsewhere", PVC, lambda d: predictor(d)["model"].update(runtime="other"), "model.runtime"),
    ("no server type", PVC, lambda d: of(d, "ServingRuntime")["metadata"].pop("annotations"), "model.runtime"),
    ("a shortcut", PVC, lambda d: predictor(d).update(triton={}), "spec.predictor.triton"),
    ("a model's name", PVC, lambda d: predictor(d)["model"].update(name="x"), "spec.predictor.model.name"),
    # --- canary
    ("a Knative share in Standard", HPA, lambda d: predictor(d).update(canaryTrafficPercent=10), "TrafficPercent"),
    ("a canary in Knative", CANARY, lambda d: annotate(d, "deploymentMode", "Knative"), "spec.canary"),
    ("110 per cent", CANARY, lambda d: canary(d).update(trafficPercent=110), "spec.canary"),
    ("a named stable predictor", CANARY, lambda d: predictor(d).update(name="stable"), "spec.predictor.name"),
    ("an unnamed canary", CANARY, lambda d: canary(d)["predictor"].pop("name"), "spec.canary"),
    (
        "a canary that scales",
        CANARY,
        lambda d: canary(d)["predictor"].update(maxReplicas=3),
        "canary.0.predictor.maxReplicas",
    ),
    (
        "a canary above the stable",
        CANARY,
        lambda d: canary(d)["predictor"].update(minReplicas=4),
        "canary.0.predictor.minReplicas",
    ),
    (
        "a separate transformer",
        CANARY,
        lambda d: detector(d)["spec"].update(transformer={"minReplicas": 1}),
        "spec.transformer",
    ),
    # --- transformer
    ("another container's name", PVC, lambda d: transformer(d).update(name="transformer"), "spec.predictor.containers"),
    ("no service", PVC, lambda d: argument(transformer(d), "--service", None), "transformer-container.args"),
    (
        "a service's old form",
        PVC,
        lambda d: argument(transformer(d), "--service", "cars"),
        "transformer-container.args",
    ),
    ("golden samples elsewhere", PVC, lambda d: argument(transformer(d), "--model_repository", "/m"), "args"),
    ("Triton on the same port", PVC, lambda d: argument(triton(d), "--http-port", "8080"), "args"),
    ("a predictor elsewhere", PVC, lambda d: argument(transformer(d), "--predictor_host", "x:8000"), "args"),
    ("gRPC first", PVC, lambda d: transformer(d)["ports"].reverse(), "ports"),
    ("Triton with ports", PVC, lambda d: triton(d).update(ports=[{"containerPort": 8000}]), "ports"),
    ("--protocol", PVC, lambda d: argument(transformer(d), "--protocol", "v2"), "args"),
    ("one retry", PVC, lambda d: argument(transformer(d), "--predictor_request_retries", "1"), "args"),
    ("PYTHONPATH", PVC, lambda d: transformer(d).update(env=[{"name": "PYTHONPATH", "value": "x"}]), "env"),
    (
        "workers",
        PVC,
        lambda d: detector(d)["spec"].update(transformer={"containerConcurrency": 2}),
        "spec.transformer.containerConcurrency",
    ),
    # --- probes, hardening, memory, ending
    ("no readiness", PVC, lambda d: transformer(d).pop("readinessProbe"), "readinessProbe"),
    ("no golden sample", PVC, lambda d: transformer(d)["readinessProbe"]["httpGet"].update(path="/"), "readinessProbe"),
    ("live is ready", PVC, lambda d: transformer(d).update(livenessProbe=transformer(d)["readinessProbe"]), "liveness"),
    (
        "Triton's own word",
        PVC,
        lambda d: triton(d)["livenessProbe"]["httpGet"].update(path="/v2/health/live"),
        "liveness",
    ),
    ("a late transformer", PVC, lambda d: triton(d)["startupProbe"]["httpGet"].update(port=8002), "startupProbe"),
    ("impatient", PVC, lambda d: triton(d)["livenessProbe"].update(failureThreshold=3), "liveness"),
    ("impatient by default", PVC, lambda d: transformer(d)["livenessProbe"].pop("failureThreshold"), "liveness"),
    ("model control", PVC, lambda d: argument(triton(d), "--model-control-mode", "poll"), "args"),
    ("Triton outside", PVC, lambda d: argument(triton(d), "--http-address", "0.0.0.0"), "args"),
    ("Triton open", PVC, lambda d: argument(triton(d), "--grpc-restricted-protocol", None), "args"),
    ("a token", PVC, lambda d: predictor(d).pop("automountServiceAccountToken"), "automountServiceAccountToken"),
    ("no tag", PVC, lambda d: transformer(d).update(image="modelport"), "image"),
    ("latest", PVC, lambda d: triton(d).update(image="modelport:latest"), "image"),
    ("root", PVC, lambda d: transformer(d)["securityContext"].pop("runAsNonRoot"), "runAsNonRoot"),
    (
        "escalation",
        PVC,
        lambda d: triton(d)["securityContext"].pop("allowPrivilegeEscalation"),
        "allowPrivilegeEscalation",
    ),
    ("capabilities", PVC, lambda d: triton(d)["securityContext"].pop("capabilities"), "capabilities"),
    ("seccomp", PVC, lambda d: triton(d)["securityContext"].pop("seccompProfile"), "seccompProfile"),
    ("no requests", PVC, lambda d: transformer(d).pop("resources"), "resources"),
    ("small shared memory", PVC, lambda d: triton(d)["volumeMounts"].pop(0), "volumeMounts"),
    ("Triton leaves first", PVC, lambda d: triton(d).pop("lifecycle"), "preStop"),
    ("killed while it drains", PVC, lambda d: predictor(d).update(terminationGracePeriodSeconds=30), "GracePeriod"),
    # --- Knative
    ("a pod's context", KNATIVE, lambda d: predictor(d).update(securityContext={"fsGroup": 1}), "securityContext"),
    ("two ports", KNATIVE, lambda d: transformer(d)["ports"].append({"containerPort": 1}), "ports"),
    ("Triton's probe", KNATIVE, lambda d: triton(d).update(livenessProbe=transformer(d)["livenessProbe"]), "liveness"),
    (
        "a field's value",
        KNATIVE,
        lambda d: triton(d)["env"].append({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}),
        "env",
    ),
    (
        "a hook of Triton",
        KNATIVE,
        lambda d: triton(d).update(lifecycle={"preStop": {"sleep": {"seconds": 9}}}),
        "lifecycle",
    ),
    ("a hook", KNATIVE, lambda d: transformer(d).update(lifecycle={"preStop": {"sleep": {"seconds": 9}}}), "lifecycle"),
    ("a toleration", KNATIVE, lambda d: predictor(d).update(tolerations=[{"operator": "Exists"}]), "tolerations"),
    (
        "a claim",
        KNATIVE,
        lambda d: predictor(d).update(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "v"}}]),
        "volumes.v.persistentVolumeClaim",
    ),
    ("impatient with a first pod", KNATIVE, lambda d: predictor(d).update(timeout=35), "spec.predictor.timeout"),
    ("a strategy", KNATIVE, lambda d: predictor(d).update(deploymentStrategy={"type": "Recreate"}), "Strategy"),
    # --- placement, access
    ("any architecture", PVC, lambda d: predictor(d).pop("nodeSelector"), "spec.predictor.nodeSelector"),
    ("one GPU too many", "gpu", lambda d: predictor(d).pop("deploymentStrategy"), "deploymentStrategy"),
    ("no queue-proxy", KNATIVE, lambda d: of(d, "NetworkPolicy")["spec"]["ingress"][0]["ports"].pop(3), "spec.ingress"),
    (
        "a node selector in Knative",
        KNATIVE,
        lambda d: predictor(d).update(nodeSelector={"kubernetes.io/arch": "amd64"}),
        "spec.predictor.nodeSelector",
    ),
    (
        "a colon in an Exact path",
        "ingress",
        lambda d: of(d, "Ingress")["spec"]["rules"][0]["http"]["paths"][1].update(pathType="Exact"),
        "http.paths",
    ),
    (
        "a public load balancer",
        "load-balancer",
        lambda d: of(d, "Service", "cars-http")["spec"].pop("loadBalancerSourceRanges"),
        "loadBalancerSourceRanges",
    ),
    (
        "a public gateway",
        "gke",
        lambda d: of(d, "Gateway")["spec"].pop("infrastructure"),
        "envoyService.loadBalancerSourceRanges",
    ),
    ("Envoy's settings lost", "gateway", lambda d: of(d, "EnvoyProxy")["spec"].pop("mergeType"), "spec.mergeType"),
    (
        "tokens in plain HTTP",
        "cors-jwt",
        lambda d: of(d, "HTTPRoute", "modelport-cars")["spec"]["parentRefs"][0].pop("sectionName"),
        "spec.parentRefs.sectionName",
    ),
    (
        "gRPC tokens in plain HTTP",
        "production",
        lambda d: of(d, "GRPCRoute", "modelport-cars")["spec"]["parentRefs"][0].update(sectionName="http"),
        "spec.parentRefs.sectionName",
    ),
    (
        "a certificate that signs for itself",
        "cors-jwt",
        lambda d: of(d, "Certificate", "modelport")["spec"]["issuerRef"].update(name="modelport-self"),
        "spec.isCA",
    ),
    (
        "an authority without a name",
        "production",
        lambda d: of(d, "Certificate", "modelport-authority")["spec"].pop("commonName"),
        "spec.commonName",
    ),
    *(
        (
            f"{kind} that nobody reads",
            "monitoring",
            lambda d, kind=kind: of(d, kind)["metadata"].pop("labels"),
            "release",
        )
        for kind in ("PodMonitor", "PrometheusRule")
    ),
    # --- storage
    ("a claim that nothing fills", PVC, lambda d: claim(d)["spec"].update(accessModes=["ReadOnlyMany"]), "accessModes"),
    ("no claim", PVC, lambda d: d.remove(claim(d)), "model.storageUri"),
    ("two nodes, one volume", FALLBACK, lambda d: light(d).pop("affinity"), "spec.predictor.affinity.podAffinity"),
    # --- gateway
    ("no buffer", FALLBACK, lambda d: of(d, "ClientTrafficPolicy")["spec"].pop("connection"), "bufferLimit"),
    (
        "Envoy's buffer",
        FALLBACK,
        lambda d: of(d, "ClientTrafficPolicy")["spec"]["connection"].update(bufferLimit="32Ki"),
        "bufferLimit",
    ),
    ("no retry", FALLBACK, lambda d: policy(d).pop("retry"), "spec.retry"),
    ("no time for a try", FALLBACK, lambda d: policy(d)["retry"].pop("perRetry"), "perRetry"),
    ("the same pods again", FALLBACK, lambda d: policy(d)["retry"].update(numAttemptsPerPriority=2), "Attempts"),
    ("three at a time", FALLBACK, lambda d: policy(d).pop("circuitBreaker"), "maxParallelRetries"),
    ("panic in a fallback", FALLBACK, lambda d: policy(d)["healthCheck"].pop("panicThreshold"), "panicThreshold"),
    ("panic", "gateway", lambda d: everywhere(d).pop("healthCheck"), "panicThreshold"),
    ("no time to try again", "gateway", lambda d: everywhere(d).pop("responseOverride"), "responseOverride"),
    ("of pods only", "gateway", lambda d: everywhere(d)["responseOverride"][0].update(source="Backend"), "Override"),
    ("a policy not merged", FALLBACK, lambda d: policy(d).pop("mergeType"), "responseOverride"),
    (
        "a ClusterIP as a Backend",
        FALLBACK,
        lambda d: of(d, "Service", "classifier-light-pods")["spec"].pop("clusterIP"),
        "spec.endpoints.0.fqdn",
    ),
    ("a Service's port at a pod", FALLBACK, lambda d: endpoint(d).update(port=80), "spec.endpoints.0.fqdn"),
    (
        "a Backend in another namespace",
        FALLBACK,
        lambda d: endpoint(d).update(hostname="classifier-pods.other.svc.cluster.local"),
        "spec.endpoints.0.fqdn",
    ),
    ("a small window", FALLBACK, lambda d: of(d, "ClientTrafficPolicy")["spec"].pop("http2"), "StreamWindowSize"),
    (
        "a gRPC backend that is not",
        "gateway",
        lambda d: of(d, "GRPCRoute", "modelport-cars")["spec"]["rules"][0]["backendRefs"][0].update(name="x"),
        "backendRefs",
    ),
    ("no ejection", FALLBACK, lambda d: policy(d)["healthCheck"].pop("passive"), "passive"),
    (
        "a Service beside it",
        FALLBACK,
        lambda d: of(d, "HTTPRoute", "modelport-classifier")["spec"]["rules"][0]["backendRefs"].append(
            {"name": "classifier-http", "port": 80}
        ),
        "backendRefs",
    ),
    (
        "a GatewayClass",
        "gateway",
        lambda d: d.extend(yaml.safe_load_all((MANIFESTS / "gateway-class.yaml").read_text())),
        "kind",
    ),
    ("KServe's route", "gateway", lambda d: of(d, "HTTPRoute")["metadata"].update(name="cars"), "metadata.name"),
    (
        "KServe's other route",
        "gateway",
        lambda d: of(d, "HTTPRoute")["metadata"].update(name="cars-predictor"),
        "metadata.name",
    ),
    (
        "a way past the gateway",
        "production",
        lambda d: of(d, "InferenceService", "classifier-light")["metadata"]["labels"].popitem(),
        "metadata.labels.networking.kserve.io/visibility",
    ),
    ("a backend that is not", "gateway", lambda d: d.remove(of(d, "Service", "cars-http")), "backendRefs"),
    ("a policy for nothing", "gateway", lambda d: d.remove(of(d, "Gateway")), "spec.targetRefs"),
    ("a budget for nothing", PVC, lambda d: d.remove(detector(d)), "spec.selector.matchLabels"),
    ("a graph without root", PVC, lambda d: add(d, "InferenceGraph", {"nodes": {}}), "spec.nodes"),
    (
        "weights of 90",
        PVC,
        lambda d: add(d, "InferenceGraph", {"nodes": {"root": {"routerType": "Splitter", "steps": [{"weight": 90}]}}}),
        "spec.nodes.root.steps",
    ),
    ("a placeholder", PVC, lambda d: predictor(d)["model"].update(storageUri="s3://REPLACE_ME/x"), "(document)"),
]


@pytest.mark.parametrize("overlay", overlays())
def test_every_overlay_is_clean(overlay, rendered):
    assert [str(finding) for finding in lint(rendered(overlay))] == []


@pytest.mark.parametrize(
    ("overlay", "values"),
    [
        pytest.param(
            "cors-jwt", {"app.example.com", "issuer.example.com", "modelport.example.com"}, id="host, origin and issuer"
        ),
        pytest.param("storage-oci", {"registry.example.com"}, id="registry"),
        pytest.param("storage-s3", {"s3://modelport-models"}, id="s3 bucket"),
        pytest.param("storage-gcs", {"gs://modelport-models"}, id="gcs bucket"),
        pytest.param("local", set(), id="none"),
    ],
)
def test_what_the_user_must_replace_is_named(overlay, values, rendered):
    found = {finding.problem.split("'")[1] for finding in placeholders(rendered(overlay))}
    assert found == values


@pytest.mark.parametrize(("overlay", "change", "field"), [pytest.param(*m[1:], id=m[0]) for m in MUTATIONS])
def test_each_trap_is_named_with_its_field(overlay, change, field, rendered):
    documents = rendered(overlay)
    change(documents)
    findings = lint(documents)
    assert any(field in finding.field for finding in findings), [str(finding) for finding in findings]
    assert all(finding.problem and finding.fix for finding in findings)
