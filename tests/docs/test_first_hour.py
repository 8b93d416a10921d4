"""What a new user may type wrong: every command ends with its exit code and an error that says what to do."""

import os
import shlex
import subprocess
import sys

import pytest

from modelport.cli import COMMANDS
from modelport.environment import ROOT

NOBODY = "http://127.0.0.1:9"
PHOTO = "tests/data/images/coffee.jpg"
SERVICES = "detector, classifier, cars, digits, anomaly"


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("serve --services nope", 2, f"no service 'nope': choose one of {SERVICES}"),
        ("serve --overlay nonsense", 1, "no overlay 'nonsense': there are "),
        ("serve --chain digits=yolov3_tiny", 1, "digits: yolov3_tiny does not fit digits"),
        ("serve --port 80", 2, "'80' is no port between 1024 and 65000"),
        ("serve --score_threshold 2", 2, "must lie between 0 and 1"),
        ("serve --api_keys missing.txt", 2, "the key file missing.txt cannot be read"),
        ("export nonsense", 1, "there is no model nonsense: choose one of yolov3_tiny, "),
        ("export --cfg missing.cfg", 2, "takes --cfg, --weights, --names and --name together"),
        (f"demo --url {NOBODY}", 1, f"nothing answers at {NOBODY}: start the stack with `make serve`"),
        (f"client detector {PHOTO} --url {NOBODY}", 2, NOBODY),
        ("update digits x", 1, "there is no release 'x' of digits"),
        ("release nope", 1, f"there is no service 'nope': choose one of: {SERVICES}"),
        ("publish digits --to nope://x", 1, "there is no release of digits"),
        ("canary nope x 10", 1, "there is no service 'nope'"),
        ("promote digits", 1, "there is no canary to promote"),
        ("compare digits a b", 1, "there is no release 'a' of digits"),
        ("compare cats initial initial", 2, "invalid choice: 'cats'"),
        ("compare digits", 2, "required: OLD, NEW"),
        ("evaluate digits --data /nonexistent", 1, "/nonexistent does not exist: name labelled data"),
        ("verify /nonexistent", 1, "/nonexistent is not a folder"),
        ("releases nope", 1, "there is no service 'nope'"),
        ("lint nonsense", 1, "nonsense"),
        ("render nonsense", 1, "nonsense"),
        ("load size", 2, "invalid choice: 'size'"),
        (f"load ramp --url {NOBODY}", 1, f"{NOBODY} cannot be reached"),
        ("bench --only nope", 2, "'nope': choose from speed, photos, memory"),
        ("prometheus --port 99999", 1, "port 99999 cannot be used"),
        ("status --port 9", 3, "no stack of this checkout runs on port 9: `make serve`"),
        ("logs --port 9", 3, "no stack runs"),
        ("api-key none --file missing/keys.txt", 1, "'none' cannot be used"),
    ],
)
def test_mistake_is_one_line(free_ports, command, code, said):
    name, *arguments = shlex.split(command)
    known, (port, _, triton_port, *_) = COMMANDS[name], free_ports(5)
    run = subprocess.run(
        [sys.executable, "-P", "-m", known.module, *known.arguments, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PORT": str(port), "TRITON_PORT": str(triton_port)},  # the usual ones may be taken
    )  # fmt: skip
    assert run.returncode == code, run.stderr
    assert "Traceback" not in run.stderr
    assert said in (run.stdout + run.stderr).splitlines()[-1]
