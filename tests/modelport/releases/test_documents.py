"""Bills of materials: valid by their makers' own checks, complete, and the same for the same release."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_python_model import v3_0_1 as spdx_model

from modelport.releases.__main__ import main
from modelport.releases.documents import add_documents, cyclonedx, spdx
from modelport.releases.release import RELEASE_FILE, FileRecord, ModelRecord, Release, parse

WEIGHTS = {
    "weights": "trained",
    "weights_source": "https://example.com/weights",
    "weights_licence": "Apache-2.0",
    "weights_sha256": "ab" * 32,
    "accuracy": "75.1 % top-1 on ImageNet",
    "quantisation": "int8",
}
FILES = {f"{model}/1/model.onnx": FileRecord(digit * 64, 3) for model, digit in (("first", "a"), ("second", "b"))}


def release(weights: dict[str, str]) -> Release:
    second = {"weights": "untrained", "weights_licence": "none", "warning": "the answers mean nothing"}
    models = {
        "first": ModelRecord(1, "onnxruntime_onnx", weights, {"scores": {}}),
        "second": ModelRecord(2, "onnxruntime_onnx", second, {}),
    }
    packages = {"onnx": "1.23.2", "tritonserver": "2.51.0"}
    return Release("toys", "2026-11-21-0123456789ab", "2026-11-21T10:00:00+00:00", models, FILES, packages=packages)


def components(content: bytes) -> dict[str, Any]:
    return {component["name"]: component for component in json.loads(content)["components"]}


def objects(content: bytes) -> Any:
    found = spdx_model.SHACLObjectSet()
    spdx_model.JSONLDDeserializer().read(io.BytesIO(content), found)
    return found


@pytest.mark.parametrize(
    ("licence", "expected", "kind"),
    [
        pytest.param("Apache-2.0", "Apache-2.0", "LicenseExpression", id="listed"),
        pytest.param("all mine, ask me", "all mine, ask me", "SimpleLicensingText", id="text"),
        pytest.param("none", "", "", id="none"),
    ],
)
def test_both_documents_are_valid_and_tell_the_licence(licence, expected, kind):
    made = release({**WEIGHTS, "weights_licence": licence})
    content = cyclonedx(made).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content) is None
    assert expected in str(components(content.encode())["first"].get("licenses", ""))
    found = [type(one).__name__ for one in objects(spdx(made)).foreach() if "simplelicensing" in type(one).__name__]
    assert found == ([f"simplelicensing_{kind}"] if kind else [])
    assert expected in spdx(made).decode()


def test_the_ml_bom_tells_weights_metrics_files_and_tools():
    found = components(cyclonedx(release(WEIGHTS)))
    first, second = found["first"], found["second"]
    told = {one["name"].removeprefix("modelport:"): one["value"] for one in first["properties"]}
    assert told == {**{k: v for k, v in WEIGHTS.items() if k != "weights_licence"}, "platform": "onnxruntime_onnx"}
    files = [(one["name"], one["hashes"][0]["content"]) for one in first["components"]]
    assert files == [("first/1/model.onnx", "a" * 64)]
    metrics = first["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert metrics == [{"type": "accuracy", "value": WEIGHTS["accuracy"]}]
    assert second["modelCard"]["considerations"]["technicalLimitations"] == ["the answers mean nothing"]
    assert found["onnx"]["purl"] == "pkg:pypi/onnx@1.23.2"


def test_the_spdx_document_tells_the_same():
    found = list(objects(spdx(release(WEIGHTS))).foreach())
    packages = [one for one in found if type(one).__name__ == "ai_AIPackage"]
    first, second = sorted(packages, key=lambda package: str(package.name))
    assert [(one.key, one.value) for one in first.ai_metric] == [("accuracy", WEIGHTS["accuracy"])]
    assert ("quantisation", "int8") in [(one.key, one.value) for one in first.ai_hyperparameter]
    assert (first.software_sourceInfo, second.ai_limitation) == (WEIGHTS["weights_source"], "the answers mean nothing")
    files = {one.name: one.verifiedUsing[0].hashValue for one in found if type(one).__name__ == "software_File"}
    assert files == {path: record.sha256 for path, record in FILES.items()}


def test_equal_releases_have_equal_documents_and_others_other_ids():
    other = replace(release(WEIGHTS), files={**FILES, "second/labels.txt": FileRecord("c" * 64, 1)})
    for write in (cyclonedx, spdx):
        assert write(release(WEIGHTS)) == write(release(dict(WEIGHTS)))
    serials = [json.loads(cyclonedx(made))["serialNumber"] for made in (release(WEIGHTS), other)]
    assert serials[0] != serials[1]


def test_verify_wants_the_documents_that_were_released(toy, tmp_path, capsys):
    folder: Path = toy()
    assert main(["verify", str(folder)]) == 0
    assert "warning: it has no bill of materials" in capsys.readouterr().out
    made = add_documents(parse((folder / RELEASE_FILE).read_bytes()), folder)
    (folder / RELEASE_FILE).write_bytes(made.to_json())
    assert parse(made.to_json()) == made
    assert main(["verify", str(folder)]) == 0
    assert "warning" not in capsys.readouterr().out
    for change, problem in (
        (lambda path: path.write_bytes(b"{}"), "has 2 bytes"),
        (Path.unlink, "bom.cdx.json is missing"),
    ):
        damaged = shutil.copytree(folder, tmp_path / problem)
        change(damaged / "bom.cdx.json")
        assert main(["verify", str(damaged)]) == 1
        assert problem in capsys.readouterr().err
