"""Buckets get whole objects, HTTP sinks batches of CloudEvents; the address chooses."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import boto3
import cloudevents.http
import httpx
import pytest
from moto.server import ThreadedMotoServer

from kserve_transformers.observe import Ended, Exchange
from kserve_transformers.record.events import Origin, render
from kserve_transformers.record.folder import FolderSink
from kserve_transformers.record.reading import Reader
from kserve_transformers.record.sinks import BATCH, BucketSink, HttpSink, open_sink
from kserve_transformers.settings import RecordSettings, parse_settings


def events(*ids: str) -> list[bytes]:
    return [
        render(
            Exchange(one, {}, True, 0.0, (), {}, predictions=lambda: [{"odd": "\u2028\n"}], model="m", release="r"),
            Ended("cars", "v1", "200", 0.1),
            Origin("here", "default"),
            -1,
        )
        for one in ids
    ]


@pytest.fixture
def bucket(monkeypatch):
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="records")
    yield "s3://records/here"
    server.stop()


def test_a_bucket_gets_an_object_for_each_batch_that_a_reader_finds(bucket: str) -> None:
    sink = BucketSink(bucket)
    sink.write("cars", events("a", "b"))
    sink.write("digits", events("c"))
    sink.write("cars", events("d"))
    assert [one.request_id for one in Reader(bucket, "cars")] == ["a", "b", "d"]
    assert Reader(bucket).services() == ["cars", "digits"]
    keys = [one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket="records")["Contents"]]
    assert len(keys) == 3
    assert all(key.startswith(("here/cars/20", "here/digits/20")) and key.endswith(".jsonl") for key in keys)


def test_a_bucket_that_is_not_there_is_an_error_of_the_write_not_of_the_start(bucket: str) -> None:
    sink = BucketSink("s3://nobody/here")
    with pytest.raises(OSError, match="nobody"):
        sink.write("cars", events("a"))


class Collector(BaseHTTPRequestHandler):
    """Keeps what is posted; answers the status in the path."""

    got: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.append((self.headers["content-type"], body))
        self.send_response(int(self.path.strip("/")))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def collector():
    handler = type("Own", (Collector,), {"got": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.got
    server.shutdown()
    server.server_close()


def test_an_http_sink_gets_batches_of_events(collector) -> None:
    url, got = collector
    HttpSink(f"{url}/202").write("cars", events("a", "b"))
    ((kind, body),) = got
    assert kind == BATCH == "application/cloudevents-batch+json"
    found = [cloudevents.http.from_dict(one) for one in json.loads(body)]
    assert [(one["id"], one["type"].rpartition(".")[2]) for one in found] == [
        ("a", "request"),
        ("a", "response"),
        ("b", "request"),
        ("b", "response"),
    ]
    assert found[1].data == {"predictions": [{"odd": "\u2028\n"}]}


@pytest.mark.parametrize("status", [301, 400, 413, 500, 503])
def test_what_an_http_sink_does_not_take_is_an_error(collector, status: int) -> None:
    url, got = collector
    with pytest.raises(httpx.HTTPStatusError):
        HttpSink(f"{url}/{status}").write("cars", events("a"))
    assert len(got) == 1


def test_nobody_who_listens_is_an_error() -> None:
    with pytest.raises(httpx.ConnectError):
        HttpSink("http://127.0.0.1:9").write("cars", events("a"))


@pytest.mark.parametrize(
    ("to", "kind"),
    [("build/record", FolderSink), ("s3://b/p", BucketSink), ("gs://b", BucketSink), ("https://sink/", HttpSink)],
)
def test_the_address_chooses_the_sink(to: str, kind: type) -> None:
    settings = parse_settings(["--service=cars=classification:cars", f"--record={to}"])
    assert isinstance(open_sink(settings.record), kind)
    assert isinstance(settings.record.to, Path) == (kind is FolderSink)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--record=ftp://host/x", "name a folder, or a URL that begins with http://"),
        ("--record=s3://", "name a folder, or a URL"),
        ("--record_percent=101", "must lie between 0 and 100"),
        ("--record_images=digits", "--record_images names digits, which is no service here: there are cars"),
        ("--record_days=0", "must be positive"),
    ],
)
def test_settings_that_cannot_be_meant_say_what_to_write(option: str, message: str, capsys) -> None:
    with pytest.raises(SystemExit):
        parse_settings(["--service=cars=classification:cars", option])
    assert message in capsys.readouterr().err


def test_defaults() -> None:
    settings = parse_settings(["--service=cars=classification:cars"])
    assert settings.record == RecordSettings()
    assert (settings.record.to, settings.record.images) == (None, ())
