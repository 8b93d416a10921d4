"""What overlays promise beyond the linter's rules: canaries follow the release file, names stand once."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from kserve_transformers.predictor.limits import DEFAULT_LIMITS
from kserve_transformers.service_spec import ServiceSpec
from modelport.manifests.findings import at
from modelport.manifests.pods import flag, pods
from modelport.manifests.rendering import documents, kubectl, serving
from modelport.services import load

Documents = list[dict[str, Any]]
MANIFESTS = Path(__file__).parents[2] / "manifests"
OPERATE = MANIFESTS.parent / "docs" / "operate.md"
COMPONENTS = {path.parent.name for path in (MANIFESTS / "components").glob("*/kustomization.yaml")}


def render_with(
    tmp_path: Path, overlay: str, kinds: tuple[str, ...] = ("InferenceService",), **releases: str
) -> dict[str, dict[str, Any]]:
    """The specs of an overlay's InferenceServices, or other kinds, after the release file was edited."""
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    file = tmp_path / "manifests" / "releases" / "releases.yaml"
    content = yaml.safe_load(file.read_text())
    content["data"].update({key.replace("_", "-"): value for key, value in releases.items()})
    file.write_text(yaml.safe_dump(content))
    folder = tmp_path / "manifests" / "overlays" / overlay
    text = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=True).stdout
    return {d["metadata"]["name"]: d["spec"] for d in documents(text) if d["kind"] in kinds}


def test_both_canary_forms_follow_the_release_file(tmp_path):
    edit = {"cars_stable": "r1", "cars_canary": "r2", "cars_percent": "25", "detector_percent": "0"}
    standard = render_with(tmp_path / "s", "canary-standard", **edit)
    knative = render_with(tmp_path / "k", "canary-knative", **edit)

    assert standard["cars"]["predictor"]["model"]["storageUri"] == "s3://modelport-models/cars/r1"
    (canary,) = standard["cars"]["canary"]
    assert canary["trafficPercent"] == 25
    assert canary["predictor"]["model"]["storageUri"] == "s3://modelport-models/cars/r2"
    assert {name for name, spec in standard.items() if "canary" in spec} == {"cars"}

    assert knative["cars"]["predictor"]["canaryTrafficPercent"] == 25
    assert knative["cars"]["predictor"]["model"]["storageUri"] == "s3://modelport-models/cars/r2"
    assert {name for name, spec in knative.items() if "canaryTrafficPercent" in spec["predictor"]} == {"cars"}


def test_a_canary_starts_and_ends_without_a_change_of_the_stable_predictor(tmp_path):
    before = render_with(tmp_path / "0", "canary-standard", cars_canary="r2", cars_percent="0")["cars"]
    during = render_with(tmp_path / "10", "canary-standard", cars_canary="r2", cars_percent="10")["cars"]
    assert during.pop("canary")
    assert during == before


@pytest.mark.parametrize("overlay", serving())
def test_every_service_is_there_with_its_transformer(overlay, rendered):
    found = {pod.name: pod for pod in pods(rendered(overlay))}
    assert set(load()) <= set(found)
    served = {name: ServiceSpec.parse(flag(pod.transformer, "--service") or "") for name, pod in found.items()}
    for service, declared in load().items():
        first, light = served[service], served.get(f"{service}-light")
        assert replace(first, models=first.models + (light.models if light else ())) == declared
        assert light is None or (light.name, len(first.models)) == (service, 1)
        assert f"/{service}" in found[service].triton.get("storageUri", "")


# For each probe: the container, the path, the seconds until it acts, and the timeout of one of its requests.
PROBES = {
    "startup, transformer": ("/v2/health/live", 120, 5),
    "startup, Triton": ("/v2/health/ready", 600, 5),
    "readiness, transformer": ("/v2/health/ready", 4, 5),
    "readiness, Triton": ("/metrics", 15, 5),
    "liveness, transformer": ("/v2/health/live", 180, 20),
    "liveness, Triton": ("/v2/health/ready", 180, 20),
}


@pytest.mark.parametrize("overlay", serving())
def test_probes_have_the_patience_that_the_document_names(overlay, rendered):
    """Knative's mode leaves out those of Triton. A restart waits for three times all patience with a model."""
    rows = dict(re.findall(r"(?m)^\| ((?:startup|readiness|liveness), \w+) \| (.*)", OPERATE.read_text()))
    assert rows.keys() == PROBES.keys()
    for pod in pods(rendered(overlay)):
        for name, (path, patience_s, timeout_s) in PROBES.items():
            kind, _, container = name.partition(", ")
            probe = (pod.triton if container == "Triton" else pod.transformer).get(f"{kind}Probe")
            if container == "Triton" and pod.mode == "Knative":
                assert probe is None
                continue
            assert probe["httpGet"]["path"] == path
            assert probe["periodSeconds"] * probe.get("failureThreshold", 3) == patience_s
            assert probe["timeoutSeconds"] == timeout_s
            words = f"{patience_s // 60} minutes" if patience_s >= 60 else f"{patience_s} s"
            assert f"{words}, timeout {timeout_s} s" in rows[name]
            assert path in rows[name] or path == "/metrics"
    assert PROBES["liveness, Triton"][1] >= 3 * DEFAULT_LIMITS.patience_max_s


def test_the_page_is_off_in_production(rendered):
    off = {pod.name: "--no_page" in pod.transformer_arguments() for pod in pods(rendered("production"))}
    assert set(load()) <= set(off)
    assert all(off.values())


@pytest.mark.parametrize("overlay", serving())
def test_callers_from_outside_come_in_where_they_are_meant_to(overlay, rendered):
    documents = rendered(overlay)
    outside = {d["spec"].get("type") for d in documents if d["kind"] == "Service"} & {"NodePort", "LoadBalancer"}
    (policy,) = [d["spec"] for d in documents if d["kind"] == "NetworkPolicy" and "ingress" in d["spec"]]
    open_rules = [rule for rule in policy["ingress"] if "from" not in rule]
    assert [[port["port"] for port in rule["ports"]] for rule in open_rules] == ([[8080, 8081]] if outside else [])


def test_limits_and_closed_doors_hold_for_both_versions_of_ip(rendered):
    """A rule for 0.0.0.0/0 is not one for callers with IPv6: none would limit them, or let storage be reached."""
    found = rendered("production")
    (limited,) = [d for d in found if at(d, "spec.rateLimit.local")]
    rules = at(limited, "spec.rateLimit.local.rules")
    assert {at(rule, "clientSelectors.0.sourceCIDR.value") for rule in rules} == {"0.0.0.0/0", "::/0"}
    assert len({str(rule["limit"]) for rule in rules}) == 1
    (policy,) = [d for d in found if "Egress" in at(d, "spec.policyTypes", [])]
    blocks = [at(to, "ipBlock", {}) for rule in policy["spec"]["egress"] for to in rule.get("to", [])]
    everywhere = {block["cidr"]: set(block["except"]) for block in blocks if block.get("cidr", "").endswith("/0")}
    assert everywhere == {
        "0.0.0.0/0": {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"},
        "::/0": {"fc00::/7", "fe80::/10"},
    }


def test_each_release_has_a_cache_of_its_own(tmp_path):
    edited = render_with(tmp_path, "model-cache", cars_stable="r1", kinds=("LocalModelCache",))
    assert edited["cars.r1"]["sourceModelUri"] == "s3://modelport-models/cars/r1"
    assert set(edited) == {"cars.r1", *(f"{name}.initial" for name in load() if name != "cars")}


def test_each_component_is_used_and_has_its_line():
    lines = re.findall(r"(?m)^\| `([\w.-]+)` \|", (MANIFESTS / "README.md").read_text())
    used = re.findall(r"components/([\w.-]+)", "".join(p.read_text() for p in MANIFESTS.glob("*/*/kustomization.yaml")))
    parts = {"canary", "http-services", "every-service", "storage-bucket", "storage-registry", "pull-secret"}
    assert set(lines) == COMPONENTS
    assert len(lines) == len(set(lines))
    assert set(used) | parts >= COMPONENTS


def test_images_are_named_in_one_place():
    files = [path for path in MANIFESTS.rglob("*.yaml") if re.search(r"(?m)^\s+newTag:", path.read_text())]
    assert {str(path.parent.relative_to(MANIFESTS)) for path in files} == {"images", "components/triton-25.02"}
