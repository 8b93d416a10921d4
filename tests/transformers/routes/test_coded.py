"""Content codings on the wire, and slashes at the end of a path, with an app that tells what reached it."""

import gzip
import random
import zlib

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.testclient import TestClient

from kserve_transformers.body_limit import BodyLimit
from kserve_transformers.routes.coded import Coded
from kserve_transformers.routes.table import EitherSlash
from kserve_transformers.sdk.errors import add_error_handlers

LARGE = b"0123456789" * 1000
LIMIT = 3_000_000


@pytest.fixture(scope="module")
def client():
    app = FastAPI()
    app.router.redirect_slashes = False
    add_error_handlers(app)

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        seen = request.headers.get("content-encoding", "none")
        return Response(await request.body(), headers={"x-seen": seen}, media_type="text/plain")

    @app.get("/image")
    async def image() -> Response:
        return Response(LARGE, media_type="image/jpeg")

    @app.get("/page")
    async def page() -> Response:
        return Response(LARGE, headers={"etag": '"abc"', "vary": "Accept"}, media_type="text/html")

    app.add_middleware(EitherSlash)
    app.add_middleware(BodyLimit, max_bytes=LIMIT, max_s=60)
    app.add_middleware(Coded)
    with TestClient(app) as client:
        client.headers["accept-encoding"] = "identity"
        yield client


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(LARGE)),
        ("X-GZIP", gzip.compress(LARGE)),
        ("deflate", zlib.compress(LARGE)),
        ("identity", LARGE),
    ],
    ids=["gzip", "X-GZIP", "deflate", "identity"],
)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/echo", "/echo/"])
def test_a_coded_body_arrives_as_if_it_were_not(client, coding, body, chunked, path):
    content = (body[at : at + 100] for at in range(0, len(body), 100)) if chunked else body
    response = client.post(path, content=content, headers={"content-encoding": coding})
    assert response.status_code == 200
    assert response.content == LARGE
    assert response.headers["x-seen"] == "none"


@pytest.mark.parametrize(
    ("coding", "body", "status", "message"),
    [
        pytest.param("gzip", LARGE, 400, "not well-formed gzip", id="not coded"),
        pytest.param("gzip", gzip.compress(LARGE)[:-1], 400, "cut off", id="cut off"),
        pytest.param("gzip", gzip.compress(bytes(2_900_000)), 413, "unfolds to more than", id="ratio"),
        pytest.param(
            "gzip", gzip.compress(random.Random(1).randbytes(LIMIT + 1)), 413, "larger than 3000000", id="size"
        ),
        pytest.param("br", b"", 415, "content coding 'br'", id="another coding"),
        pytest.param("gzip, br", b"", 415, "content coding 'gzip, br'", id="two codings"),
    ],
)
def test_a_coded_body_that_is_refused(client, coding, body, status, message):
    response = client.post("/echo", content=body, headers={"content-encoding": coding})
    assert response.status_code == status
    assert message in response.json()["error"]
    assert ("accept-encoding" in response.headers) == (status == 415)


@pytest.mark.parametrize(
    ("accepted", "coding"), [("gzip", "gzip"), ("deflate", "deflate"), ("br", None), ("gzip;q=0, deflate", "deflate")]
)
def test_a_large_answer_is_coded_for_whom_it_may_be(client, accepted, coding):
    response = client.get("/page", headers={"accept-encoding": accepted})
    assert response.content == LARGE  # decoded by the client
    assert response.headers.get("content-encoding") == coding
    assert {"Accept", "Accept-Encoding"} == set(response.headers["vary"].split(", "))
    assert response.headers["etag"] == ('W/"abc"' if coding else '"abc"')
    assert (int(response.headers["content-length"]) < len(LARGE) / 10) == (coding is not None)


def test_a_huge_answer_is_coded(client):
    body = b"0123456789" * 50_000
    response = client.post("/echo", content=body, headers={"accept-encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip"
    assert response.content == body


@pytest.mark.parametrize("ask", [lambda c, h: c.get("/image", headers=h), lambda c, h: c.post("/echo", headers=h)])
def test_small_answers_and_images_are_not_coded(client, ask):
    response = ask(client, {"accept-encoding": "gzip"})
    assert "content-encoding" not in response.headers
    assert "vary" not in response.headers
