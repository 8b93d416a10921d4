"""Trains cars by transfer learning: first a head on a frozen ResNet50V2, then the base's last block with it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from exporters import cars_network, tensorflow_runtime, training_record
from exporters.catalog import Url, WeightFile
from exporters.errors import TrainingDataError, WeightsInvalidError, WeightsUnavailableError
from exporters.files import content_sha256
from exporters.training import Options
from exporters.training.car_pictures import Picture, Pictures, read_pictures
from exporters.training.checkpoints import Checkpoints, Progress
from exporters.training.report import confusion_matrix, draw_confusion, draw_history, write_numbers
from exporters.training.weights_file import save_weights
from exporters.weights import Fetcher

EPOCHS = 15
WEIGHTS = "cars.weights.h5"
_BATCH = 32
_IMAGENET_MD5 = "fac2f116257151a9d068a22e544a4917"  # As Keras states it, which states no sha256.
_IMAGENET = WeightFile(
    "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    None,
    (
        Url(
            "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
            "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5"
        ),
    ),
)


@dataclass(frozen=True)
class Phase:
    """A part of the training.

    Attributes:
        trained: beginnings of the names of the base's layers that learn; the head always learns.
        patience: it ends after so many epochs without a lower validation loss.
    """

    title: str
    trained: tuple[str, ...]
    learning_rate: float
    patience: int = 3


PHASES = (Phase("head", (), 1e-3), Phase("fine-tuning", ("conv5_", "post_"), 1e-5))


def train(options: Options = Options(), build: Callable[..., Any] = cars_network.network) -> Path:  # noqa: B008
    """Train, score, and write cars.weights.h5 with its record and report.

    Args:
        options: options.data names the pictures; options.epochs is for each of the two phases.
        build: makes the network, as cars_network.network does.

    Returns:
        The weights.

    Raises:
        TrainingDataError: there are no data, or not enough.
    """
    if options.data is None:
        raise TrainingDataError(
            "cars needs pictures: DATA=folder of class folders, a .csv, or Stanford's cars_annos.mat"
        )
    pictures = read_pictures(options.data, options.seed)
    tensorflow_runtime.start(options.seed).config.experimental.enable_op_determinism()
    base = imagenet_base(options.report)
    network = build(len(pictures.labels), base_weights=str(base) if base else None)
    checkpoints = Checkpoints(options.output / "cars_checkpoints", fingerprint(pictures, options.seed), options.resume)
    progress = checkpoints.progress()
    for number, phase in enumerate(PHASES):
        if number >= progress.phase:
            if number > progress.phase:
                progress = Progress(progress.fingerprint, number, history=progress.history)
            progress = run_phase(network, phase, progress, pictures, options, checkpoints)
    weights = _finish(network, build(len(pictures.labels)), pictures, progress, base is not None, options)
    checkpoints.remove()
    return weights


def imagenet_base(report: Callable[[str], None]) -> Path | None:
    """Keras's ImageNet weights of the base; None where they are not to be had, which is reported."""
    try:
        with Fetcher((), report=report) as fetcher:
            path = fetcher.fetch(_IMAGENET).path
    except WeightsUnavailableError as exc:
        report(f"the base starts from random weights, and needs far more pictures and epochs for it: {exc}")
        return None
    if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != _IMAGENET_MD5:
        raise WeightsInvalidError(f"{path} is not Keras's file: remove it and train again")
    return path


def fingerprint(pictures: Pictures, seed: int) -> str:
    """What a run must share with its checkpoints: pictures, classes, parts and seed."""
    listed = [f"{picture.path}\0{picture.label}\0{picture.part}" for picture in pictures.pictures]
    return hashlib.sha256("\n".join([str(seed), *pictures.labels, *listed]).encode()).hexdigest()


def run_phase(
    network: Any, phase: Phase, start: Progress, pictures: Pictures, options: Options, checkpoints: Checkpoints
) -> Progress:
    """Train one phase, from its beginning or from a checkpoint, and leave the network at its best epoch.

    Returns:
        The progress, with done set.
    """
    import keras

    base = cars_network.base_of(network)
    base.trainable = bool(phase.trained)
    for layer in base.layers:
        layer.trainable = layer.name.startswith(phase.trained) if phase.trained else False
    optimizer = keras.optimizers.Adam(phase.learning_rate)
    network.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    optimizer.build(network.trainable_variables)
    if start.epoch:
        checkpoints.load_last(network, start)
    progress = start
    validation = batches(pictures.of("validation"))
    epochs = options.epochs or EPOCHS
    while not progress.done and progress.epoch < epochs and progress.epoch - progress.best_epoch < phase.patience:
        options.report(f"{phase.title}: epoch {progress.epoch + 1} of {epochs} at most")
        # Each epoch has its own seed: one that is repeated after a crash sees and drops the same as without it.
        seed = options.seed + 1000 * progress.phase + progress.epoch
        for dropout in (layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)):
            dropout.seed_generator.state.assign([seed, 0])
        measured = network.fit(
            batches(pictures.of("train"), seed),
            validation_data=validation,
            shuffle=False,
            verbose=tensorflow_runtime.verbosity(),
        )
        progress = progress.after_epoch(measured.history)
        checkpoints.save(network, progress)
    checkpoints.load_best(network, progress)
    progress = replace(progress, done=True)
    checkpoints.note(progress)
    return progress


def batches(pictures: Sequence[Picture], seed: int | None = None) -> Any:
    """A tf.data.Dataset of batches: pictures FP32 [N,224,224,3] in 0..255 and classes INT64 [N].

    Args:
        pictures: at least one.
        seed: of order, flips, shifts and zooms; None: in the order given, as they are.
    """
    import keras
    import tensorflow as tf

    size = cars_network.SIZE
    dataset = tf.data.Dataset.from_tensor_slices(
        ([str(picture.path) for picture in pictures], np.array([picture.label for picture in pictures], np.int64))
    )
    if seed is not None:
        dataset = dataset.shuffle(len(pictures), seed=seed)

    def decoded(path: Any, label: Any) -> tuple[Any, Any]:
        pixels = tf.numpy_function(lambda name: load_picture(Path(name.decode())), [path], tf.uint8, stateful=False)
        return tf.cast(tf.ensure_shape(pixels, (size, size, 3)), tf.float32), label

    dataset = dataset.map(decoded, num_parallel_calls=2, deterministic=True).batch(_BATCH)
    if seed is not None:
        augment = keras.Sequential(
            [
                keras.layers.RandomFlip("horizontal", seed=seed),
                keras.layers.RandomTranslation(0.1, 0.1, fill_mode="nearest", seed=seed),
                keras.layers.RandomZoom(0.15, fill_mode="nearest", seed=seed),
            ]
        )
        dataset = dataset.map(lambda images, labels: (augment(images, training=True), labels))
    return dataset.prefetch(2)


def load_picture(path: Path) -> npt.NDArray[np.uint8]:
    """Read a picture as it will be read for serving: upright, RGB, stretched to UINT8 [224,224,3]."""
    with Image.open(path) as image:
        rgb = ImageOps.exif_transpose(image).convert("RGB")
    size = (cars_network.SIZE, cars_network.SIZE)
    return np.asarray(rgb.resize(size, Image.Resampling.BILINEAR), np.uint8)


def _finish(
    network: Any, plain: Any, pictures: Pictures, progress: Progress, from_imagenet: bool, options: Options
) -> Path:
    """Score the network on the test part, and write what it leaves."""
    weights = options.output / WEIGHTS
    save_weights(network, plain, weights)
    test = pictures.of("test")
    truth = np.array([picture.label for picture in test])
    ranked = np.argsort(-network.predict(batches(test), verbose=0), axis=1)
    top1, top5 = float((ranked[:, 0] == truth).mean()), float((ranked[:, :5] == truth[:, None]).any(axis=1).mean())
    accuracy = f"{100 * top1:.1f} % top-1, {100 * top5:.1f} % top-5 of {len(test)} test pictures"
    record = training_record.TrainingRecord(
        model="cars",
        weights_sha256=content_sha256(weights),
        seed=options.seed,
        epochs=len(progress.history["loss"]),
        accuracy=accuracy,
        data={"pictures and classes": progress.fingerprint},
        score={"top_1": top1, "top_5": top5, "test_pictures": len(test), "base_from_imagenet": from_imagenet},
        labels=pictures.labels,
        parameters={"scaling": "-1..1"},
    )
    training_record.write(record, weights)
    reports = options.reports / "cars"
    matrix = confusion_matrix(truth, ranked[:, 0], len(pictures.labels))
    write_numbers(reports, {**vars(record), "history": progress.history})
    draw_confusion(reports / "confusion.png", matrix, pictures.labels, accuracy)
    draw_history(reports / "history.png", progress.history, ("loss", "accuracy"))
    return weights
