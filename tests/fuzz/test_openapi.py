"""Schemathesis: what the OpenAPI document allows and what it does not, sent to the running stack.

A quarter of a minute in the suite; by hand for as long as one likes:
OPENAPI_SECONDS=3600 pytest tests/fuzz/test_openapi.py
"""

import base64
import contextlib
import os
import time

import hypothesis
import pytest
import schemathesis
from corpus import animated, scene, whole
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from kserve_transformers.arrays.images.formats import media_types

pytestmark = [pytest.mark.stack, pytest.mark.timeout(7200)]

SECONDS = float(os.environ.get("OPENAPI_SECONDS", "15"))
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
# A flood on a small machine may find a service busy, not ready or late: documented, and no fault.
NO_FAULT = (429, 502, 503, 504)

REFUSED = [400, 404, 413, 415, *NO_FAULT]

IMAGES = st.sampled_from([sample.data for sample in [*whole(scene((17, 13))), *animated()]])
schemathesis.openapi.format("image", IMAGES.map(lambda data: base64.b64encode(data).decode()))
for media_type in media_types():
    schemathesis.openapi.media_type(media_type, IMAGES)


@pytest.fixture(scope="module")
def schema(stack):
    config = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}})
    return schemathesis.openapi.from_url(f"{stack.http}/openapi.json", config=config)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_operation_keeps_its_word(schema, mode):
    operations = [found.ok() for found in schema.get_all_operations()]
    if mode is GenerationMode.NEGATIVE:  # of a GET without parameters nothing can be wrong
        operations = [operation for operation in operations if operation.body]
    sent: dict[str, int] = {}
    until = time.monotonic() + SECONDS / 2
    for number, operation in enumerate(operations):
        share_until = time.monotonic() + (until - time.monotonic()) / (len(operations) - number)
        sent[operation.label] = _try(operation, mode, share_until)
    assert all(sent.values()), sent


def _try(operation, mode: GenerationMode, until: float) -> int:
    sent = 0

    @hypothesis.settings(
        max_examples=100_000,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.seed(1)
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def send(case) -> None:
        nonlocal sent
        if sent and time.monotonic() > until:
            raise _Enough
        response = case.call(timeout=60)
        sent += 1
        assert response.status_code < 500 or response.status_code in NO_FAULT, response.text
        # schemathesis takes a form with both of its fields for a wrong one
        wrong = mode is GenerationMode.NEGATIVE and case.media_type != "multipart/form-data"
        case.validate_response(response, checks=[*CHECKS, *([checks.negative_data_rejection] if wrong else [])])

    with contextlib.suppress(_Enough):
        send()
    return sent


class _Enough(BaseException):
    """The time is over: hypothesis takes this for no failure."""
