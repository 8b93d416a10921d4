"""`modelport deploy|undeploy OVERLAY`: apply an overlay to the cluster of the current context, or remove it.

Nothing is applied before the overlay has been rendered and checked, the cluster has answered, and its API server and
webhooks have accepted everything in a dry run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from modelport.arguments import errors_in_one_line
from modelport.environment import say
from modelport.manifests.canary_end import retire_canaries
from modelport.manifests.canary_start import stable_first, with_stable
from modelport.manifests.cluster import ClusterError, kubectl_json, kubectl_text, require_cluster, served_kinds
from modelport.manifests.findings import Document, at, of
from modelport.manifests.judged import JUDGED, judged, refusals, to_be_judged
from modelport.manifests.lint import lint
from modelport.manifests.pods import MODE, pods
from modelport.manifests.rendering import RenderError, dump, render
from modelport.manifests.storage_rules import placeholders

PART_OF = "app.kubernetes.io/part-of"
# What an overlay may leave behind when another one follows. Volumes, Jobs and Secrets are never touched.
PRUNED = (
    *("/Service", "/ServiceAccount", "/ConfigMap", "networking.k8s.io/NetworkPolicy", "networking.k8s.io/Ingress"),
    *("policy/PodDisruptionBudget", "serving.kserve.io/InferenceService", "serving.kserve.io/ServingRuntime"),
    *(f"gateway.networking.k8s.io/{kind}" for kind in ("Gateway", "HTTPRoute", "GRPCRoute")),
    *(f"gateway.envoyproxy.io/{kind}Policy" for kind in ("BackendTraffic", "ClientTraffic", "Security")),
    *("gateway.envoyproxy.io/Backend", "gateway.envoyproxy.io/EnvoyProxy"),
    *("cert-manager.io/Certificate", "cert-manager.io/Issuer"),
    *("monitoring.coreos.com/PodMonitor", "monitoring.coreos.com/PrometheusRule"),
    "autoscaling.k8s.io/VerticalPodAutoscaler",
)
# KServe makes the new autoscaler of a service, and leaves the one of its former class.
AUTOSCALERS = {"autoscaling/HorizontalPodAutoscaler": "hpa", "keda.sh/ScaledObject": "keda"}
SERVICE = "InferenceService"
KSERVE = f"serving.kserve.io/{SERVICE}"
READY_TIMEOUT = "20m"


def deploy(overlay: str, prune: bool) -> None:
    """Apply an overlay.

    Args:
        overlay: its name.
        prune: delete what another overlay left, instead of refusing.

    Raises:
        RenderError: there is no such overlay, or it cannot be rendered.
        ClusterError: there is no cluster, or it refuses; nothing, or the whole overlay, is applied.
    """
    documents = checked(overlay)
    server = require_cluster()
    say(f"deploying {overlay} to {server}")
    kinds = served_kinds()
    if KSERVE not in kinds:
        raise ClusterError("KServe is not installed there: see docs/deploy.md")
    present = _services(documents)
    for problem in (*mode_changes(documents, present), *refusals(documents, present, _jobs(documents))):
        raise ClusterError(problem)
    leftovers = left_over(documents, _declared_before(documents, kinds)) if list(of(documents, SERVICE)) else []
    if leftovers and not prune:
        raise ClusterError(
            f"{overlay} does not declare what another overlay left: {', '.join(leftovers)}. Delete these with "
            "PRUNE=1 (modelport deploy --prune), or remove the other overlay first with `make undeploy OVERLAY=name`"
        )
    base = [dict(document) for document in of(documents, "Namespace")]
    taken = {name for name, service in present.items() if judged(service)}
    if base:
        _apply(base, taken)
    _apply(documents, taken, "--dry-run=server")
    first = stable_first(documents, present)
    if first:
        say(f"the cluster has no stable release yet: applying it first, for {', '.join(map(_name, first))}")
        _apply(with_stable(documents, first), taken)
        for service in first:
            kubectl_text("wait", *_of(service), "--for=condition=Ready", f"--timeout={READY_TIMEOUT}")
    for name in retire_canaries(documents, present):
        say(f"the canary of {name} gets no more traffic")
    say(_apply(documents, taken), end="")
    for name in leftovers:
        say(kubectl_text("delete", name, *_namespace(documents), "--ignore-not-found"), end="")
    for name in former_autoscalers(documents, _autoscalers(documents, kinds)):
        say(kubectl_text("delete", name, *_namespace(documents), "--ignore-not-found"), end="")


def undeploy(overlay: str) -> None:
    """Delete what an overlay declares, its namespace included.

    Raises:
        RenderError: there is no such overlay, or it cannot be rendered.
        ClusterError: there is no cluster, or something could not be deleted in time.
    """
    documents = render(overlay)
    say(f"removing {overlay} from {require_cluster()}")
    kinds = served_kinds()
    known = [document for document in documents if _kind(document) in kinds]
    say(kubectl_text("delete", "--ignore-not-found", "--timeout=5m", "-f", "-", stdin=dump(known)), end="")


def checked(overlay: str) -> list[dict[str, Any]]:
    """The documents of an overlay, labelled as ours.

    Raises:
        RenderError: it cannot be rendered, has findings, or has placeholders.
    """
    documents = render(overlay)
    findings = [*lint(documents), *placeholders(documents)]
    if findings:
        raise RenderError("\n".join([f"{overlay} cannot be deployed:", *map(str, findings)]))
    # an overlay without services, such as batch, stands beside another one, which is not to prune it
    part = "modelport" if list(of(documents, SERVICE)) else f"modelport-{overlay}"
    for document in documents:
        document["metadata"].setdefault("labels", {})[PART_OF] = part
    return documents


def mode_changes(documents: Sequence[Document], present: Mapping[str, Document]) -> Iterator[str]:
    """Why services that are there cannot become what is declared: KServe never changes a service's mode."""
    for service in of(documents, SERVICE):
        there = at(present.get(_name(service), {}), "status.deploymentMode")
        wanted = at(service, "metadata.annotations", {}).get(MODE)
        if there not in (None, wanted):
            yield (
                f"{_name(service)} runs in {there} mode, and KServe does not change the mode of a service to {wanted}: "
                "remove the overlay that is there first with `make undeploy OVERLAY=name`"
            )


def left_over(documents: Sequence[Document], present: Sequence[Document]) -> list[str]:
    """RESOURCE/NAME of our objects in the cluster that the documents do not declare."""
    declared = {(_kind(document), _name(document)) for document in documents}
    return [
        f"{_kind(found).rpartition('/')[2].lower()}/{_name(found)}"
        for found in present
        if (_kind(found), _name(found)) not in declared and not at(found, "metadata.ownerReferences")
    ]


def former_autoscalers(documents: Sequence[Document], present: Sequence[Document]) -> list[str]:
    """RESOURCE/NAME of autoscalers that KServe made for services whose autoscaler is of another class now."""
    classes = {pod.name: pod.autoscaler for pod in pods(documents)}
    found = []
    for autoscaler in present:
        kind = _kind(autoscaler)
        owners = [o["name"] for o in at(autoscaler, "metadata.ownerReferences", []) if o["kind"] == "InferenceService"]
        if any(classes.get(owner) not in (None, AUTOSCALERS[kind]) for owner in owners):
            found.append(f"{kind.rpartition('/')[2].lower()}/{_name(autoscaler)}")
    return found


def _apply(documents: Sequence[dict[str, Any]], taken: Collection[str], *options: str) -> str:
    """Apply documents on the server; those of services whose names are `taken` also where a judge manages fields."""
    forced = [one for one in documents if one["kind"] == SERVICE and _name(one) in taken]
    parts = ([one for one in documents if one not in forced], ()), (forced, ("--force-conflicts",))
    command = ("apply", "--server-side", *options, "-f", "-")
    return "".join(kubectl_text(*command, *force, stdin=dump(part)) for part, force in parts if part)


def _jobs(documents: Sequence[Document]) -> list[Document]:
    """The judges' Jobs."""
    return list(kubectl_json("get", "jobs.batch", *_namespace(documents), "-l", JUDGED)["items"])


def _services(documents: Sequence[Document]) -> dict[str, Document]:
    """The InferenceServices in the cluster that have the names of declared ones, or are to be judged."""
    names = [*(_name(service) for service in of(documents, SERVICE)), *to_be_judged(documents)]
    if not names:
        return {}
    command = ("get", "inferenceservices.serving.kserve.io", *names, *_namespace(documents))
    found = kubectl_json(*command, "--ignore-not-found", "--show-managed-fields")
    return {_name(service): service for service in found.get("items", [found])}


def _declared_before(documents: Sequence[Document], kinds: Mapping[str, str]) -> list[Document]:
    resources = ",".join(kinds[kind] for kind in PRUNED if kind in kinds)
    return list(kubectl_json("get", resources, *_namespace(documents), "-l", f"{PART_OF}=modelport")["items"])


def _autoscalers(documents: Sequence[Document], kinds: Mapping[str, str]) -> list[Document]:
    resources = ",".join(kinds[kind] for kind in AUTOSCALERS if kind in kinds)
    return list(kubectl_json("get", resources, *_namespace(documents))["items"])


def _namespace(documents: Sequence[Document]) -> tuple[str, str]:
    found = [at(document, "metadata.name") for document in of(documents, "Namespace")]
    return "-n", next(iter(found), at(documents[0], "metadata.namespace"))


def _of(service: Document) -> tuple[str, ...]:
    return f"inferenceservice/{_name(service)}", "-n", at(service, "metadata.namespace")


def _name(document: Document) -> str:
    return str(at(document, "metadata.name"))


def _kind(document: Document) -> str:
    """GROUP/KIND; the group of core kinds is empty."""
    group, _, _ = document.get("apiVersion", "").rpartition("/")
    return f"{group}/{document.get('kind')}"


@errors_in_one_line()
def main() -> int:
    """Exit status 1 where something was refused; the line says what to do."""
    parser = argparse.ArgumentParser(prog="modelport", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in (("deploy", "apply an overlay"), ("undeploy", "remove an overlay")):
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("overlay", help="name under manifests/overlays")
        if name == "deploy":
            command.add_argument("--prune", action="store_true", help="delete what another overlay left")
    options = parser.parse_args()
    if options.command == "deploy":
        deploy(options.overlay, options.prune)
    else:
        undeploy(options.overlay)
    return 0


if __name__ == "__main__":
    sys.exit(main())
