"""The API reference: Swagger UI on our document, under the page's own content security policy."""

import httpx
from playwright.sync_api import expect


def test_every_operation_is_shown_and_can_be_tried(visit, stack):
    page = visit.page
    page.goto(f"{stack.http}/docs")
    document = httpx.get(f"{stack.http}/openapi.json", timeout=60).json()
    operations = page.locator(".opblock")
    expect(operations).to_have_count(sum(len(methods) for methods in document["paths"].values()))
    live = page.locator("#operations-server-" + document["paths"]["/v2/health/live"]["get"]["operationId"])
    live.locator(".opblock-summary").click()
    live.get_by_role("button", name="Try it out").click()
    live.get_by_role("button", name="Execute").click()
    expect(live.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    visit.screenshot()
