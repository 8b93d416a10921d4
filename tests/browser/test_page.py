"""Each tab of the page, used as a person would."""

import base64
import re
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from image_files import encode
from PIL import Image
from playwright.sync_api import expect

from modelport.environment import ROOT

PAGE = ROOT / "transformers" / "kserve_transformers" / "page"
FIVE = [
    (0.67, 0.22),
    (0.38, 0.22),
    (0.36, 0.46),
    (0.52, 0.41),
    (0.66, 0.5),
    (0.67, 0.65),
    (0.58, 0.77),
    (0.42, 0.78),
    (0.32, 0.7),
]
TABS = ("detector", "classifier", "cars", "digits", "anomaly")


def drop(panel: Any, name: str, content: bytes, media_type: str) -> None:
    """Drop a file on the page, as from a file manager."""
    transfer = panel.page.evaluate_handle(
        """([name, content, type]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name, { type }));
            return transfer;
        }""",
        [name, base64.b64encode(content).decode(), media_type],
    )
    for event in ("dragenter", "dragover", "drop"):
        panel.locator(".ask").dispatch_event(event, {"dataTransfer": transfer})


def slide(panel: Any, name: str, value: float) -> None:
    panel.locator(f"input[name={name}]").fill(str(value))


def draw_five(visit: Any, panel: Any) -> None:
    box = panel.locator(".pad").bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in FIVE]
    mouse = visit.page.mouse
    mouse.move(*points[0])
    mouse.down()
    for point in points[1:]:
        mouse.move(*point, steps=6)


def boxed_pixels(panel: Any) -> int:
    """How much of the shown image has the colour of the first label's boxes."""
    return panel.locator("canvas.image").evaluate(
        """(canvas) => {
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let count = 0;
            for (let at = 0; at < data.length; at += 4)
                count += data[at] === 0x5e && data[at + 1] === 0xea && data[at + 2] === 0xd4;
            return count;
        }"""
    )


def faint_words(visit: Any) -> list[str]:
    """What has less contrast than WCAG AA asks for: 4.5 to 1, and 3 to 1 for large letters."""
    found: list[str] = visit.page.evaluate((Path(__file__).parent / "contrast.js").read_text())
    return found


def test_a_dropped_image_is_boxed(visit, images):
    panel = visit.open("detector")
    drop(panel, "coffee.jpg", (images / "coffee.jpg").read_bytes(), "image/jpeg")
    expect(panel.locator(".headline")).to_have_text("1 object")
    expect(panel.locator(".bar")).to_contain_text(["cup"])
    expect(panel.locator("canvas.image")).to_have_attribute("aria-label", "1 object, cup")
    expect(panel.locator("canvas.image")).to_be_visible()
    expect(panel.locator(".legend")).to_contain_text("infer")
    assert boxed_pixels(panel) > 500
    visit.screenshot()


def test_sliders_change_how_many_boxes_there_are(visit):
    panel = visit.open("detector")
    panel.get_by_role("button", name="Try the example").click()
    expect(panel.locator(".bar")).to_have_count(4)
    slide(panel, "score_threshold", 0.05)
    expect(panel.locator(".bar").nth(4)).to_be_visible()
    some = panel.locator(".bar").count()
    slide(panel, "iou_threshold", 1)
    expect(panel.locator(".bar").nth(some)).to_be_visible()
    for value in (0.2, 0.6, 0.9, 1):  # only the last of them counts
        slide(panel, "score_threshold", value)
    expect(panel.locator(".headline")).to_have_text("No objects")
    expect(panel.locator(".result")).to_contain_text("Nothing scores 1.00 or more")
    assert boxed_pixels(panel) == 0


def test_a_pasted_image_is_classified(visit, images):
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel = visit.open("classifier")
    visit.page.evaluate(
        """(content) => navigator.clipboard.write([new ClipboardItem({
            "image/png": new Blob([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], { type: "image/png" })
        })])""",
        base64.b64encode(encode(Image.open(images / "coffee.jpg"), "PNG")).decode(),
    )
    visit.page.keyboard.press("Control+V")
    expect(panel.locator(".headline")).to_have_text("espresso")
    expect(panel.locator(".bar")).to_have_count(5)
    expect(panel.locator(".by")).to_contain_text(
        re.compile("Answered by (wide_resnet50_2|mobilenet_v2|efficientnet_lite0)")
    )
    expect(panel.get_by_role("link", name="Save image.png")).to_be_visible()
    visit.screenshot()


def test_a_chosen_car_is_named_with_the_models_own_warning(visit, stack, images):
    panel = visit.open("cars")
    with visit.page.expect_file_chooser() as chooser:
        panel.get_by_text("Choose an image").click()
    chooser.value.set_files(images / "chelsea.jpg")
    expect(panel.locator(".bar")).to_have_count(5)
    photo = {"file": (images / "chelsea.jpg").read_bytes()}
    answer = httpx.post(f"{stack.http}/cars/predict", files=photo, timeout=60).json()
    expect(panel.locator(".bar .name").first).to_have_text(answer["top_prediction"]["class"].replace("_", " "))
    warned = "warning" in answer
    expect(panel.locator(".headline")).to_have_count(0 if warned else 1)
    expect(panel.locator(".result > :first-child")).to_have_class("notice" if warned else "headline")
    visit.screenshot()


def test_a_five_is_read_while_it_is_drawn(visit):
    panel = visit.open("digits")
    draw_five(visit, panel)
    expect(panel.locator(".digit")).to_have_text("5")  # the pen is still down
    visit.page.mouse.up()
    visit.screenshot()
    panel.get_by_role("button", name="Clear").click()
    expect(panel.locator(".result")).to_have_text("The answer appears here.")


def test_a_dropped_series_is_plotted_with_its_anomaly(visit):
    panel = visit.open("anomaly")
    drop(panel, "pressure.csv", (PAGE / "pressure.csv").read_bytes(), "text/csv")
    expect(panel.locator(".headline")).to_have_text(re.compile("Anomaly in [0-9]+ of 8 windows"))
    expect(panel.locator(".found li").first).to_contain_text("192 to 255")
    expect(panel.locator("svg .unusual")).to_have_count(panel.locator(".found li").count())
    for line in ("series", "rebuilt", "error", "threshold"):
        assert panel.locator(f"svg .{line}").bounding_box()["width"] > 200
    visit.screenshot()


def test_a_column_is_chosen_and_a_long_series_is_asked_in_parts(visit):
    panel = visit.open("anomaly")
    rows = (PAGE / "pressure.csv").read_text().split()[1:] * 5
    table = "\n".join(["time;flat;pressure", *(f"{i},5;80;{row.replace('.', ',')}" for i, row in enumerate(rows))])
    drop(panel, "table.csv", table.encode(), "text/csv")
    expect(panel.get_by_role("alert")).to_contain_text("More than one column holds numbers: say which of time, flat,")
    panel.get_by_label("Column").select_option("pressure")
    expect(panel.locator(".headline")).to_have_text(re.compile("Anomaly in [0-9]+ of 38 windows"))
    expect(panel.locator(".where")).to_contain_text("The first of 2 requests.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("1, 2, x, 4", "Line 1, number 3: 'x' is not a number.", id="a letter"),
        pytest.param("time,b\n1,2\n3,\n", "Line 3, column b: the value is missing (empty)", id="a gap"),
        pytest.param("1 2 3", "The series has 3 numbers; the model's windows take 64.", id="too short"),
        pytest.param("1\n" * 20_001, "The series has 20001 numbers; this page takes 20000.", id="too long"),
        pytest.param(" ", "The series is empty: there are no numbers.", id="nothing"),
    ],
)
def test_a_series_that_cannot_be_read_says_why(visit, text, message):
    panel = visit.open("anomaly")
    if len(text) < 100:
        panel.locator("textarea").fill(text)
    else:
        drop(panel, "long.txt", text.encode(), "text/plain")
    expect(panel.get_by_role("alert")).to_contain_text(message)


def test_a_broken_file_and_then_a_good_one(visit, images):
    visit.provoked.append("status of 415")
    panel = visit.open("classifier")
    drop(panel, "broken.jpg", b"this is no image", "image/jpeg")
    expect(panel.get_by_role("alert")).to_contain_text("image")
    expect(panel.get_by_role("button", name="Try again")).to_be_hidden()
    visit.screenshot()
    drop(panel, "coffee.jpg", (images / "coffee.jpg").read_bytes(), "image/jpeg")
    expect(panel.locator(".headline")).to_have_text("espresso")
    expect(panel.get_by_role("alert")).to_be_hidden()


def test_offline_is_said_and_the_request_can_be_sent_again(visit):
    visit.provoked.append("ERR_INTERNET_DISCONNECTED")
    panel = visit.open("digits")
    visit.context.set_offline(True)
    draw_five(visit, panel)
    visit.page.mouse.up()
    expect(panel.get_by_role("alert")).to_contain_text("You are offline.")
    visit.screenshot()
    visit.context.set_offline(False)
    panel.get_by_role("button", name="Try again").click()
    expect(panel.locator(".digit")).to_have_text("5")


def test_by_keyboard_alone(visit):
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    panel = visit.open("detector")
    keys = visit.page.keyboard

    def focused() -> Any:
        return visit.page.locator(":focus")

    with visit.page.expect_file_chooser():
        keys.press("Tab")
        expect(focused()).to_have_text("Detector")
        for key, name in (("ArrowRight", "Classifier"), ("End", "Anomaly"), ("ArrowRight", "Detector")):
            keys.press(key)
            expect(focused()).to_have_text(name)
            expect(visit.panel(name.lower())).to_be_visible()
            assert focused().evaluate("(tab) => getComputedStyle(tab).outlineStyle") == "solid"
        expect(visit.page.locator("#services").get_by_role("tab", selected=True)).to_have_text("Detector")
        keys.press("Tab")
        expect(focused()).to_have_class("choose")
        keys.press("Enter")
    keys.press("Tab")
    expect(focused()).to_have_text("Try the example")
    keys.press("Enter")
    expect(panel.locator(".headline")).to_have_text("4 objects")
    keys.press("Tab")
    keys.press("End")
    expect(panel.locator(".headline")).to_have_text("No objects")
    for _ in range(2):
        keys.press("Tab")
    expect(focused()).to_have_text("curl")
    keys.press("ArrowRight")
    expect(panel.locator("pre")).to_contain_text("import tritonclient.http")
    for _ in range(2):
        keys.press("Tab")
    expect(focused()).to_have_text("Copy")
    visit.keep_sayings(focused())
    keys.press("Enter")
    expect(focused()).to_have_attribute("data-said", re.compile(re.escape("|Copied")))
    assert visit.page.evaluate("navigator.clipboard.readText()") == panel.locator("pre").text_content()


@pytest.mark.parametrize("service", TABS)
def test_in_the_dark(visits, stack, service):
    visit = visits(stack.http, color_scheme="dark")
    panel = visit.open(service)
    panel.get_by_role("button", name="Try the example").click()
    expect(panel.locator(".code pre")).not_to_be_empty()
    ground = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert int(re.search(r"\d+", ground)[0]) < 60
    assert faint_words(visit) == []
    visit.screenshot(f"{service}-dark")


@pytest.mark.parametrize("service", TABS)
def test_it_fits_a_phone(visits, stack, service):
    visit = visits(stack.http, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    panel = visit.open(service)
    if service != "anomaly":
        expect(panel.get_by_text("Take a photo")).to_be_visible()
        camera = panel.locator("input[capture=environment]")
        expect(camera).to_have_attribute("accept", "image/*")
    assert visit.page.evaluate("scrollY") == 0
    panel.get_by_role("button", name="Try the example").tap()
    expect(panel.locator(".code pre")).not_to_be_empty()
    expect(panel.locator(".result > :first-child")).to_be_in_viewport(ratio=1)
    assert visit.page.evaluate("scrollY") > 0
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert visit.page.evaluate("visualViewport.width") == 360
    assert faint_words(visit) == []
    visit.screenshot(f"{service}-phone")


def test_a_phone_keeps_what_is_drawn_on_or_moved_in_view(visits, stack):
    visit = visits(stack.http, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    panel = visit.open("digits")
    draw_five(visit, panel)
    visit.page.mouse.up()
    expect(panel.locator(".digit")).to_be_in_viewport(ratio=1)
    expect(panel.locator(".pad")).to_be_in_viewport(ratio=0.8)
    panel = visit.open("detector")
    panel.get_by_role("button", name="Try the example").tap()
    expect(panel.locator(".headline")).to_have_text("4 objects")
    panel.locator("input[name=score_threshold]").scroll_into_view_if_needed()
    slide(panel, "score_threshold", 1)
    expect(panel.locator(".headline")).to_have_text("No objects")
    expect(panel.locator("input[name=score_threshold]")).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_stages_have_colours_that_are_told_apart(visits, stack, scheme):
    visit = visits(stack.http, color_scheme=scheme)
    panel = visit.open("digits")
    panel.get_by_role("button", name="Try the example").click()
    expect(panel.locator(".legend")).to_contain_text("in all")
    shown = [
        panel.locator(parts).evaluate_all(
            f"(parts) => parts.map((part) => getComputedStyle(part, {pseudo}).backgroundColor)"
        )
        for parts, pseudo in ((".stages span", "null"), (".legend li:not(.total)", "'::before'"))
    ]
    assert shown[0] == shown[1]
    assert len(shown[0]) == 6  # five stages and the way
    rgb = np.array([[re.findall(r"\d+", colour) for colour in shown[0]]], np.float32) / 255
    (lab,) = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    difference = np.linalg.norm(lab[:, None] - lab[None], axis=-1)  # CIE76: 2.3 is just noticeable
    assert difference[~np.eye(6, dtype=bool)].min() > 25
    assert np.diagonal(difference, 1).min() > 50  # neighbours


@pytest.mark.parametrize("service", TABS)
def test_a_tab_says_what_its_model_is(visit, stack, service):
    about = visit.open(service).locator(".about")
    models = httpx.get(f"{stack.http}/v2/models/{service}", timeout=60).json()["parameters"]["models"]
    trained = {name: model for name, model in models.items() if model["weights"] != "untrained"}
    name, model = next(iter({**trained, **models}.items()))
    labels = f", {model['labels']} labels" if service != "anomaly" else ""
    expect(about).to_contain_text(f"Model: {name}{labels}, {model['weights']}.")


def test_a_warned_answer_is_no_headline_in_any_tab(visit):
    """Whatever the model: here each is said to be untrained."""

    def warn(route: Any) -> None:
        answer = route.fetch()
        predictions = [{**one, "warning": "untrained weights"} for one in answer.json()["predictions"]]
        route.fulfill(response=answer, json={"predictions": predictions})

    visit.page.route("**:predict", warn)
    for service in TABS:
        panel = visit.open(service)
        panel.get_by_role("button", name="Try the example").click()
        expect(panel.locator(".result > :first-child")).to_have_text("Untrained weights.")
        sizes = panel.locator(".result *").evaluate_all(
            "(all) => all.map((one) => parseFloat(getComputedStyle(one).fontSize))"
        )
        assert max(sizes) == 16, service


def test_copying_where_browsers_do_not_offer_the_clipboard(visit):
    """As they do not to pages that came over plain http from another machine."""
    visit.page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    panel = visit.open("anomaly")
    panel.get_by_role("button", name="Try the example").click()
    expect(panel.locator("pre")).not_to_be_empty()
    visit.keep_sayings(panel.locator(".copy"))
    panel.locator(".copy").click()
    expect(panel.locator(".copy")).to_have_attribute("data-said", re.compile(re.escape("|Copied")))
    panel.locator("textarea").fill("")
    panel.locator("textarea").press("Control+V")
    expect(panel.locator("textarea")).to_have_value(re.compile("^curl -s .*END$", re.DOTALL))


def test_nothing_moves_for_those_who_asked_for_that(visits, stack):
    visit = visits(stack.http, reduced_motion="reduce")
    panel = visit.open("classifier")
    panel.get_by_role("button", name="Try the example").click()
    moving = panel.locator(".filled").first.evaluate("(bar) => getComputedStyle(bar).transitionDuration")
    assert moving == "0s"
