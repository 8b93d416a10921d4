"""A release is copied into a claim's volume: the receiver runs as in the pod, a stand-in for kubectl starts it here."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from modelport.manifests.pods import pods
from modelport.manifests.rendering import render
from modelport.manifests.schema import check_schema
from modelport.releases import claim
from modelport.releases.__main__ import main
from modelport.releases.release import RELEASE_FILE
from modelport.releases.sources import Folder
from modelport.releases.verification import verify

KUBECTL = """#!{python}
import json, os, subprocess, sys
arguments = sys.argv[1:]
open({log!r}, "a").write(json.dumps(arguments) + "\\n")
if arguments[0] == "kustomize":
    os.execv({real!r}, [{real!r}, *arguments])
if arguments[0] == "config":
    print({server!r})
elif arguments[0] == "wait" and {stuck!r}:
    sys.exit("error: timed out waiting for the condition on jobs/publish")
elif arguments[:2] == ["get", "pods"] and {stuck!r}:
    print(json.dumps({{"items": [{{"status": {{"conditions": [{{"status": "False", "message": {stuck!r}}}]}}}}]}}))
elif arguments[:2] == ["get", "pods"]:
    print("publish-digits-abcde", end="")
elif arguments[0] in ("apply", "create"):
    open({log!r} + "." + arguments[0], "w").write(sys.stdin.read())
elif arguments[0] == "exec":
    command = arguments[arguments.index("--") + 1 :]
    sys.exit(subprocess.run([sys.executable, *command[1:3], {volume!r}, *command[4:]]).returncode)
"""


class Cluster:
    """What a stand-in for kubectl was asked, and the folder that is its volume."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.volume, self.log = folder, folder / "volume", folder / "log"
        self.volume.mkdir(parents=True)

    def write(self, server: str = "https://cluster", stuck: str = "") -> Path:
        """Make the program."""
        program = self.folder / "kubectl"
        values = {"python": sys.executable, "log": str(self.log), "volume": str(self.volume), "stuck": stuck}
        program.write_text(KUBECTL.format(**values, server=server, real=str(Path(sys.executable).with_name("kubectl"))))
        program.chmod(0o755)
        return program

    def calls(self) -> list[list[str]]:
        """The command lines."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster with a volume in a folder."""
    made = Cluster(tmp_path / "cluster")
    program = str(made.write())
    for module in ("modelport.manifests.cluster", "modelport.manifests.rendering", "modelport.releases.claim"):
        monkeypatch.setattr(f"{module}.kubectl", lambda: program)
    return made


@pytest.fixture
def publish(toy, cluster):
    """The command, for a release made by hand."""
    toy()
    return lambda *more: main(["publish", "digits", f"--releases={cluster.folder.parent}", "--to=pvc", *more])


def test_a_release_is_on_the_volume_as_it_was_built(publish, cluster, capsys):
    assert publish() == 0
    (folder,) = (cluster.volume / "digits").iterdir()
    assert verify(Folder(folder)).service == "digits"
    assert f"published: pvc://modelport-models/digits/{folder.name} (4 files sent" in capsys.readouterr().out
    assert [call[0] for call in cluster.calls()][-1] == "delete"

    assert publish() == 0
    assert "there already, unchanged" in capsys.readouterr().out

    (folder / "toy" / "labels.txt").write_text("dog\ncat\n")
    assert publish() == 1
    assert "on the volume with another content, which is never overwritten" in capsys.readouterr().err
    assert [call[0] for call in cluster.calls()][-1] == "delete"


def test_the_first_release_is_the_model_repository_and_may_change(repository, cluster, tmp_path):
    assert main(["publish", "digits", "--release=initial", "--to=pvc"]) == 0
    labels = cluster.volume / "digits" / "initial" / "mnist" / "labels.txt"
    assert labels.read_bytes() == (repository / "mnist" / "labels.txt").read_bytes()
    assert not (cluster.volume / "digits" / "initial" / RELEASE_FILE).exists()
    labels.chmod(0o644)
    labels.write_text("changed")
    assert main(["publish", "digits", "--release=initial", "--to=pvc"]) == 0
    assert labels.read_bytes() == (repository / "mnist" / "labels.txt").read_bytes()

    assert main(["publish", "digits", "--release=initial", f"--to=file://{tmp_path}/models"]) == 0
    there = tmp_path / "models" / "digits" / "initial"
    assert Folder(there).sizes() == Folder(cluster.volume / "digits" / "initial").sizes()


def test_the_pod_is_one_that_the_cluster_and_the_volume_accept():
    documents = render("storage-pvc")
    document = claim.job(documents, next(d for d in documents if d["kind"] == "PersistentVolumeClaim"), "digits")
    assert list(check_schema(document)) == []
    spec = document["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == pods(documents)[0].transformer["image"]
    assert spec["volumes"][0]["persistentVolumeClaim"]["claimName"] == "modelport-models"
    assert document["metadata"]["namespace"] == "modelport"
    assert "app.kubernetes.io/part-of" not in document["metadata"]["labels"]  # no service's pod, and not measured


@pytest.mark.parametrize(
    ("options", "stand_in", "message"),
    [
        pytest.param(["--overlay=storage-s3"], {}, "overlay 'storage-s3' has no PersistentVolumeClaim", id="no claim"),
        pytest.param(["--overlay=nonsense"], {}, "no overlay 'nonsense'", id="no overlay"),
        pytest.param([], {"server": ""}, "no cluster is chosen: set KUBECONFIG", id="no cluster"),
        pytest.param([], {"stuck": "unbound claim"}, "does not start: unbound claim", id="no volume"),
        pytest.param(["--archive"], {}, "--archive is for a release in a folder or a bucket", id="an archive"),
    ],
)
def test_what_cannot_be_is_one_line(options, stand_in, message, publish, cluster, capsys):
    cluster.write(**stand_in)
    assert publish(*options) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    created = [call for call in cluster.calls()[1:] if call[0] == "create"] if cluster.log.exists() else []
    assert len(created) == ("stuck" in stand_in)
    if created:
        assert cluster.calls()[-1][0] == "delete"


def test_namespace_and_claim_are_there_first(publish, cluster):
    assert publish() == 0
    applied = [d["kind"] for d in yaml.safe_load_all(Path(f"{cluster.log}.apply").read_text())]
    assert applied == ["Namespace", "PersistentVolumeClaim"]
