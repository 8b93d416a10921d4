"""`modelport init-cluster`: write an overlay of your own, with your registry, your bucket and the services you name."""

import argparse
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelport.arguments import errors_in_one_line, names
from modelport.environment import say
from modelport.manifests.images import REGISTRY, TAG
from modelport.manifests.lint import lint
from modelport.manifests.rendering import MANIFESTS, RenderError, render
from modelport.manifests.storage_rules import placeholders
from modelport.services import load

CLAIM = "pvc"
AZURE = ".blob.core.windows.net"
# By the URL's scheme: the component, the key of its ConfigMap `storage`, and scheme and place as KServe reads them.
STORAGE: Mapping[str, tuple[str, str, str, Callable[[str], str]]] = {
    "s3": ("storage-bucket", "bucket", "s3:", str),
    "gs": ("storage-bucket", "bucket", "gs:", str),
    "az": ("storage-bucket", "bucket", "https:", lambda place: "/".join(reversed(place.split("@")))),
    "oci": ("storage-registry", "registry", "oci+native:", str),
}
PLACES = {"s3": r"[^/]+", "gs": r"[^/]+", "az": rf"[^/@]+@[^/@]+{re.escape(AZURE)}", "oci": r"[^/]+(/[^/]+)*"}
# Components in the order in which an overlay must list them: what changes services comes after what adds some.
ORDER = (
    *("gateway", "fallback", "tls", "cors", "jwt", "rate-limit", "small"),
    *(
        "hpa",
        "keda",
        "knative",
        "vpa",
        "gpu",
        "storage",
        "model-cache",
        "canary-standard",
        "canary-knative",
        "load-balancer",
    ),
    *("node-port", "ingress", "egress", "pull-secret", "require-signature", "image-policy", "tracing"),
    *("pod-monitor", "gateway-monitor", "alerts", "dashboard"),
)
NEEDS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("fallback", "tls", "cors", "rate-limit", "gateway-monitor"), ("gateway",)),
    "jwt": ("gateway", "tls", "cors"),
    "keda": ("pod-monitor",),
}


@dataclass(frozen=True)
class Wanted:
    """What the overlay is to be."""

    registry: str  # where both images are: what stands before /modelport-transformer
    tag: str  # of the images
    storage: str  # s3://BUCKET, gs://BUCKET, az://CONTAINER@ACCOUNT.blob.core.windows.net, oci://REGISTRY or pvc
    services: tuple[str, ...]  # names; the others are left out
    components: tuple[str, ...]  # names of components beside storage
    namespace: str  # in which all stands
    # host, issuer, origin: the values of tls, jwt and cors; None where they are not wanted
    host: str | None
    issuer: str | None
    origin: str | None


def overlay(wanted: Wanted, declared: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The files of an overlay, by name.

    Args:
        wanted: what it is to be.
        declared: the names of all services.
    """
    files: dict[str, dict[str, Any]] = {}
    scheme, _, place = wanted.storage.partition("://")
    storage = ["storage-pvc"]
    if scheme != CLAIM:
        component, key, written, spelt = STORAGE[scheme]
        storage = [component]
        files["storage.yaml"] = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "storage",
                "namespace": "modelport",
                "annotations": {"config.kubernetes.io/local-config": "true"},
            },
            "data": {"scheme": written, key: spelt(place)},
        }
    names = {*wanted.components, *(need for name in wanted.components for need in NEEDS.get(name, ()))}
    components = [c for name in ORDER for c in (storage if name == "storage" else [name] if name in names else [])]
    kustomization: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": wanted.namespace,
        "resources": ["../../base", *files],
        "components": [f"../../components/{name}" for name in components],
        "images": [
            {"name": f"modelport-{name}", "newName": f"{wanted.registry}/modelport-{name}", "newTag": wanted.tag}
            for name in ("transformer", "triton")
        ],
    }
    patches = [*_without([name for name in declared if name not in wanted.services]), *_values(wanted)]
    moved = _moved(components) if wanted.namespace != "modelport" else []
    return {"kustomization.yaml": {**kustomization, **_given(patches=patches, replacements=moved)}, **files}


def _without(services: Sequence[str]) -> list[dict[str, Any]]:
    """Patches that delete what belongs to services."""
    name = f"(modelport-)?({'|'.join(services)})(-light)?(-http|-pods|-grpc|-fallback)?([.].*)?"
    kinds = "InferenceService|PodDisruptionBudget|Service|HTTPRoute|GRPCRoute|Backend|BackendTrafficPolicy"
    target = {"kind": f"({kinds}|VerticalPodAutoscaler|LocalModelCache)", "name": name}
    return [{"target": target, "patch": "$patch: delete\nkind: any\nmetadata: {name: any}\n"}] if services else []


def _values(wanted: Wanted) -> list[dict[str, Any]]:
    """Patches that put the user's values in the places of the examples'."""
    patches = []
    if wanted.host:
        patches.append(_replace("Certificate", {"/spec/dnsNames/0": wanted.host}))
    if wanted.origin:
        patches.append(_replace("SecurityPolicy", {"/spec/cors/allowOrigins/0": wanted.origin}))
    if wanted.issuer:
        keys = f"{wanted.issuer.rstrip('/')}/.well-known/jwks.json"
        provider = "/spec/jwt/providers/0"
        values = {f"{provider}/issuer": wanted.issuer, f"{provider}/remoteJWKS/uri": keys}
        patches.append(_replace("SecurityPolicy", values))
    return patches


def _replace(kind: str, values: Mapping[str, str]) -> dict[str, Any]:
    operations = [{"op": "replace", "path": path, "value": value} for path, value in values.items()]
    return {"target": {"kind": kind, "name": "modelport"}, "patch": yaml.safe_dump(operations, sort_keys=False)}


def _moved(components: Sequence[str]) -> list[dict[str, Any]]:
    """Replacements of the namespace where kustomize does not look for it."""
    places = {
        "fallback": ("Backend", "spec.endpoints.0.fqdn.hostname", {"delimiter": ".", "index": 1}),
        "gateway-monitor": (
            "PodMonitor",
            "spec.selector.matchLabels.[gateway.envoyproxy.io/owning-gateway-namespace]",
            None,
        ),
    }
    targets = []
    for component in components:
        if component in places:
            kind, field, options = places[component]
            select = {"kind": kind, **({"name": "modelport-gateway"} if kind == "PodMonitor" else {})}
            targets.append({"select": select, "fieldPaths": [field], **_given(options=options)})
    source = {"kind": "Namespace", "fieldPath": "metadata.name"}
    return [{"source": source, "targets": targets}] if targets else []


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _given(**entries: Any) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if value}


def write(wanted: Wanted, name: str, command: str, manifests: Path = MANIFESTS) -> Path:
    """Write an overlay, and check that it renders without findings and placeholders.

    Returns:
        Its folder.

    Raises:
        RenderError: there is one of this name, or it would not be right; nothing is left then.
    """
    folder = manifests / "overlays" / name
    if folder.exists():
        raise RenderError(f"{folder} exists already: edit it, remove it, or choose another --name")
    folder.mkdir()
    try:
        for file, content in overlay(wanted, list(load())).items():
            text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=120)
            (folder / file).write_text(f"# Written by `{command}`; yours to edit.\n{text}")
        documents = render(name, manifests)
        wrong = [str(finding) for finding in (*placeholders(documents), *lint(documents))]
        if wrong:
            raise RenderError("\n".join(["the overlay would not be right:", *wrong]))
    except BaseException:
        shutil.rmtree(folder)
        raise
    return folder


def parse(arguments: Sequence[str] | None = None) -> tuple[Wanted, str]:
    """The command line: what is wanted, and the overlay's name."""
    declared = tuple(load())
    parser = argparse.ArgumentParser(prog="modelport init-cluster", description=__doc__)
    parser.add_argument("--registry", required=True, help="where both images are, as in ghcr.io/me")
    parser.add_argument("--tag", default="0.1.0", help="of the images (default: 0.1.0)")
    parser.add_argument(
        "--bucket",
        default=CLAIM,
        help=f"where the models are: s3://BUCKET (or BUCKET alone), gs://BUCKET, az://CONTAINER@ACCOUNT{AZURE}, "
        "oci://REGISTRY (default: pvc, a volume of the cluster)",
    )
    parser.add_argument("--services", default=",".join(declared), help="names with commas between (default: all)")
    parser.add_argument("--with", dest="components", default="", help=f"components: {', '.join(ORDER)}")
    parser.add_argument("--name", default="mine", help="of the overlay (default: mine)")
    parser.add_argument("--namespace", default="modelport", help="default: modelport")
    parser.add_argument("--host", help="name in the certificate, for tls")
    parser.add_argument("--issuer", help="https:// address of the tokens' issuer, for jwt")
    parser.add_argument("--origin", help="https:// address of the web application, for cors")
    options = parser.parse_args(arguments)

    def refuse(problem: str) -> None:
        parser.error(problem)

    services, components = names(options.services), names(options.components)
    bucket = options.bucket if "://" in options.bucket or options.bucket == CLAIM else f"s3://{options.bucket}"
    scheme, _, place = bucket.partition("://")
    unknown = [name for name in services if name not in declared] or ([] if services else ["none"])
    if unknown:
        refuse(f"--services: {', '.join(unknown)} is not in services.yaml: choose from {', '.join(declared)}")
    strange = [name for name in components if name not in ORDER or name == "storage"]
    if strange:
        refuse(f"--with: {', '.join(strange)} is no component to choose: see --help")
    if bucket != CLAIM and not re.fullmatch(PLACES.get(scheme, ""), place):
        refuse(
            f"--bucket: write s3://BUCKET, gs://BUCKET, az://CONTAINER@ACCOUNT{AZURE}, oci://REGISTRY or pvc, "
            "and nothing more"
        )
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", options.name):
        refuse("--name: use small letters, digits and dashes")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", options.namespace):
        refuse("--namespace: use small letters, digits and dashes, at most 63")
    if not REGISTRY.fullmatch(options.registry):
        refuse("--registry: write it as in ghcr.io/me, without https://")
    if not TAG.fullmatch(options.tag):
        refuse(f"--tag: {options.tag!r} is not a tag to pin: write a version")
    for value, option, wanting in (
        (options.host, "--host NAME", ("tls", "jwt")),
        (options.issuer, "--issuer URL", ("jwt",)),
        (options.origin, "--origin URL", ("cors", "jwt")),
    ):
        wanted_by = [name for name in wanting if name in components]
        if wanted_by and not value:
            refuse(f"{wanted_by[0]} needs {option}")
        if value and not wanted_by:
            refuse(f"{option} is for --with {wanting[0]}")
    values = (options.host, options.issuer, options.origin)
    registry = options.registry.rstrip("/")
    wanted = Wanted(registry, options.tag, bucket, services, components, options.namespace, *values)
    return wanted, options.name


@errors_in_one_line()
def main() -> int:
    """Exit status 1 where the overlay would not be right, 2 for wrong options."""
    wanted, name = parse()
    folder = write(wanted, name, shlex.join(["modelport", "init-cluster", *sys.argv[1:]]))
    say(f"written: {folder.relative_to(MANIFESTS.parent)}. Then:")
    to = f"pvc --overlay {name}" if wanted.storage == CLAIM else wanted.storage
    for service in wanted.services:
        if wanted.storage.startswith("oci:"):
            say(f"  modelport publish {service} --to oci:///PATH, and push the image: docs/releases.md")
        else:
            say(f"  modelport publish {service} --release initial --to {to}")
    say(f"  make deploy OVERLAY={name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
