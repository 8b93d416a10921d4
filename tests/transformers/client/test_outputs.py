"""Results in files and parts: an earlier run's answers are kept, once each, and no other file is touched."""

import contextlib
import csv
import io
import json
import os
import sys

import pytest
from buckets import URL

from kserve_transformers.client import outputs
from kserve_transformers.client.formats import FORMATS
from kserve_transformers.client.storage import open_folder


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path, bucket):
    """A folder that is not there yet, on disk and in a bucket."""
    return f"{tmp_path}/not/there" if request.param == "local" else f"{URL}/not/there"


def rows(address, prefix="part"):
    """All rows in a folder's files, by name."""
    folder = open_folder(address)
    names = [name for name in folder.names() if name.startswith(prefix)]
    return [row for name in names for row in FORMATS[name.rpartition(".")[2]]().decode(folder.read(name))]


def files(found):
    return sorted(row["file"].rpartition("/")[2] for row in found)


ALL = sorted(["empty.png", *(f"{number}.jpg" for number in range(9))])
EACH = sorted(["empty.png", *(f"{number}.jpg" for number in range(9) for _ in range(2))])  # two boxes an image


def test_a_file_of_lines_is_resumed_and_what_was_cut_off_is_done_again(client, fake, images, tmp_path):
    out = tmp_path / "new" / "results.jsonl"
    assert client("detector", images, "--out", out)[0] == 0
    whole = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(whole[:6]) + whole[6][:-20])
    fake.images.clear()
    code, _, said = client("detector", images, "--out", out)
    assert (code, len(fake.images)) == (0, 4)
    assert "6 of 10 have an answer already" in said
    assert files(map(json.loads, out.read_text().splitlines())) == ALL
    out.write_bytes(whole[0][:20])
    assert client("detector", images, "--out", out)[0] == 0
    assert files(map(json.loads, out.read_text().splitlines())) == ALL


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_another_services_or_thresholds_results_are_refused_and_kept(client, fake, images, tmp_path, suffix):
    out = tmp_path / f"results.{suffix}"
    client("detector", images, "--out", out)
    before = out.read_bytes()
    fake.images.clear()
    for arguments, other in ((["digits"], "digits"), (["detector", "--score_threshold=0.5"], "detector (score_thr")):
        code, _, said = client(*arguments, images, "--out", out)
        assert code == 2
        assert f"{out}: it holds results of detector, not of {other}" in said
    assert (fake.images, out.read_bytes()) == ([], before)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xd8\xff no results", b"text\nand more", b'{"file": "a", "answer": 1}\n', b"[]\n", b"label,score\ncup,1\n"],
)
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "txt"])
def test_a_file_that_holds_no_results_is_refused_and_kept(client, images, tmp_path, suffix, content):
    out = tmp_path / f"precious.{suffix}"
    out.write_bytes(content)
    code, _, said = client("detector", images, "--out", out)
    assert (code, out.read_bytes()) == (2, content)
    assert said.startswith(f"error: {out}: ")


def test_two_clients_do_not_write_to_one_file(client, images, tmp_path):
    out = tmp_path / "results.jsonl"
    with contextlib.closing(outputs.open_output(str(out), None, None, outputs.Request("detector", {}))):
        code, _, said = client("detector", images, "--out", out)
    assert (code, said) == (2, f"error: {out}: another client writes to it now\n")


def test_standard_input_is_another_one_each_time(client, fake, tmp_path, monkeypatch):
    for image in (b"one", b"two"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(image)))
        assert client("detector", "-", "--out", tmp_path / "results.jsonl")[0] == 0
    assert fake.images == [b"one", b"two"]


def test_a_device_is_written_to(client, images):
    assert client("detector", images, "--out", os.devnull)[0] == 0


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_a_table_has_each_file_once_errors_included_until_they_are_answered(client, images, place, suffix):
    (images / "broken.jpg").write_bytes(b"bad")
    out = f"{place}.{suffix}"
    name = out.rpartition("/")[2]
    assert client("detector", images, "--out", out)[0] == 1
    (failed,) = [row for row in rows(out.rpartition("/")[0], name) if row.get("error")]
    assert (failed["file"], failed["error"]) == (f"{images}/broken.jpg", "415 not an image")
    (images / "broken.jpg").write_bytes(b"mended")
    assert client("detector", images, "--out", out)[0] == 0
    found = [row for row in rows(out.rpartition("/")[0], name) if not row.get("error")]
    assert set(files(found)) == {*ALL, "broken.jpg"}
    if suffix != "jsonl":
        assert files(found) == sorted([*EACH, "broken.jpg", "broken.jpg"])


def test_csv_is_as_spreadsheets_read_it(client, images, tmp_path):
    client("digits", images / "0.jpg", "--out", tmp_path / "digits.csv")
    (row,) = csv.DictReader((tmp_path / "digits.csv").read_text().splitlines())
    assert {name: row[name] for name in ("file", "service", "predicted_digit", "confidence", "error")} == {
        "file": str(images / "0.jpg"), "service": "digits", "predicted_digit": "6", "confidence": "0.5", "error": ""
    }  # fmt: skip


@pytest.mark.parametrize("format_name", ["parquet", "csv", "jsonl"])
def test_shards_send_everything_once_and_again_only_what_failed(client, fake, images, place, format_name):
    (images / "broken.jpg").write_bytes(b"bad")
    common = ("detector", images, "--out", f"{place}/", "--format", format_name)
    codes = [client(*common, "--shard", f"{shard}/3")[0] for shard in range(3)]
    assert sorted(codes) == [0, 0, 1]
    assert len(fake.images) == 11
    assert files(rows(place)) == (ALL if format_name == "jsonl" else EACH)
    assert files(rows(place, "errors")) == ["broken.jpg"]
    fake.images.clear()
    assert client(*common, "--shard", f"{codes.index(1)}/3")[0] == 1
    assert fake.images == [b"bad"]
    (images / "broken.jpg").write_bytes(b"mended")
    assert client(*common)[0] == 0  # other shards' parts count for one client alone, too
    assert fake.images == [b"bad", b"mended"]
    assert set(files(rows(place))) == {*ALL, "broken.jpg"}


@pytest.mark.parametrize("boto3_is_there", [True, False], ids=["with boto3", "as in the image"])
def test_inputs_from_storage(client, fake, images, bucket, monkeypatch, boto3_is_there):
    if not boto3_is_there:
        monkeypatch.setitem(sys.modules, "obstore.auth.boto3", None)
    folder = open_folder(f"{URL}/in")
    for path in images.iterdir():
        folder.write(f"deep/{path.name}", path.read_bytes())
    folder.write("notes.txt", b"none")
    code, out, _ = client("detector", f"{URL}/in/")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, files(lines)) == (0, ALL)
    assert lines[0]["file"] == f"{URL}/in/deep/0.jpg"
    assert client("detector", f"{URL}/in/deep/3.jpg")[0] == 0
    assert fake.images[-1] == b"image\x03"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://elsewhere/in/", "there is no such bucket"),
        (f"{URL}/nothing/", "no file in it ends in .avif"),
        (f"{URL}/gone.jpg", f"{URL}/gone.jpg is not there"),
        ("ftp://host/in/", "not a supported storage: write s3://, gs://, az://, file://"),
    ],
)
def test_storage_that_cannot_be_read_is_told(client, bucket, url, message):
    code, out, said = client("detector", url)
    assert code in (1, 2)
    assert message in out + said


def test_a_part_is_never_written_over_another(client, images, place, monkeypatch):
    """A second client of the same shard, as when a lost node's pod runs on."""
    request = outputs.Request("detector", {})
    first, second = (outputs.open_output(f"{place}/", None, (0, 1), request) for _ in range(2))
    for output in (first, second):
        output.add(outputs.Result("a.jpg", 0, 0.1, {"detections": []}))
    first.close()
    with pytest.raises(outputs.FormatError, match="another client writes this shard now"):
        second.close()
    assert files(rows(place)) == ["a.jpg"]


def test_parts_are_written_on_the_way(client, images, place, monkeypatch):
    monkeypatch.setattr(outputs, "PART_FILES", 4)
    assert client("digits", images, "--out", f"{place}/")[0] == 0
    assert open_folder(place).names() == [f"part-00000{number}.parquet" for number in range(3)]
    assert files(rows(place)) == ALL


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads=0"], "must be positive"),
        (["--shard=3/3"], "3/3 is not K/N"),
        (["--shard=x"], "x is not K/N"),
        (["--score_threshold=nan"], "nan is not between 0 and 1"),
        (["--shard=0/2", "--out=results.jsonl"], "let --out end with a slash"),
        (["--format=csv"], "--format csv needs --out"),
        (["--column=a"], "--column is for series"),
    ],
)
def test_options_that_cannot_be(client, images, capsys, arguments, message):
    try:
        code, _, said = client("detector", images, *arguments)
    except SystemExit as exc:
        code, said = exc.code, capsys.readouterr().err
    assert code == 2
    assert message in said


@pytest.mark.parametrize(("package", "out"), [("obstore", "s3://batch/out/"), ("arro3.io", "results.parquet")])
def test_a_missing_package_is_named(client, images, monkeypatch, package, out):
    monkeypatch.setitem(sys.modules, package, None)
    code, _, said = client("detector", images, "--out", out, "--format", "parquet")
    assert code == 2
    assert f"pip install {package.partition('.')[0]}" in said
