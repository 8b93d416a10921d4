"""Candidates come from the cores, and a candidate changes nothing else in config.pbtxt."""

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from modelport.measure.tune.knobs import DELAYS_US, Knobs, applied, batches, coarse, neighbours, read, threaded

PRESENT = Knobs(2, 1, 500, (4,))


def config(text: str) -> ModelConfig:
    return text_format.Parse(text, ModelConfig())


@pytest.mark.parametrize(
    ("cores", "placements"),
    [
        (1, [(1, 1)]),
        (2, [(1, 1), (1, 2), (2, 1)]),
        (4, [(1, 1), (1, 4), (2, 2), (4, 1)]),
        (6, [(1, 1), (1, 6), (2, 3), (4, 1)]),
        (16, [(1, 1), (1, 16), (2, 8), (4, 4), (8, 2), (16, 1)]),
    ],
)
def test_the_coarse_grid_shares_the_cores(cores, placements):
    grid = coarse(PRESENT, cores, threaded=True)
    assert grid[0] == PRESENT
    assert {(one.instances, one.threads) for one in grid} == {(2, 1), *placements}
    assert {(one.delay_us, one.preferred) for one in grid} == {(500, (4,))}
    assert len(set(grid)) == len(grid)


def test_without_a_parameter_for_threads_only_instances_vary():
    grid = coarse(Knobs(3, None), 4, threaded=False)
    assert [(one.instances, one.threads) for one in grid] == [(3, None), (1, None), (2, None), (4, None)]
    assert {one.threads for one in neighbours(grid[0], 4, batch=0)} == {None}


def test_neighbours_differ_by_one_step_and_stay_near_the_cores():
    found = neighbours(Knobs(2, 2, 500), cores=2, batch=8)
    placements = {(one.instances, one.threads) for one in found}
    assert placements == {(2, 2), (1, 2), (2, 1)}  # six threads would be too many for two cores
    for one in found:
        changed = [one.instances != 2 or one.threads != 2, one.delay_us != 500, bool(one.preferred)]
        assert sum(changed) == 1
    assert {one.delay_us for one in found} == {0, 500, 2000}
    assert {one.preferred for one in found} == {(), (1,), (4,), (8,)}


def test_neighbours_of_the_ends():
    assert {one.delay_us for one in neighbours(Knobs(1, 1, DELAYS_US[-1]), 1, 4)} == {5000, 2000}
    assert {one.preferred for one in neighbours(Knobs(1, 1), 1, 4)} == {(), (1,), (4,)}
    assert {(one.delay_us, one.preferred) for one in neighbours(Knobs(1, 1), 4, 0)} == {(0, ())}


WHOLE = """name: "m" platform: "pytorch_libtorch" max_batch_size: 8
input { name: "x__0" data_type: TYPE_FP32 dims: [2] } output { name: "y__0" data_type: TYPE_FP32 dims: [3] }
instance_group { count: 2 name: "mine" } version_policy { latest { num_versions: 2 } }
dynamic_batching { max_queue_delay_microseconds: 9 default_queue_policy { allow_timeout_override: true } }
parameters { key: "INTRA_OP_THREAD_COUNT" value { string_value: "3" } }
parameters { key: "accuracy" value { string_value: "75 %" } }"""


def test_what_is_applied_is_read_again_and_nothing_else_changes():
    before = config(WHOLE)
    after = applied(before, Knobs(4, 1, 0, (4, 8)))
    assert [read(before), read(after)] == [Knobs(2, 3, 9), Knobs(4, 1, 0, (4, 8))]
    assert before == config(WHOLE)
    assert applied(after, read(before)) == before


@pytest.mark.parametrize(
    ("text", "knobs", "batched"),
    [
        pytest.param('platform: "onnxruntime_onnx"', Knobs(1, None), False, id="nothing said"),
        pytest.param('platform: "x" instance_group { kind: KIND_CPU }', Knobs(1, None), False, id="another platform"),
        pytest.param(
            'platform: "tensorflow_savedmodel" instance_group { count: 2 } instance_group { count: 1 } '
            "max_batch_size: 1 dynamic_batching {}",
            Knobs(3, None),
            False,
            id="groups, batches of one",
        ),
        pytest.param(
            'platform: "onnxruntime_onnx" max_batch_size: 4 dynamic_batching {} '
            'parameters { key: "intra_op_thread_count" value { string_value: "0" } }',
            Knobs(1, None),
            True,
            id="the engine chooses threads",
        ),
    ],
)
def test_configs_of_all_kinds(text, knobs, batched):
    message = config(text)
    assert (read(message), batches(message)) == (knobs, batched)
    assert message == config(text)
    threads = 2 if threaded(message) else None
    again = applied(message, Knobs(5, threads, 500, (4,)))
    assert read(again) == (Knobs(5, threads, 500, (4,)) if batched else Knobs(5, threads))


@pytest.mark.parametrize(
    ("knobs", "text"),
    [
        (Knobs(1, 1), "1 instance of 1 thread"),
        (Knobs(2, None, 500), "2 instances, delay 0.5 ms"),
        (Knobs(2, 4, 2000, (4, 8)), "2 instances of 4 threads, delay 2 ms, batches of 4, 8"),
    ],
)
def test_knobs_in_words(knobs, text):
    assert str(knobs) == text
