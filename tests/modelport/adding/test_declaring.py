"""services.yaml is edited in place: comments stay, in every form in which a chain may be written."""

import pytest
import yaml

from exporters.errors import UnclearModelError
from modelport.adding.declaring import joined, removed
from modelport.environment import ROOT
from modelport.services import DeclarationError

FLOW = """# the services
services:
  first:  # the oldest
    task: detection
    models: [a, b]  # in order
    resources: {requests: {cpu: "1"}}
  second:
    task: classification
    models: [c]
# the end
"""
BLOCK = """services:
  first:
    models:
      - a  # the best
      # a comment
      - b
    task: detection
  second: {task: classification, models: [c]}
other: 1
"""


@pytest.mark.parametrize("text", [pytest.param(FLOW, id="flow"), pytest.param(BLOCK, id="block")])
@pytest.mark.parametrize(
    ("service", "last", "chains"),
    [
        (None, False, {"first": ["a", "b"], "second": ["c"], "my-model": ["my_model"]}),
        ("third", False, {"first": ["a", "b"], "second": ["c"], "third": ["my_model"]}),
        ("first", False, {"first": ["my_model", "a", "b"], "second": ["c"]}),
        ("first", True, {"first": ["a", "b", "my_model"], "second": ["c"]}),
    ],
)
def test_a_model_is_declared_and_removed_again(text, service, last, chains, tmp_path):
    path = tmp_path / "services.yaml"
    path.write_text(text)
    edited, spec, new = joined(path, "my_model", "detection", service, last)
    assert {name: entry["models"] for name, entry in yaml.safe_load(edited)["services"].items()} == chains
    assert new == (service != "first")
    comments = [line.partition("#")[2] for line in text.splitlines() if "#" in line and "# a comment" not in line]
    assert all(f"#{comment}" in edited for comment in comments)
    path.write_text(edited)
    restored = removed(path, "my_model", spec.name)
    assert yaml.safe_load(restored) == yaml.safe_load(text)
    assert new is False or restored == text


def test_the_real_declaration_is_restored_to_the_letter(tmp_path):
    path = tmp_path / "services.yaml"
    before = (ROOT / "services.yaml").read_text()
    for service in (None, "classifier"):
        path.write_text(before)
        edited, spec, _ = joined(path, "mine", "classification", service, last=bool(service))
        path.write_text(edited)
        assert removed(path, "mine", spec.name) == before


@pytest.mark.parametrize(
    ("name", "task", "service", "last", "message"),
    [
        ("first", "detection", None, False, "there is a service 'first' already"),
        ("mine", "classification", "first", False, "first is a service of detection"),
        ("mine", "detection", None, True, "--fallback joins"),
        ("mine", "detection", "Upper", False, "no name for a service"),
        ("mine", "detection", "v2", False, "no name for a service"),
        ("mine", "detection", "a" * 41, False, "no name for a service"),
        ("1st", "detection", None, False, "no name for a service"),
    ],
)
def test_services_that_cannot_have_it(name, task, service, last, message, tmp_path):
    (tmp_path / "services.yaml").write_text(FLOW)
    with pytest.raises(UnclearModelError, match=message):
        joined(tmp_path / "services.yaml", name, task, service, last)


def test_a_model_that_another_chain_needs_stays(tmp_path):
    (tmp_path / "services.yaml").write_text(FLOW.replace("[c]", "[c, a]"))
    with pytest.raises(DeclarationError, match="second needs a: take it out of `models`"):
        removed(tmp_path / "services.yaml", "a", "first")
