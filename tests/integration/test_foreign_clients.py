"""The standard clients of Java, Go and Node against the real stack: images on every route, bodies over the limit."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

FOREIGN = Path(__file__).parent / "foreign"
LEGACY, V1, V2 = "/detector/api/", "/v1/models/detector:predict", "/v2/models/detector/infer"
JPEG, JSON, FORM = "image/jpeg", "application/json", "multipart/form-data"
CLIENTS = {
    "JDK HttpClient": ("java", "Post.java", "HttpClient"),
    "JDK HttpURLConnection": ("java", "Post.java", "HttpURLConnection"),
    "Go net/http": ("go", "run", "post.go"),
    "Node fetch": ("node", "post.mjs", "fetch"),
    "Node http": ("node", "post.mjs", "http"),
}
# name, route, content type, form, body, status
POSTS = [
    ("form", LEGACY, FORM, "multipart", "coffee.jpg", 200),
    ("image", LEGACY, JPEG, "plain", "coffee.jpg", 200),
    ("chunks", LEGACY, JPEG, "chunked", "coffee.jpg", 200),
    ("V1", V1, JSON, "plain", "v1.json", 200),
    ("V1-image", V1, JPEG, "chunked", "coffee.jpg", 200),
    ("V2", V2, JSON, "plain", "v2.json", 200),
    ("V2-chunks", V2, JSON, "chunked", "v2.json", 200),
    *((f"large-{form}-{number}", LEGACY, JPEG, form, "large", 413)
      for form in ("plain", "chunked", "multipart") for number in range(3)),
    ("large-V1", V1, JSON, "plain", "large", 413),
    ("large-V2", V2, JSON, "chunked", "large", 413),
    ("nowhere", "/nowhere", JPEG, "plain", "large", 404),
    ("health", "/v2/health/live", JPEG, "multipart", "large", 405),
    ("video", LEGACY, "video/mp4", "chunked", "large", 415),
    ("image-after-all", LEGACY, JPEG, "plain", "coffee.jpg", 200),
]  # fmt: skip


def run(command, folder, **options):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(
        command, cwd=FOREIGN / folder, env=environment, capture_output=True, text=True, timeout=900, **options
    )
    return done


@pytest.fixture(scope="module")
def bodies(tmp_path_factory, coffee):
    folder = tmp_path_factory.mktemp("bodies")
    text = base64.b64encode(coffee).decode()
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}
    (folder / "coffee.jpg").write_bytes(coffee)
    (folder / "v1.json").write_text(json.dumps({"instances": [{"b64": text}]}))
    (folder / "v2.json").write_text(json.dumps({"inputs": [tensor]}))
    (folder / "large").write_bytes(bytes(21 * 2**20))
    return folder


@pytest.mark.parametrize("client", CLIENTS)
def test_standard_http_clients(stack, bodies, client):
    lines = [f"{name} {stack.http}{path} {kind} {form} {bodies / body}" for name, path, kind, form, body, _ in POSTS]
    done = run(CLIENTS[client], ".", input="\n".join(lines) + "\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name} {status}" for name, *_, status in POSTS]


def test_grpc_go(stack, bodies, coffee):
    request = pb.ModelInferRequest(model_name="detector")
    request.inputs.add(name="image", datatype="BYTES", shape=[1]).contents.bytes_contents.append(coffee)
    (bodies / "message").write_bytes(request.SerializeToString())
    fetched = run(["go", "mod", "download"], "grpc")
    if fetched.returncode:
        pytest.skip(f"Go's modules cannot be fetched: {fetched.stderr[-200:]}")
    for body, code in (("message", "OK"), ("large", "ResourceExhausted")):
        done = run(["go", "run", ".", stack.grpc, str(bodies / body)], "grpc")
        assert done.stdout.split()[0] == code, done.stderr
