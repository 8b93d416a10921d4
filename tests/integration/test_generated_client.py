"""A Python client that openapi-python-client generates from /openapi.json, used on every route of the running stack."""

import importlib
import json
import os
import re
import subprocess
import sys
import typing
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from kserve_transformers.tasks import TASKS
from modelport.services import load

SERVICES = load()
PACKAGE = "generated_modelport_client"


@pytest.fixture(scope="module")
def document(stack):
    return httpx.get(f"{stack.http}/openapi.json", timeout=60).json()


@pytest.fixture(scope="module")
def generated(document, tmp_path_factory):
    """The generated package's client module; its operations are below `api`."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_text(json.dumps(document))
    command = [sys.executable, "-P", "-m", "openapi_python_client", "generate", "--path", "openapi.json"]
    command += ["--meta", "none", "--output-path", PACKAGE]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it formats what it made by ruff
    made = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True
    )
    # bodies of an image's own type are not for this generator, which sends them as application/octet-stream
    problems = re.findall(r"WARNING parsing .*\n\s*(.+)", made.stdout + made.stderr)
    assert set(problems) <= {problem for problem in problems if problem.startswith("Unsupported content type image/")}
    sys.path.insert(0, str(folder))
    yield importlib.import_module(f"{PACKAGE}.client")
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def client(generated, stack):
    with generated.Client(base_url=stack.http, timeout=60) as client:
        yield client


def operations(document, method):
    for path, methods in document["paths"].items():
        if method in methods:
            yield path, methods[method]


def operation_module(operation):
    (tag,) = operation["tags"]
    name = operation["operationId"].replace("-", "_").lower()
    return importlib.import_module(f"{PACKAGE}.api.{tag}.{name}")


def arguments(module):
    """The version, where the operation is of one."""
    hints = typing.get_type_hints(module.sync_detailed)
    return {"version": hints["version"]("1")} if "version" in hints else {}


def bodies(module, operation, image):
    """Every body that the generated operation takes: the documented example, the form, and the image's bytes."""
    types = importlib.import_module(f"{PACKAGE}.types")
    kinds = typing.get_type_hints(module.sync_detailed)["body"]
    for kind in typing.get_args(kinds) or (kinds,):
        if hasattr(kind, "to_multipart"):
            yield kind(file=types.File(BytesIO(image), file_name="a.png", mime_type="image/png"))
        elif kind is types.File and not operation["operationId"].endswith(("infer", "infer_version")):
            yield types.File(BytesIO(image))
        elif hasattr(kind, "from_dict") and kind.__name__ != "CloudEvent":
            yield kind.from_dict(operation["requestBody"]["content"]["application/json"]["example"])


def test_every_get(document, generated, client):
    asked = 0
    for _, operation in operations(document, "get"):
        module = operation_module(operation)
        response = module.sync_detailed(client=client, **arguments(module))
        assert response.status_code == 200, operation["operationId"]
        asked += 1
    assert asked == 8 + 9 * len(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_every_post_in_every_form(document, generated, client, service):
    image = TASKS[SERVICES[service].task].example_instance()
    tried = 0
    for path, operation in operations(document, "post"):
        if operation["tags"] != [service]:
            continue
        module = operation_module(operation)
        for body in bodies(module, operation, image):
            response = module.sync_detailed(client=client, body=body, **arguments(module))
            assert response.status_code == 200, (path, response.content)
            assert response.parsed.to_dict() == json.loads(response.content)
            tried += 1
    assert tried == (4 if service == "anomaly" else 7)
