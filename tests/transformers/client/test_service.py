"""Retries, and their end, against a server with scripted answers."""

import json
import re

import pytest
from werkzeug import Request, Response

from kserve_transformers.client.__main__ import main
from kserve_transformers.client.service import RequestError, Service, UnreachableError

BUSY = (429, {"retry-after": "0"}, {"error": "busy"})
GOOD = (200, {}, {"predictions": [{"x": 1}]})


@pytest.fixture
def answering(httpserver):
    """Gives answers one after the other, the last one for ever; returns the server's URL and the bodies it was sent."""

    def begin(*answers):
        bodies: list[bytes] = []

        def answer(request: Request) -> Response:
            bodies.append(request.data)
            status, headers, document = answers[min(len(bodies), len(answers)) - 1]
            return Response(json.dumps(document), status, headers)

        httpserver.expect_request(re.compile("/.*")).respond_with_handler(answer)
        return httpserver.url_for("").rstrip("/"), bodies

    return begin


def ask(url: str, timeout_s: float = 60) -> object:
    with Service(url, "digits", timeout_s, 1) as service:
        return service.predict_image(b"image")


def test_a_busy_server_is_asked_again(answering):
    url, bodies = answering(BUSY, (503, {"retry-after": "0"}, {"error": "not ready"}), GOOD)
    assert ask(url) == {"x": 1}
    assert bodies == [b"image"] * 3


def test_not_beyond_the_deadline(answering):
    url, bodies = answering((429, {"retry-after": "10"}, {"error": "busy"}))
    with pytest.raises(RequestError, match="429 busy"):
        ask(url, timeout_s=10)
    assert len(bodies) == 1


def test_other_errors_are_final(answering):
    url, bodies = answering((415, {}, {"error": "not an image"}), GOOD)
    with pytest.raises(RequestError, match="415 not an image"):
        ask(url)
    assert len(bodies) == 1


def test_windows_go_in_parts(answering):
    answers = [(200, {}, {"predictions": [{"n": 0}, {"n": 1}]}), (200, {}, {"predictions": [{"n": 2}]})]
    url, bodies = answering(*answers)
    with Service(url, "anomaly", 60, 1) as service:
        assert service.predict_windows([[1.0]] * 3, at_once=2) == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert [len(json.loads(body)["instances"]) for body in bodies] == [2, 1]


def test_nobody_there(free_ports):
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with Service(url, "digits", 5, 1) as service:
        told = f"{url} cannot be reached .*Connection refused.*--url"
        with pytest.raises(UnreachableError, match=told):
            service.window_length()
    with Service(url, "digits", 1.5, 1) as service, pytest.raises(UnreachableError, match=told):
        service.predict_image(b"image")


@pytest.mark.parametrize(
    ("url", "message"),
    [("127.0.0.1:1", "protocol"), ("ftp://127.0.0.1:1", "protocol"), ("http://127.0.0.1:1x", "--url .*port")],
)
def test_no_url(url, message):
    with pytest.raises(RequestError, match=message), Service(url, "digits", 5, 1) as service:
        service.window_length()


@pytest.mark.parametrize("document", [[], {}, {"predictions": None}, "text"])
def test_another_server(answering, document):
    url, _ = answering((200, {}, document))
    with pytest.raises(RequestError, match="is not a Modelport server"):
        ask(url)


def test_a_server_that_is_gone_ends_the_run_and_keeps_what_was_answered(client, fake, images, tmp_path, free_ports):
    (port,) = free_ports(1)
    out = tmp_path / "results.jsonl"
    assert client("detector", images / "0.jpg", "--out", out)[0] == 0
    code = main(["detector", str(images), "--out", str(out), "--url", f"http://127.0.0.1:{port}"])
    assert code == 2
    assert len(out.read_text().splitlines()) == 1


def test_thresholds_are_sent_and_told(client, fake, images):
    code, out, _ = client("detector", images / "0.jpg", "--score_threshold", 0.5, "--iou_threshold", 0.25)
    wanted = {"score_threshold": 0.5, "iou_threshold": 0.25}
    assert (code, fake.parameters, json.loads(out)["parameters"]) == (0, wanted, wanted)
    assert fake.images == [b"image\x00"]


def test_a_key_is_sent_and_no_password_is_told(monkeypatch, free_ports):
    monkeypatch.setenv("MODELPORT_API_KEY", "secret")
    url = f"http://user:password@127.0.0.1:{free_ports(1)[0]}"
    with Service(url, "digits", 5, 1) as service:
        assert service._client.headers["authorization"] == "Bearer secret"
        with pytest.raises(UnreachableError) as refused:
            service.window_length()
    assert "password" not in str(refused.value)
