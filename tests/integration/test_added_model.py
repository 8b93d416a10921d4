"""A user's ONNX classifier, added by one command to a copy of the checkout, answers through the real stack."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import httpx
import numpy as np
from onnx_files import save_classifier

from kserve_transformers.tasks import build_task
from kserve_transformers.tasks.samples import sample_request
from modelport.adding.__main__ import main
from modelport.adding.checkout import Checkout
from modelport.environment import ROOT
from modelport.services import choose
from modelport.stack.stack import Stack, StackSettings, export_missing


def test_an_added_model_answers_on_every_protocol(free_ports, pictures: Path, tmp_path: Path):
    checkout = Checkout(tmp_path / "checkout")
    shutil.copytree(ROOT / "manifests", checkout.manifests)
    checkout.repository.mkdir()
    shutil.copy(ROOT / "services.yaml", checkout.declaration)
    model = save_classifier(tmp_path / "pets.onnx", classes=2, size=(64, 64), batch=1, fixed_reshape=True)
    (tmp_path / "pets.txt").write_text("cat\ndog\n")
    photo = pictures / "chelsea.jpg"
    options = [
        "--task=classification",
        f"--labels={tmp_path}/pets.txt",
        f"--sample={photo}",
        "--normalise=0..1",
        "--yes",
    ]
    assert main(["add", str(model), *options], checkout) == 0
    shutil.rmtree(checkout.repository / "pets" / "1")  # as in a clone

    (spec,) = choose("pets", path=checkout.declaration)
    settings = StackSettings((spec,), *free_ports(5), logs=tmp_path, repository=checkout.repository)
    export_missing(settings)
    stack = Stack(settings)
    stack.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.http_port}", timeout=60) as client:
            task = build_task(spec)
            for protocol in ("own", "v1", "v2"):
                request = sample_request(task, protocol, photo.read_bytes())
                answer = client.post(request.path, content=request.body, headers=dict(request.headers))
                assert answer.status_code == 200, answer.text
                if protocol == "v2":
                    outputs = {one["name"]: one for one in answer.json()["outputs"]}
                    assert (outputs["score"]["shape"], sorted(outputs["label"]["data"])) == ([1, 2], ["cat", "dog"])
                    continue
                found = answer.json()["predictions"]
                best = found if protocol == "own" else found[0]["predictions"]
                assert {one["label"] for one in best} == {"cat", "dog"}
                np.testing.assert_allclose(sum(one["score"] for one in best), 1, atol=1e-3)
            declared = {one["name"]: one["shape"] for one in client.get("/v2/models/pets").json()["outputs"]}
            assert declared["label"] == [-1, 2]
            assert "/pets/classify" in client.get("/openapi.json").json()["paths"]
    finally:
        stack.stop(signal.SIGINT)
