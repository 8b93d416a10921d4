"""The requests that the page shows are right: each runs as it stands, and gives what the page gave."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import expect

SERVICES = ("detector", "classifier", "cars", "digits", "anomaly")
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONSAFEPATH": "1"}


@pytest.fixture(params=SERVICES)
def asked(request, visit, tmp_path):
    """The service, its request in each form as it is copied, and what it answered; the image lies in tmp_path."""
    service, page = request.param, visit.page
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel = visit.open(service)
    with page.expect_response(lambda response: response.url.endswith(":predict")) as answered:
        panel.get_by_role("button", name="Try the example").click()
    predictions = answered.value.json()["predictions"]
    expect(panel.locator("pre")).not_to_be_empty()
    texts = {}
    for form in ("curl", "Python", "V2 JSON"):
        panel.get_by_role("tab", name=form).click()
        page.evaluate("navigator.clipboard.writeText('')")
        panel.locator(".copy").click()
        page.wait_for_function("navigator.clipboard.readText()")
        texts[form] = page.evaluate("navigator.clipboard.readText()")
    if service != "anomaly":  # its numbers stand in the request
        with page.expect_download() as saved:
            panel.get_by_role("link", name="Save").click()
        saved.value.save_as(tmp_path / saved.value.suggested_filename)
    return service, texts, predictions


def run(command: list[str], folder: Path) -> str:
    ran = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def columns(service: str, predictions: list[Any]) -> dict[str, list[Any]]:
    """Some outputs of V2, as they follow from V1's predictions."""
    if service == "detector":
        return {"label": [one["label"] for prediction in predictions for one in prediction["detections"]]}
    if service == "digits":
        return {"digit": [prediction["predicted_digit"] for prediction in predictions]}
    if service == "classifier":
        return {"label": [one["label"] for prediction in predictions for one in prediction["predictions"]]}
    if service == "cars":
        return {"label": [one["class"] for prediction in predictions for one in prediction["predictions"]]}
    return {"anomaly": [prediction["anomaly"] for prediction in predictions]}


def test_each_form_gives_what_the_page_gave(asked, stack, tmp_path):
    service, texts, predictions = asked
    assert json.loads(run(["sh", "-c", texts["curl"]], tmp_path))["predictions"] == predictions

    printed = dict(line.split(" ", 1) for line in run([sys.executable, "-c", texts["Python"]], tmp_path).splitlines())
    answer = httpx.post(f"{stack.http}/v2/models/{service}/infer", content=texts["V2 JSON"], timeout=60).json()
    outputs = {output["name"]: output["data"] for output in answer["outputs"]}
    for name, wanted in columns(service, predictions).items():
        assert wanted
        assert outputs[name] == wanted
        shown = np.ravel(ast.literal_eval(printed[name])).tolist()
        assert shown == [value.encode() if isinstance(value, str) else value for value in wanted]
