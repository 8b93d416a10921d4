"""What every task offers, and what a declaration may name."""

import json

import pytest

from kserve_transformers.protocol.requests import InstanceKind
from kserve_transformers.protocol.v1 import parse_v1
from kserve_transformers.protocol.v2 import JSON_LENGTH_HEADER, parse_infer_request
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.tasks import TASKS, build_task
from kserve_transformers.tasks.samples import sample_request, v2_binary

EVERY = [
    pytest.param(build_task(ServiceSpec("mine", name, ("m",), presentation)), id=f"{name}/{presentation}")
    for name, task in TASKS.items()
    for presentation in task.presentations
]


def test_options_have_defaults_that_a_server_may_change():
    detection = build_task(ServiceSpec.parse("d=detection:m"), {"score_threshold": 0.5, "of_another_task": 1})
    assert detection.options({"iou_threshold": 0.2}) == {"score_threshold": 0.5, "iou_threshold": 0.2}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("a=walking:m", "no task 'walking': there are detection"),
        ("a=detection/cars:m", "detection has no presentation 'cars': there are none"),
        ("a=classification/bikes:m", "there are classification/cars"),
    ],
)
def test_what_is_not_there_is_named(argument, message):
    with pytest.raises(ValueError, match=message):
        build_task(ServiceSpec.parse(argument))


@pytest.mark.parametrize("task", EVERY)
def test_samples_are_requests_that_the_protocols_parse(task):
    count = {parse_v1(task.kind, sample_request(task, "v1").body, {}).instances[0].__len__()}
    count.add(len(parse_infer_request(task.kind, sample_request(task, "v2").body, None).request.instances[0]))
    binary = v2_binary(task, task.example_instance())
    parsed = parse_infer_request(task.kind, binary.body, binary.headers[JSON_LENGTH_HEADER])
    count.add(len(parsed.request.instances[0]))
    assert count == {len(task.example_instance())}
    own = sample_request(task, "own")
    assert own.path == f"/mine{task.presentation.route}"
    assert ("data" if task.kind is InstanceKind.WINDOW else "image") in json.loads(own.body)
