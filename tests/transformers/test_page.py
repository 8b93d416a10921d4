"""The page as browsers, programs and caches see it, from a server without a Triton behind it."""

import html
import re

import orjson
import pytest
from httpx import ASGITransport, AsyncClient
from starlette.responses import JSONResponse

from kserve_transformers.routes.page import FOLDER, Page
from kserve_transformers.server import build_services
from kserve_transformers.settings import Limits, parse_settings

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
SETTINGS = parse_settings(["--service=detector=detection:m", "--service=digits=digits:mnist", "--score_threshold=0.4"])


async def programs(scope, receive, send):
    """What stands behind the page: it answers everything."""
    await JSONResponse({"path": scope["path"]})(scope, receive, send)


@pytest.fixture
async def client():
    transport = ASGITransport(Page(programs, build_services(SETTINGS, None, None), Limits()))
    async with AsyncClient(transport=transport, base_url="http://page.example") as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/detector/", "/digits/"])
async def test_browsers_get_the_page_and_programs_what_they_always_got(client, path):
    page = await client.get(path, headers=BROWSER)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>" in page.text
    for accept in ({}, {"accept": "*/*"}, {"accept": "application/json"}):
        assert (await client.get(path, headers=accept)).json() == {"path": path}
    assert page.headers["vary"] == (await client.get(path)).headers["vary"] == "Accept"


async def test_the_last_slash_may_be_left_out(client):
    redirected = await client.get("/digits", headers=BROWSER)
    assert (redirected.status_code, redirected.headers["location"]) == (307, "/digits/")
    assert (await client.get("/digits")).json() == {"path": "/digits"}


async def test_reference_needs_nothing_from_elsewhere(client):
    response = await client.get("/docs")
    assert response.headers["content-type"].startswith("text/html")
    assert "script-src 'self'; style-src 'self'" in response.headers["content-security-policy"]
    addresses = re.findall(r'(?:href|src)="([^"]*)"', response.text)
    assert {"/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js", "/openapi.json"} <= set(addresses)
    for address in set(addresses) - {"/openapi.json"}:
        assert (await client.get(address)).headers["etag"], address


@pytest.mark.parametrize(
    "path", ["/cars/", "/cars", "/v2/models", "/page/", "/page/..%2fserver.py", "/page/index.html", "/docs/x"]
)
async def test_all_else_is_not_the_pages(client, path):
    assert "path" in (await client.get(path, headers=BROWSER)).json()


@pytest.mark.parametrize("path", ["/", "/page/app.js"])
async def test_only_reading_is(client, path):
    assert (await client.post(path, headers=BROWSER)).json() == {"path": path}
    head = await client.head(path, headers=BROWSER)
    assert head.headers["etag"] == (await client.get(path, headers=BROWSER)).headers["etag"]


async def test_everything_that_it_names_is_there_below_each_address(client):
    named = re.findall(r'(?:src|href)="page/([\w.-]+)"', (FOLDER / "index.html").read_text())
    for script in FOLDER.glob("*.js"):
        named += re.findall(r'(?:from "\./|fetchFile\(")([\w.-]+)"', script.read_text())
    names = set(named)
    assert names == {path.name for path in FOLDER.iterdir()} - {"index.html"}
    for name in names:
        for address in ("/", "/detector/", "/digits/"):
            response = await client.get(f"{address}page/{name}")
            assert response.content == (FOLDER / name).read_bytes()
            assert response.headers["x-content-type-options"] == "nosniff"


async def test_caches_ask_again_and_are_told_that_nothing_changed(client):
    first = await client.get("/page/app.js")
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get("/page/app.js", headers={"if-none-match": f'"other", {first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


async def test_nothing_stands_in_the_markup_that_the_policy_forbids(client):
    page = await client.get("/", headers=BROWSER)
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert page.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)", page.text)


def test_it_is_small_and_names_no_address_elsewhere():
    files = list(FOLDER.iterdir())
    assert sum(path.stat().st_size for path in files) < 100_000
    for path in files:
        if path.suffix != ".jpg":
            addresses = set(re.findall(r"\w+://[\w.-]+", path.read_text()))
            assert addresses <= {"http://www.w3.org"}, path.name  # the name of SVG, which nobody fetches


async def test_it_knows_what_the_server_hosts_and_takes(client):
    page = (await client.get("/", headers=BROWSER)).text
    told = html.unescape(re.search(r'name="modelport" content="(.*?)"', page)[1])
    assert orjson.loads(told) == {
        "services": [
            {
                "name": "detector",
                "view": "detection",
                "outputs": ["box", "score", "label", "image_index"],
                "defaults": {"score_threshold": 0.4, "iou_threshold": 0.45},
            },
            {"name": "digits", "view": "digits", "outputs": ["digit", "confidence"], "defaults": {}},
        ],
        "maxBodyBytes": Limits.body_bytes,
        "maxInstances": Limits.instances,
    }


async def test_its_file_dialogues_offer_what_the_server_reads():
    limits = Limits(refused_formats=("HEIC",))
    transport = ASGITransport(Page(programs, build_services(SETTINGS, None, None), limits))
    async with AsyncClient(transport=transport, base_url="http://page.example") as client:
        page = (await client.get("/", headers=BROWSER)).text
    types = re.search(r'class="choose" accept="(.*?)"', page)[1].split(",")
    assert {"image/jpeg", "image/tiff", "image/avif"} < set(types)
    assert "image/heic" not in types
