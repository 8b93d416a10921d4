"""A model around its state machine: what its probes, requests and releases do when Triton behaves in a given way."""

import asyncio
import contextlib
import dataclasses
import json
from collections import Counter

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import strategies as st
from tritonclient.utils import InferenceServerException

from kserve_transformers.deadline import Deadline
from kserve_transformers.errors import BadAnswerError, BusyError, NotReadyError, TooLateError
from kserve_transformers.predictor import follower
from kserve_transformers.predictor.limits import DEFAULT_LIMITS
from kserve_transformers.predictor.transport import Transport
from kserve_transformers.predictor.triton_model import Inference, TritonModel

QUICK = dataclasses.replace(
    DEFAULT_LIMITS, probe_retry_s=0.01, idle_min_s=0.01, follow_interval_s=0.01, recovery_s=30.0
)
BATCH = np.ones((1, 2), np.float32)
DEAD = InferenceServerException("Stub process 'm' is not healthy.")
FAILED = InferenceServerException("in graph: division by zero")


class Triton:
    """What the client of a Triton would answer whose models double their input; `answers` says otherwise by model.

    An answer is a factor, a function of the input, an exception, or an event that is awaited first. `to_input` says
    otherwise for all inputs that begin with a number.
    """

    def __init__(self):
        self.answers, self.to_input = {}, {}
        self.inferences = Counter()

    async def get_model_metadata(self, name):
        tensor = {"datatype": "FP32", "shape": [-1, 2]}
        return {"versions": ["1"], "inputs": [{"name": "x", **tensor}], "outputs": [{"name": "y", **tensor}]}

    async def get_model_config(self, name):
        return {"max_batch_size": 8, "output": [{"name": "y"}]}

    async def infer(self, name, inputs, outputs, **options):
        self.inferences[name] += 1
        batch = np.frombuffer(inputs[0]._get_binary_data(), np.float32).reshape(inputs[0].shape())
        answer = self.to_input.get(float(batch.flat[0]), self.answers.get(name, 2))
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = 2
        if isinstance(answer, Exception):
            raise answer
        return Result(answer(batch) if callable(answer) else (batch * answer).astype(np.float32))


class Result:
    def __init__(self, array):
        self._array = array

    def get_response(self):
        return {"model_version": "1"}

    def as_numpy(self, name):
        return self._array


@pytest.fixture
def repository(tmp_path):
    for name in ("m", "m.r2"):
        (tmp_path / name / "golden").mkdir(parents=True)
        (tmp_path / name / "golden" / "x.json").write_text("[1, 2]")
        answer = {"outputs": {"y": {"values": [2, 4], "atol": 0.1}}}
        (tmp_path / name / "golden" / "answer.json").write_text(json.dumps(answer))
    return tmp_path


@pytest.fixture
def triton():
    return Triton()


@contextlib.asynccontextmanager
async def watched(triton, repository, **options):
    model = TritonModel(triton, "m", repository, 4, **{"limits": QUICK, **options})
    task = asyncio.create_task(model.watch())
    try:
        yield model
    finally:
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  (there is no event for all that a caller can see)
            await asyncio.sleep(0.001)


async def infer(model, **options):
    answer = await model.infer(model.declaration, BATCH, Deadline.after(30), **options)
    return answer.outputs["y"].tolist()


def assign(repository, release):
    (repository / "serving.json").write_text(json.dumps({"m": release}))


async def test_a_model_answers_only_while_its_golden_answer_is_right(triton, repository):
    triton.answers["m"] = 3
    async with watched(triton, repository) as model:
        await until(lambda: "golden sample's answer is wrong" in model.unready_reason)
        with pytest.raises(NotReadyError):
            await infer(model)
        triton.answers["m"] = 2
        await until(lambda: model.ready)
        assert await infer(model) == [[2.0, 2.0]]
        declaration, triton.answers["m"] = model.declaration, 3
        await until(lambda: not model.ready)
        with pytest.raises(NotReadyError):
            await model.infer(declaration, BATCH, Deadline.after(30))


async def test_a_request_that_was_not_carried_out_is_repeated_after_recovery(triton, repository):
    """Nothing but the request finds the process dead: a probe that came first would have it refused."""
    async with watched(triton, repository, limits=dataclasses.replace(QUICK, idle_min_s=60.0)) as model:
        await until(lambda: model.ready)
        triton.answers["m"] = DEAD
        request = asyncio.create_task(infer(model, retry=True))
        await until(lambda: not model.ready)
        triton.answers["m"] = 2
        assert await request == [[2.0, 2.0]]
        assert model.ready


async def test_an_open_breaker_sends_nothing_but_the_golden_sample(triton, repository):
    async with watched(triton, repository) as model:
        await until(lambda: model.ready)
        triton.answers["m"] = FAILED
        await until(lambda: not model.ready)
        with pytest.raises(NotReadyError, match="failed its golden check"):
            await infer(model)
        triton.answers["m"] = 2
        await until(lambda: model.ready)
        assert await infer(model) == [[2.0, 2.0]]


# What a model can answer to one caller's input, or Triton in its place.
BAD_ANSWERS = {
    "an error": FAILED,
    "infinity": np.inf,
    "not a number": np.nan,
    "too many rows": lambda x: np.repeat(x, 2, axis=0),
    "too few columns": lambda x: x[:, :1],
    "another type": lambda x: x.astype(np.float64),
    "no such output": lambda x: None,
    "cut off": ValueError("buffer size must be a multiple of element size"),
    "no JSON of V2": KeyError("outputs"),
}


@pytest.mark.parametrize("bad", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_a_bad_answer_to_one_input_is_tried_against_the_golden_sample(triton, repository, bad):
    """The neighbour never notices; the golden sample, sent soon, acquits the model."""
    async with watched(triton, repository, limits=dataclasses.replace(QUICK, idle_min_s=60.0)) as model:
        await until(lambda: model.ready)
        triton.to_input[666.0] = bad
        probes = triton.inferences["m"]
        for _ in range(20):
            with pytest.raises(BadAnswerError):
                await model.infer(model.declaration, BATCH * 666, Deadline.after(30))
            assert await infer(model) == [[2.0, 2.0]]
            assert model.ready
        await until(lambda: triton.inferences["m"] - probes > 40)
        assert model.ready


@hypothesis.given(st.lists(st.sampled_from(["good", *BAD_ANSWERS, "late"]), max_size=30), st.sampled_from([1, 3]))
@hypothesis.settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_sequence_of_one_callers_inputs_is_noticed_by_a_neighbour(repository, sequence, at_once):
    async def run():
        triton = Triton()
        limits = dataclasses.replace(QUICK, blame_timeout_s=0.0)
        async with watched(triton, repository, limits=limits) as model:
            await until(lambda: model.ready)
            for kind in sequence:
                triton.to_input[666.0] = asyncio.Event() if kind == "late" else BAD_ANSWERS.get(kind, 2)
                timeout_s = 0.002 if kind == "late" else 30
                bad = [model.infer(model.declaration, BATCH * 666, Deadline.after(timeout_s)) for _ in range(at_once)]
                *results, neighbour = await asyncio.gather(*bad, infer(model), return_exceptions=True)
                assert neighbour == [[2.0, 2.0]]
                assert model.ready
                # A queue that knows its pace refuses at once what would be late.
                expected = {"good": {Inference}, "late": {TooLateError, BusyError}}.get(kind, {BadAnswerError})
                assert {type(result) for result in results} <= expected

    asyncio.run(run())


async def test_the_assigned_release_takes_over_while_the_other_drains(triton, repository):
    async with watched(triton, repository, follow=True) as model:
        await until(lambda: model.ready)
        with model.use() as declaration:
            assign(repository, "r2")
            await until(lambda: model.release == "r2")
            assert (declaration.name, model.draining) == ("m", [None])
        assert (model.ready, model.draining, model.refused) == (True, [], None)
        assert triton.inferences["m.r2"] >= DEFAULT_LIMITS.warm_up_inferences
        assert model.declaration.name == "m.r2"


@pytest.mark.parametrize("answer", [3, FAILED, DEAD], ids=["wrong", "error", "dead"])
async def test_a_release_that_does_not_prove_itself_never_answers(triton, repository, answer):
    triton.answers["m.r2"] = answer
    async with watched(triton, repository, follow=True) as model:
        await until(lambda: model.ready)
        assign(repository, "r2")
        await until(lambda: model.refused)
        assert (model.refused[0], model.release, model.ready) == ("r2", None, True)
        assign(repository, None)
        await until(lambda: model.refused is None)


async def test_a_failure_of_the_release_before_is_not_that_of_the_new_one(triton, repository):
    async with watched(triton, repository, follow=True) as model:
        await until(lambda: model.ready)
        before, triton.answers["m"] = model.declaration, asyncio.Event()
        late = [asyncio.create_task(model.infer(before, BATCH, Deadline.after(30))) for _ in range(3)]
        await until(lambda: triton.inferences["m"] > 3)
        assign(repository, "r2")
        await until(lambda: model.release == "r2")
        for request in late:
            request.cancel()
        triton.answers["m"] = DEAD
        with pytest.raises(NotReadyError):
            await model.infer(before, BATCH, Deadline.after(30))
        assert model.ready


async def test_a_server_that_was_not_told_to_follow_does_not_read_assignments(triton, repository, monkeypatch):
    assign(repository, "r2")
    read = Counter()

    def assigned_release(*_):
        read["assignments"] += 1
        return "r2"

    monkeypatch.setattr(follower, "assigned_release", assigned_release)
    async with watched(triton, repository) as model:
        await until(lambda: triton.inferences["m"] > 10)
        assert (model.release, model.ready, read.total()) == (None, True, 0)
    async with watched(triton, repository, follow=True) as model:
        await until(lambda: read.total() > 3)
        await until(lambda: model.ready)
        assert model.release == "r2"


async def test_an_assignment_that_cannot_be_read_changes_nothing(triton, repository, caplog):
    assign(repository, "r2")
    async with watched(triton, repository, follow=True) as model:
        await until(lambda: model.ready)
        (repository / "serving.json").write_text("{")
        await until(lambda: "keeps its release" in caplog.text)
        assert (model.release, model.ready) == ("r2", True)


async def test_labels_are_clean_whatever_an_editor_left_in_their_file():
    class Labelled(Triton):
        async def get_model_config(self, name):
            return {"max_batch_size": 8, "output": [{"name": "y", "label_filename": "labels.txt"}]}

        async def infer(self, name, inputs, outputs, **options):
            lines = ["\ufeffperson\r", " traffic light \t"]
            return Result(np.array([f"0.5:{at}:{line}".encode() for at, line in enumerate(lines)], np.object_))

    assert (await Transport(Labelled()).declaration("m")).labels == ("person", "traffic light")
