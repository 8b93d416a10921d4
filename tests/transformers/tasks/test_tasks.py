"""What every task offers, and what a declaration may name."""

import json

import pytest

from kserve_transformers.chain import Chain
from kserve_transformers.predictor.declaration import Declaration, TensorSpec
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


def declared(datatype="UINT8", shape=(224, 224, 3), parameters=None, **outputs):
    outputs = {name: TensorSpec(name, *spec) for name, spec in outputs.items()}
    return Declaration("m", "1", {"x": TensorSpec("x", datatype, shape)}, outputs, 8, parameters or {}, ())


BOXES = {"boxes": ("FP32", (300, 4)), "scores": ("FP32", (300,)), "classes": ("INT32", (300,))}
ANOMALY = {"mae": ("FP32", (1,)), "reconstruction": ("FP32", (64,))}


@pytest.mark.parametrize(
    ("task", "model", "reason"),
    [
        ("detection", declared(**BOXES), None),
        ("detection", declared(p=("FP32", (80,))), "it has no output boxes, FP32 [?, 4]"),
        ("detection", declared(**BOXES | {"classes": ("FP32", (300,))}), "its output classes is FP32 [300], not INT32"),
        ("detection", declared("FP32", **BOXES), "its input is FP32 [224, 224, 3], not UINT8 [?, ?, 3]"),
        ("classification", declared(any_name=("FP32", (1000,))), None),
        ("classification", declared(p=("FP32", (2,))), None),
        ("classification", declared(p=("FP32", (-1,))), "it does not say how many classes it has"),
        ("classification", declared(**BOXES), "it has no single output"),
        ("classification", declared(p=("FP32", (9,)), parameters={"resize_mode": "x"}), "does not say how it wants"),
        ("digits", declared(shape=(28, 28, 1), probabilities=("FP32", (10,))), None),
        ("digits", declared(**BOXES), "its input is UINT8 [224, 224, 3], not UINT8 [28, 28, 1]"),
        ("digits", declared(shape=(28, 28, 1), probabilities=("FP32", (62,))), "is FP32 [62], not FP32 [10]"),
        ("anomaly", declared("FP32", (64,), {"threshold": "0.8"}, **ANOMALY), None),
        ("anomaly", declared("FP32", (64,), {"threshold": "high"}, **ANOMALY), "no parameter threshold"),
        ("anomaly", declared("FP32", (64,), **ANOMALY), "no parameter threshold"),
    ],
)
def test_model_is_checked_against_the_task(task, model, reason):
    found = build_task(ServiceSpec("mine", task, ("m",))).misfit(model)
    assert found is None if reason is None else reason in found


def test_model_that_does_not_fit_is_never_ready_and_never_a_candidate():
    class Model:
        name, unready_reason, known_declaration = "m", None, declared(**BOXES)
        declaration = known_declaration

    chain = Chain("mine", [Model()], build_task(ServiceSpec("mine", "digits", ("m",))).misfit)
    assert "m: does not fit mine: its input is" in chain.unready_reason
    assert (chain.candidates(), chain.ready_declarations, chain.first) == ([], [], None)


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
