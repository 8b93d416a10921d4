"""A user's ONNX classifier, added by one command to a copy of the checkout, answers through the real stack."""

import shutil
import threading

import httpx
import numpy as np
import pytest
from onnx_files import save_classifier
from serving import answering, checkout_without_models
from waiting import wait_for

from kserve_transformers.tasks import build_task
from kserve_transformers.tasks.samples import sample_request
from modelport.adding.__main__ import main
from modelport.adding.checkout import Checkout
from modelport.releases.assembly import copy_models
from modelport.services import choose
from modelport.stack.control import ask
from modelport.stack.stack import StackSettings, export_missing


@pytest.fixture(scope="module")
def add(tmp_path_factory, images):
    """Adds a classifier of cats and dogs to a copy of the checkout."""
    folder = tmp_path_factory.mktemp("added")
    checkout = checkout_without_models(folder / "checkout")
    (folder / "labels.txt").write_text("cat\ndog\n")
    options = [
        f"--labels={folder}/labels.txt",
        f"--sample={images / 'chelsea.jpg'}",
        "--task=classification",
        "--normalise=0..1",
    ]

    def run(name: str, *more: str, **properties: object) -> Checkout:
        model = save_classifier(folder / f"{name}.onnx", classes=2, size=(64, 64), **properties)
        assert main(["add", str(model), *options, "--yes", *more], checkout) == 0
        return checkout

    return run


@pytest.fixture(scope="module")
def settings(add, free_ports):
    checkout = add("pets", batch=1, fixed_reshape=True)  # which takes one image at a time
    shutil.rmtree(checkout.repository / "pets" / "1")  # as in a clone
    services = choose("pets", path=checkout.declaration)
    settings = StackSettings(services, *free_ports(5), logs=checkout.root, repository=checkout.repository)
    export_missing(settings)
    return settings


@pytest.fixture(scope="module")
def client(settings):
    with answering(settings) as client:
        yield client


def test_an_added_model_answers_on_every_protocol(settings, client, images):
    task = build_task(settings.services[0])
    for protocol in ("own", "v1", "v2"):
        request = sample_request(task, protocol, (images / "chelsea.jpg").read_bytes())
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


def test_a_model_joins_the_chain_of_a_running_stack_and_leaves_it_without_a_lost_request(
    add, settings, client, images, tmp_path
):
    checkout = add("better", "--service=pets")
    chain = choose("pets", path=checkout.declaration)[0].models
    assert chain == ("better", "pets")
    copy_models(checkout.repository, chain, tmp_path / "release")
    request = sample_request(build_task(settings.services[0]), "own", (images / "chelsea.jpg").read_bytes())
    answers: list[tuple[int, str, bool]] = []
    over = threading.Event()

    def call() -> None:
        with httpx.Client(base_url=str(client.base_url), timeout=60) as caller:
            while not over.is_set():
                answer = caller.post(request.path, content=request.body, headers=dict(request.headers))
                told = answer.json() if answer.status_code == 200 else {}
                answers.append((answer.status_code, told.get("model", ""), told.get("fallback", False)))
                over.wait(0.05)

    caller = threading.Thread(target=call)
    caller.start()

    def answered_by(model: str) -> bool:
        return any(found == model for _, found, _ in answers)

    try:
        wait_for(lambda: answered_by("pets"))
        command = {"service": "pets", "release": "2026-11-26-0123456789ab", "folder": str(tmp_path / "release")}
        ask(settings.http_port, {**command, "chain": list(chain)}, print)
        joined = client.post(request.path, content=request.body, headers=dict(request.headers)).json()
        wait_for(lambda: answered_by("better"))
        ask(settings.http_port, {"service": "pets", "release": "initial", "folder": str(checkout.repository)}, print)
        left = client.post(request.path, content=request.body, headers=dict(request.headers)).json()
    finally:
        over.set()
        caller.join()
    assert (joined["model"], left["model"]) == ("better", "pets")
    assert {status for status, _, _ in answers} == {200}
    assert {model for _, model, _ in answers} == {"pets", "better"}
    assert list(client.get("/v2/health/ready").json()["services"]["pets"]["models"]) == ["pets"]
