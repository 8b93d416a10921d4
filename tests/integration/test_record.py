"""Requests of every protocol in the record of a real stack; replayed, judged, and watched for drift."""

import base64
import shutil
import signal

import cv2
import httpx
import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from waiting import wait_for

from kserve_transformers.record.reading import Reader
from modelport.releases.__main__ import main
from modelport.services import choose
from modelport.stack.stack import Stack, StackSettings, export_missing

SHADES = 110


@pytest.fixture(scope="module")
def fives(repository, tmp_path_factory):
    """Images of one five, each with another shade of paper."""
    export_missing(StackSettings(choose("digits")))
    folder = tmp_path_factory.mktemp("fives")
    ink = cv2.imread(str(repository / "mnist" / "golden" / "images.png"), cv2.IMREAD_GRAYSCALE)
    for shade in range(SHADES):
        cv2.imwrite(str(folder / f"{shade}.png"), np.maximum(ink, shade))
    return folder


@pytest.fixture(scope="module")
def models(repository, fives, tmp_path_factory):
    """A model repository of digits with a reference of drift, made from the fives."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(repository / "mnist", folder / "mnist")
    assert main(["drift-reference", "digits", f"--from={fives}", f"--repository={folder}"]) == 0
    return folder


@pytest.fixture(scope="module")
def recorded(models, fives, free_ports, tmp_path_factory):
    """The folder of a record, and the metrics at its end."""
    folder, options = tmp_path_factory.mktemp("record"), ("--record_images=digits", "--drift_window=100")
    settings = StackSettings(
        choose("digits"),
        *free_ports(5),
        repository=models,
        logs=tmp_path_factory.mktemp("logs"),
        options=(f"--record={folder}", *options),
    )
    stack = Stack(settings)
    stack.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{settings.http_port}", timeout=60) as client:
            images = [path.read_bytes() for path in sorted(fives.iterdir())]
            for number, image in enumerate(images):
                dark = cv2.imencode(".png", cv2.imdecode(np.frombuffer(image, np.uint8), 0) // 2)[1].tobytes()
                client.post("/digits/predict", files={"file": dark}, headers={"x-request-id": f"own-{number}"})
            two = {"instances": [{"b64": base64.b64encode(images[0]).decode()}] * 2}
            client.post("/v1/models/digits:predict", json=two, headers={"x-request-id": "v1"})
            data = [base64.b64encode(images[0]).decode()]
            tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": data}
            client.post("/v2/models/digits/infer", json={"inputs": [tensor]}, headers={"x-request-id": "v2"})
            client.post("/v2/models/digits/infer", content=b"{", headers={"x-request-id": "refused"})
            client.post("/v1/models/nobody:predict", json=two)
            with InferenceServerClient(f"127.0.0.1:{settings.grpc_port}") as grpc:
                binary = InferInput("image", [1], "BYTES")
                binary.set_data_from_numpy(np.array([images[0]], object))
                grpc.infer("digits", [binary], headers={"x-request-id": "grpc"})
            wait_for(
                lambda: f'modelport_recorded_total{{service="digits"}} {SHADES + 4:.1f}' in client.get("/metrics").text
            )
            metrics = client.get("/metrics").text
    finally:
        stack.stop(signal.SIGINT)
    return folder, metrics


def test_every_request_to_a_service_is_recorded_with_its_answer(recorded):
    reader = Reader(str(recorded[0]))
    found = {one.request_id: one for one in reader}
    assert (reader.torn, reader.alone, reader.services()) == (0, 0, ["digits"])
    assert set(found) == {*(f"own-{number}" for number in range(SHADES)), "v1", "v2", "grpc", "refused"}
    assert {one.protocol for one in found.values()} == {"own", "v1", "v2", "grpc"}
    for name, instances, status in (("v1", 2, "200"), ("v2", 1, "200"), ("grpc", 1, "OK"), ("refused", 0, "400")):
        one = found[name]
        assert (len(one.instances), len(one.predictions), one.status) == (instances, instances, status)
        assert [made["predicted_digit"] for made in one.predictions] == [5] * instances
        assert (one.model, one.release) == (("mnist", "none") if instances else (None, None))
        assert 0 < one.seconds < 60
    assert found["v1"].contents()[0] == found["grpc"].contents()[0]
    assert (found["v2"].instances[0]["width"], found["v2"].instances[0]["type"]) == (28, "image/png")
    assert "brightness" in found["v2"].instances[0]["statistics"]


def test_darker_images_than_the_reference_alarm(recorded):
    _, metrics = recorded
    assert 'modelport_drift_alarm{feature="brightness",service="digits"} 1.0' in metrics
    assert 'modelport_drift_alarm{feature="width",service="digits"} 0.0' in metrics
    assert 'modelport_drift_psi{feature="label",service="digits"}' in metrics
    assert 'modelport_drift_window{service="digits"} 100.0' in metrics


def test_a_replay_of_the_same_network_finds_no_difference(recorded, tmp_path, capsys):
    assert main(["replay", "initial", f"--from={recorded[0]}", f"--out={tmp_path}"]) == 0
    printed = capsys.readouterr().out
    assert (
        f"{SHADES + 3} requests with images ({SHADES + 4} images are sent), 0 without, 1 without an answer" in printed
    )
    assert "latency ratio" not in printed
    assert (tmp_path / "report.md").exists()


@pytest.mark.slow
def test_a_replay_finds_another_network(recorded, digits_release, tmp_path):
    release = digits_release(tmp_path / "releases", other=True)
    command = ["replay", release.name, f"--from={recorded[0]}", f"--releases={tmp_path / 'releases'}"]
    assert main([*command, f"--out={tmp_path / 'out'}"]) == 3


def test_a_record_without_images_cannot_be_replayed(recorded, models, tmp_path, capsys):
    for path in recorded[0].rglob("*.jsonl"):
        (tmp_path / "digits").mkdir(exist_ok=True)
        lines = [line for line in path.read_text().splitlines() if '"refused"' in line]
        (tmp_path / "digits" / path.name).write_text("\n".join(lines) + "\n")
    assert main(["replay", "initial", f"--from={tmp_path}"]) == 1
    assert "record them with `modelport serve --record DIR --record_images digits`" in capsys.readouterr().err
    assert main(["drift-reference", "digits", f"--from={tmp_path}", f"--repository={models}"]) == 1
    assert "at least 100 instances" in capsys.readouterr().err
