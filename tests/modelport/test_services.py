"""services.yaml is read, or refused in one line that says where and what to write."""

from pathlib import Path

import pytest

from modelport.manifests import generation
from modelport.manifests.deployments import load_deployments
from modelport.services import FILE, DeclarationError, load

DECLARED = """services:
  digits:
    task: digits
    models: [mnist]
    resources: {requests: {cpu: 500m, memory: 1Gi}, limits: {memory: 2Gi}}
  cars:
    task: classification
    presentation: cars
    models: [cars, lesser-cars]
"""


def test_what_is_declared_is_read(tmp_path):
    (tmp_path / "services.yaml").write_text(DECLARED, encoding="utf-8-sig")
    assert [spec.argument() for spec in load(tmp_path / "services.yaml").values()] == [
        "digits=digits:mnist",
        "cars=classification/cars:cars,lesser-cars",
    ]
    found = load_deployments(tmp_path / "services.yaml")["digits"]
    assert found.resources == {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        pytest.param(DECLARED, "", "write `services:`, and below it", id="empty"),
        pytest.param(DECLARED, "services:\n", "write `services:`, and below it", id="no service"),
        pytest.param(DECLARED, "services: [digits]\n", "write `services:`, and below it", id="a list"),
        pytest.param("  cars:", "  digits:", ", line 6: 'digits' is declared twice", id="a service twice"),
        pytest.param(
            "models: [cars", "task: digits\n    models: [cars", ", line 9: 'task' is declared", id="field twice"
        ),
        pytest.param("    task: digits", "\ttask: digits", ", line 3: found character", id="a tab"),
        pytest.param("[mnist]", "!!python/name:os.system", "could not determine a constructor", id="a Python object"),
        pytest.param(
            "task: digits", "task: letters", "service digits: no task 'letters': there are", id="no such task"
        ),
        pytest.param("    task: digits\n", "", "service digits: write NAME: {task: TASK", id="no task"),
        pytest.param("presentation: cars", "presentation: bikes", "no presentation 'bikes'", id="no such presentation"),
        pytest.param(
            "presentation: cars", "presentation: [cars]", "service cars: write NAME", id="presentation: a list"
        ),
        pytest.param("models: [mnist]", "modles: [mnist]", "digits: unknown field 'modles': there", id="unknown field"),
        pytest.param("[mnist]", "mnist", "service digits: write NAME", id="models: a text"),
        pytest.param("[mnist]", "[]", "service digits: write NAME", id="no model"),
        pytest.param("[mnist]", "[5]", "service digits: write NAME", id="model: a number"),
        pytest.param("[mnist]", "[mnist, mnist]", "digits: a model stands twice", id="a model twice"),
        pytest.param("[mnist]", "[../mnist]", "is not of the form", id="model: a path"),
        *(
            pytest.param("digits:\n", f"{name}:\n", f"{read!r} is no name for a service", id=f"name: {name[:9]}")
            for name, read in [
                *((one, one) for one in ("Digits", "-digits", "digits-", "v1", "v2", "docs", "metrics", "d" * 41)),
                ("5", 5),
                ("yes", True),
            ]
        ),
    ],
)
def test_what_is_malformed_is_one_line(old, new, complaint, tmp_path):
    file = tmp_path / "services.yaml"
    file.write_text(DECLARED.replace(old, new, 1))
    with pytest.raises(DeclarationError) as error:
        load(file)
    assert str(error.value).startswith("services.yaml")
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("{requests: {cpu: 500m, memory: 1Gi}, limits: {memory: 2Gi}}", "2Gi", id="a text"),
        pytest.param("requests", "reqests", id="another key"),
        pytest.param("{cpu: 500m, memory: 1Gi}", "500m", id="requests: a text"),
        pytest.param("500m", "-1", id="a negative number"),
        pytest.param("500m", "much", id="no number"),
        pytest.param("1Gi", "1GB", id="a unit that Kubernetes lacks"),
    ],
)
def test_resources_that_kubernetes_would_refuse(old, new, tmp_path):
    (tmp_path / "services.yaml").write_text(DECLARED.replace(old, new, 1))
    with pytest.raises(
        DeclarationError, match=r"service digits: .* are no resources of a container: write \{requests:"
    ):
        load_deployments(tmp_path / "services.yaml")


def test_a_missing_file_and_another_encoding(tmp_path):
    with pytest.raises(DeclarationError, match=r"^services.yaml cannot be read: .*No such file"):
        load(tmp_path / "services.yaml")
    (tmp_path / "services.yaml").write_bytes(b"# gr\xfc\xdfe\n" + FILE.read_bytes())
    with pytest.raises(DeclarationError, match=r"^services.yaml cannot be read: 'utf-8' codec"):
        load(tmp_path / "services.yaml")


def test_make_manifests_says_it_in_one_line(monkeypatch, capsys):
    def malformed() -> list[Path]:
        raise DeclarationError("services.yaml: it is malformed")

    monkeypatch.setattr(generation, "write", malformed)
    monkeypatch.setattr("sys.argv", ["manifests"])
    assert generation.main() == 1
    assert capsys.readouterr().err == "error: services.yaml: it is malformed\n"
