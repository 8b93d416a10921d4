"""Buckets get whole objects, HTTP sinks batches of CloudEvents; the address chooses."""

import re
from pathlib import Path

import cloudevents.http
import httpx
import pytest
from buckets import URL
from werkzeug import Response

from kserve_transformers.observe import Ended, Exchange
from kserve_transformers.record.events import Origin, render
from kserve_transformers.record.folder import FolderSink
from kserve_transformers.record.reading import Reader
from kserve_transformers.record.sinks import BATCH, BucketSink, HttpSink, open_sink
from kserve_transformers.settings import parse_settings


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


def test_a_bucket_gets_an_object_for_each_batch_that_a_reader_finds(bucket):
    sink = BucketSink(f"{URL}/here")
    sink.write("cars", events("a", "b"))
    sink.write("digits", events("c"))
    sink.write("cars", events("d"))
    assert [one.request_id for one in Reader(f"{URL}/here", "cars")] == ["a", "b", "d"]
    assert Reader(f"{URL}/here").services() == ["cars", "digits"]
    keys = [one.key for one in bucket.objects.all()]
    assert len(keys) == 3
    assert all(key.startswith(("here/cars/20", "here/digits/20")) and key.endswith(".jsonl") for key in keys)


def test_a_bucket_that_is_not_there_is_an_error_of_the_write_not_of_the_start(bucket):
    sink = BucketSink("s3://nobody/here")
    with pytest.raises(OSError, match="nobody"):
        sink.write("cars", events("a"))


@pytest.fixture
def collector(httpserver):
    """Answers the status in the path."""
    httpserver.expect_request(re.compile("/.*")).respond_with_handler(lambda one: Response(status=int(one.path[1:])))
    return httpserver


def test_an_http_sink_gets_batches_of_events(collector):
    HttpSink(collector.url_for("/202")).write("cars", events("a", "b"))
    ((request, _),) = collector.log
    assert request.content_type == BATCH == "application/cloudevents-batch+json"
    found = [cloudevents.http.from_dict(one) for one in request.json]
    assert [(one["id"], one["type"].rpartition(".")[2]) for one in found] == [
        ("a", "request"),
        ("a", "response"),
        ("b", "request"),
        ("b", "response"),
    ]
    assert found[1].data == {"predictions": [{"odd": "\u2028\n"}]}


@pytest.mark.parametrize("status", [301, 400, 413, 500, 503])
def test_what_an_http_sink_does_not_take_is_an_error(collector, status):
    with pytest.raises(httpx.HTTPStatusError):
        HttpSink(collector.url_for(f"/{status}")).write("cars", events("a"))
    assert len(collector.log) == 1


def test_nobody_who_listens_is_an_error():
    with pytest.raises(httpx.ConnectError):
        HttpSink("http://127.0.0.1:9").write("cars", events("a"))


@pytest.mark.parametrize(
    ("to", "kind"),
    [("build/record", FolderSink), ("s3://b/p", BucketSink), ("gs://b", BucketSink), ("https://sink/", HttpSink)],
)
def test_the_address_chooses_the_sink(to, kind):
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
def test_settings_that_cannot_be_meant_say_what_to_write(option, message, capsys):
    with pytest.raises(SystemExit):
        parse_settings(["--service=cars=classification:cars", option])
    assert message in capsys.readouterr().err
