"""SavedModels hold one graph that does arithmetic, the same bytes each time; what reaches outside is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters import saved_model, tensorflow_runtime
from exporters.config import Tensor
from exporters.errors import ArtefactRefusedError, WeightsInvalidError
from exporters.golden import Golden
from kserve_transformers.arrays.golden import Expected

INPUT = Tensor("values", "TYPE_FP32", (3,))
ROW = np.array([1, 2, 3], np.float32)


def doubled_and_summed(values: Any) -> dict[str, Any]:
    import tensorflow as tf

    return {"sum": tf.reduce_sum(values, axis=1, keepdims=True), "doubled": values * 2}


def golden(doubled: tuple[float, ...] = (2, 4, 6), atol: float = 1e-6) -> Golden:
    expected = {"doubled": np.array(doubled, np.float32), "sum": np.array([6], np.float32)}
    return Golden({"values": ROW}, {name: Expected(values, atol) for name, values in expected.items()})


@pytest.mark.parametrize(
    "answer",
    [pytest.param(saved_model.answer, id="TensorFlow"), pytest.param(saved_model.served_answer, id="OpenVINO")],
)
def test_it_answers_by_name_and_batches(answer, tmp_path):
    saved_model.build(tmp_path / "m", doubled_and_summed, INPUT)

    found = answer(tmp_path / "m", "values", np.stack([ROW, 10 * ROW]))

    assert found.keys() == {"doubled", "sum"}
    np.testing.assert_array_equal(found["doubled"], [[2, 4, 6], [20, 40, 60]])
    np.testing.assert_array_equal(found["sum"], [[6], [60]])


def test_the_same_network_gives_the_same_single_file(tmp_path):
    tf = tensorflow_runtime.start()
    import keras

    def build(path: Path) -> bytes:
        tensorflow_runtime.start(seed=5)
        network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="relu")])
        saved_model.build(path, lambda values: {"out": network(tf.cast(values, tf.float32))}, INPUT)
        assert [file.name for file in path.rglob("*")] == ["saved_model.pb"]
        return (path / "saved_model.pb").read_bytes()

    assert build(tmp_path / "first") == build(tmp_path / "second")


def read_file(values: Any) -> dict[str, Any]:
    import tensorflow as tf

    content = tf.io.decode_raw(tf.io.read_file("/etc/hostname"), tf.uint8)
    return {"doubled": values, "sum": tf.cast(content[:1], tf.float32)[None]}


def call_python(values: Any) -> dict[str, Any]:
    import tensorflow as tf

    return {"doubled": tf.numpy_function(lambda array: array, [values], tf.float32)}


def write_line(values: Any) -> dict[str, Any]:
    import tensorflow as tf

    with tf.control_dependencies([tf.print("seen", values)]):
        return {"doubled": tf.identity(values)}


def random_values(values: Any) -> dict[str, Any]:
    import tensorflow as tf

    return {"doubled": values + tf.random.uniform([3])}


@pytest.mark.parametrize(
    ("serve", "operation"),
    [
        pytest.param(read_file, "ReadFile", id="a file is read"),
        pytest.param(call_python, "PyFunc", id="Python is called"),
        pytest.param(write_line, "PrintV2", id="something is printed"),
        pytest.param(random_values, "RandomUniform", id="the answer is left to chance"),
    ],
)
def test_a_graph_that_reaches_outside_is_refused(tmp_path, serve, operation):
    saved_model.build(tmp_path / "m", serve, INPUT)

    with pytest.raises(ArtefactRefusedError, match=operation):
        saved_model.refuse_dangerous(tmp_path / "m")


def test_what_tensorflow_itself_saves_is_refused_for_its_checkpoint_operations(tmp_path):
    tf = tensorflow_runtime.start()
    module = tf.Module()
    module.serve = tf.function(doubled_and_summed, input_signature=[tf.TensorSpec([None, 3], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "m"))
    for file in [file for file in (tmp_path / "m").rglob("*") if file.is_file() and file.name != "saved_model.pb"]:
        file.unlink()

    with pytest.raises(ArtefactRefusedError, match=r"RestoreV2.*SaveV2"):
        saved_model.refuse_dangerous(tmp_path / "m")


def test_an_artefact_within_its_tolerance_passes(tmp_path):
    saved_model.build(tmp_path / "m", doubled_and_summed, INPUT)

    saved_model.verify(tmp_path / "m", golden(doubled=(2, 4, 6.25), atol=0.25))


def test_an_artefact_that_openvino_answers_otherwise_is_refused(tmp_path, monkeypatch):
    saved_model.build(tmp_path / "m", doubled_and_summed, INPUT)
    monkeypatch.setattr(
        saved_model, "served_answer", lambda *given: {**saved_model.answer(*given), "doubled": np.float32([[2, 4, 7]])}
    )

    with pytest.raises(ArtefactRefusedError, match="doubled differs from the framework"):
        saved_model.verify(tmp_path / "m", golden())


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        pytest.param(golden(doubled=(2, 4, 6.25), atol=0.249), "doubled differs", id="off by more than the tolerance"),
        pytest.param(golden(doubled=(2, 4, float("nan"))), "doubled differs", id="not a number"),
        pytest.param(golden(doubled=(2, 4)), r"float32\[1, 3\], not float32\[1, 2\]", id="another shape"),
        pytest.param(
            Golden({"values": ROW}, {"doubled": Expected(2 * ROW, 1.0)}),
            r"\['doubled', 'sum'\]",
            id="an output too many",
        ),
    ],
)
def test_an_artefact_that_answers_otherwise_is_refused(tmp_path, expected, message):
    saved_model.build(tmp_path / "m", doubled_and_summed, INPUT)

    with pytest.raises(ArtefactRefusedError, match=message):
        saved_model.verify(tmp_path / "m", expected)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_weights_of_another_network_are_refused(tmp_path):
    tensorflow_runtime.start()
    import keras

    keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)]).save_weights(tmp_path / "w.weights.h5")

    with pytest.raises(WeightsInvalidError, match=r"w\.weights\.h5 does not fit"):
        saved_model.load_network(
            lambda: keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)]), tmp_path / "w.weights.h5", seed=1
        )
