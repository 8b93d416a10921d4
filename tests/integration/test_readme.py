"""The README tells the truth: its Python runs as it stands, and its first answer is what really comes back."""

import re
import subprocess
import sys

import orjson
import pytest

from modelport.environment import ROOT

README = (ROOT / "README.md").read_text()


def test_the_script_runs_as_it_is_printed(stack):
    (script,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    script = script.replace("127.0.0.1:8080", stack.http.removeprefix("http://"))
    script = script.replace("127.0.0.1:8000", stack.triton_http)
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[0].startswith("cup 0.6")
    assert ran.stdout.splitlines()[-1] == "(1, 300, 4) (1, 300) (1, 300)"


def test_the_first_answer_is_what_comes_back(client, coffee):
    printed = orjson.loads(re.search(r"```json\n(.*?)```", README, re.DOTALL)[1])
    answer = client.post("/detector/api/", files={"file": ("coffee.jpg", coffee)}).json()
    assert [one["label"] for one in answer["detections"]] == [one["label"] for one in printed["detections"]]
    for got, said in zip(answer["detections"], printed["detections"], strict=True):
        assert got["bbox"] == pytest.approx(said["bbox"], abs=2)
        assert got["confidence"] == pytest.approx(said["confidence"], abs=0.01)


def test_every_file_that_it_links_is_there():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_every_make_target_that_it_names_is_there():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"(?:^    |`)make ([a-z][a-z-]+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
