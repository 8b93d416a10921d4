"""A tab for each service that is declared, by its task: a second detector has one without a line of code."""

from playwright.sync_api import expect


def test_a_second_detector_has_a_tab_of_its_own(serving, visits, tmp_path):
    declared = ["--service=detector=detection:yolov3_tiny", "--service=helmets=detection:yolov3_tiny,spare"]
    options = [*declared, "--predictor_host=127.0.0.1:9", "--score_threshold=0.55"]
    with serving(tmp_path / "log", "/v2/health/live", *options) as url:
        visit = visits(url)
        panel = visit.open("helmets")
        expect(visit.page.get_by_role("tab", name="Detector")).to_be_visible()
        expect(visit.page.get_by_role("tab", name="Helmets")).to_have_attribute("aria-selected", "true")
        expect(panel.get_by_role("heading", name="Objects in an image")).to_be_visible()
        assert panel.locator("input[name=score_threshold]").input_value() == "0.55"
        expect(panel.locator(".models li")).to_have_count(2)
        visit.page.get_by_role("tab", name="Detector").click()
        expect(visit.panel("detector").locator(".models li")).to_have_count(1)
        expect(panel).to_be_hidden()
