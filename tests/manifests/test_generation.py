"""manifests/ is what services.yaml declares, and another service is a change of that file alone."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelport.manifests.generation import generate, stale, write
from modelport.manifests.lint import lint
from modelport.manifests.release_file import Choice, ReleaseFileError, completed, parse, read
from modelport.manifests.rendering import MANIFESTS, render, serving
from modelport.services import FILE, DeclarationError

HELMETS = {"task": "detection", "models": ["yolov3_tiny_helmets"]}
LETTERS = {"task": "digits", "models": ["wide_letters", "letters"], "fallback": {"requests": {"cpu": "1"}}}


def declare(folder: Path, services: Mapping[str, Any]) -> Path:
    """A copy of manifests/ as it is written from a declaration."""
    manifests, declaration = folder / "manifests", folder / "services.yaml"
    shutil.copytree(MANIFESTS, manifests)
    declaration.write_text(yaml.safe_dump({"services": services}, sort_keys=False))
    write(declaration, manifests)
    assert stale(declaration, manifests) == []
    return manifests


@pytest.fixture(scope="module")
def declared(tmp_path_factory):
    """manifests/ with a second detector, and a service whose chain has a fallback."""
    services = yaml.safe_load(FILE.read_text())["services"]
    return declare(tmp_path_factory.mktemp("declared"), {**services, "helmets": HELMETS, "letters": LETTERS})


def about(documents: list[dict[str, Any]], service: str) -> Iterator[str]:
    """All that an overlay says of a service, its name and its models written as NAME and MODELS."""
    names = {"helmets": "yolov3_tiny_helmets", "detector": "yolov3_tiny"}
    for document in documents:
        parts = document["spec"]["rules"][0]["http"]["paths"] if document["kind"] == "Ingress" else [document]
        for part in parts:
            text = yaml.safe_dump(part).replace(names[service], "MODELS").replace(service, "NAME")
            if "NAME" in text:
                yield text


def test_the_committed_files_are_what_services_yaml_declares():
    assert stale() == [], "run `make manifests`"


@pytest.mark.parametrize("overlay", serving())
def test_a_second_detector_is_deployed_as_the_first(overlay, declared):
    documents = render(overlay, declared)
    first, second = sorted(about(documents, "detector")), sorted(about(documents, "helmets"))
    assert len(second) >= 2
    if overlay.startswith("canary"):  # the release file gives the detector alone a canary
        first, second = ([text for text in texts if "kind: InferenceService" not in text] for texts in (first, second))
    ports = {f"nodePort: {30081 + index}" for index in range(7)}
    assert [_without(text, ports) for text in second] == [_without(text, ports) for text in first]
    assert [str(finding) for finding in lint(documents)] == []


def test_a_second_detector_can_have_a_canary(declared, tmp_path):
    manifests = tmp_path / "manifests"
    shutil.copytree(declared, manifests)
    file = manifests / "releases" / "releases.yaml"
    file.write_text(file.read_text().replace('helmets-percent: "0"', 'helmets-percent: "10"'))
    for overlay in ("canary-standard", "canary-knative"):
        documents = render(overlay, manifests)
        assert sorted(about(documents, "helmets")) == sorted(about(documents, "detector"))


def test_a_fallback_is_declared_in_a_line(declared):
    documents = {(d["kind"], d["metadata"]["name"]): d for d in render("fallback", declared)}
    (light,) = documents["InferenceService", "letters-light"]["spec"]["predictor"]["containers"]
    (first,) = documents["InferenceService", "letters"]["spec"]["predictor"]["containers"]
    assert light["args"][0] == "--service=letters=digits:letters"
    assert first["args"][0] == "--service=letters=digits:wide_letters"
    backends = documents["HTTPRoute", "modelport-letters"]["spec"]["rules"][0]["backendRefs"]
    assert [backend["name"] for backend in backends] == ["letters", "letters-light"]
    assert {("Backend", "letters-light"), ("BackendTrafficPolicy", "letters-fallback")} < set(documents)


def test_a_fallback_needs_a_second_model(tmp_path):
    declaration = tmp_path / "services.yaml"
    declaration.write_text(yaml.safe_dump({"services": {"helmets": {**HELMETS, "fallback": LETTERS["fallback"]}}}))
    with pytest.raises(DeclarationError, match="helmets has a fallback, but no second model"):
        generate(declaration)


def test_node_ports_follow_the_order_of_the_declaration(declared):
    ports = {
        d["metadata"]["name"]: d["spec"]["ports"][0]["nodePort"]
        for d in render("node-port", declared)
        if d["kind"] == "Service"
    }
    assert ports["detector-http"] == 30081
    assert (ports["helmets-http"], ports["letters-http"]) == (30086, 30087)
    kind = yaml.safe_load((declared / "kind.yaml").read_text())
    assert [m["hostPort"] for m in kind["nodes"][0]["extraPortMappings"]] == sorted(ports.values())


def test_a_service_that_is_no_longer_declared_leaves_nothing(declared, tmp_path, rendered):
    shutil.copytree(declared, tmp_path / "manifests")
    write(FILE, tmp_path / "manifests")
    for overlay in ("production", "local"):
        assert render(overlay, tmp_path / "manifests") == rendered(overlay)


def test_releases_that_serve_stay_when_services_come_and_go():
    former = '# kept\ndata:\n  cars-stable: r1  # kept\n  cars-canary: r2\n  cars-percent: "10"\n'
    text = completed(former, ["cars"])  # of a time without shadows
    assert text == former + '  cars-shadow: initial\n  cars-shadow-percent: "0"\n'
    longer = completed(text, ["helmets", "cars"])
    assert longer.startswith(text)
    assert parse(longer) == {"cars": Choice("r1", "r2", 10), "helmets": Choice("initial", "initial", 0)}
    assert completed(longer, ["cars"]) == text
    assert set(read()) == set(yaml.safe_load(FILE.read_text())["services"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("data: [", "correct it", id="no YAML"),
        pytest.param("data: {}\n", "correct it", id="another notation"),
        pytest.param(
            'data:\n  a-stable: a\n  a-canary: a\n  a-percent: "0"\nkind: x\n', "correct it", id="more after it"
        ),
        pytest.param('data: {a-stable: a, a-canary: a, a-percent: "0"}\n', "plain lines", id="not removed"),
    ],
)
def test_a_release_file_that_cannot_be_completed_is_refused(text, message):
    with pytest.raises(ReleaseFileError, match=message):
        completed(text, [] if message == "plain lines" else ["cars"])


def _without(text: str, words: set[str]) -> str:
    for word in words:
        text = text.replace(word, "")
    return text
