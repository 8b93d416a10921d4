"""`modelport serve` supervises its processes: what is killed or stalled is replaced, and callers see honest errors."""

import signal

import httpx
import pytest
from processes import STUB, TRANSFORMER, TRITON, matching, running
from serving import served
from waiting import wait_for


@pytest.fixture(scope="module")
def serving(exported, tmp_path_factory):
    """`modelport serve --services=digits`; yields its process, its URL and its log."""
    log = tmp_path_factory.mktemp("supervision") / "log"
    with served(log, "--services=digits") as (process, port):
        yield process, f"http://127.0.0.1:{port}", log


def status(url, image):
    try:
        return httpx.post(
            f"{url}/predict", files={"file": image}, headers={"x-request-timeout-ms": "2000"}, timeout=60
        ).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.parametrize("harm", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stalled"])
def test_a_models_process_is_replaced(serving, repository, harm):
    process, url, _ = serving
    image = (repository / "mnist" / "golden" / "images.png").read_bytes()
    wait_for(lambda: status(url, image) == 200)
    (stub,) = matching(STUB, under=process.pid)
    stub.send_signal(harm)
    seen = set()
    wait_for(lambda: (seen.add(status(url, image)), matching(STUB, under=process.pid) not in ([], [stub]))[1])
    wait_for(lambda: not running(stub))
    wait_for(lambda: (seen.add(status(url, image)), 200 in seen and status(url, image) == 200)[1])
    assert seen <= {200, 502, 503, 504}


@pytest.mark.parametrize("harm", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stalled"])
@pytest.mark.parametrize(("name", "title"), [(TRITON, "Triton"), (TRANSFORMER, "the transformer server")])
def test_a_server_is_named_and_started_again(serving, repository, name, title, harm):
    process, url, log = serving
    image = (repository / "mnist" / "golden" / "images.png").read_bytes()
    wait_for(lambda: status(url, image) == 200)
    told = len(log.read_text())
    (server,) = matching(name, under=process.pid)
    server.send_signal(harm)
    seen = set()
    wait_for(lambda: not running(server))
    wait_for(lambda: (seen.add(status(url, image)), status(url, image) == 200)[1])
    assert seen <= {0, 200, 502, 503, 504}
    wait_for(lambda: f"{title} is ready again" in log.read_text()[told:])
    assert harm != signal.SIGKILL or f"{title} ended (signal SIGKILL): starting it again" in log.read_text()[told:]
    if name == TRITON:
        assert 0 not in seen
