"""Training of cars by transfer learning: a head on a frozen ResNet50V2, then with it the last block of the base."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from exporters import cars_network, tensorflow_runtime
from exporters.catalog import Url, WeightFile
from exporters.errors import TrainingDataError, WeightsInvalidError, WeightsUnavailableError
from exporters.training import Options
from exporters.training.car_images import CarImage, CarImages, read_images
from exporters.training.checkpoints import Checkpoints, Progress
from exporters.training.report import confusion_matrix, draw_confusion, draw_history, save_weights, write_record
from exporters.training_record import TrainingRecord
from exporters.weights import Fetcher

EPOCHS = 15
WEIGHTS = "cars.weights.h5"
_BATCH = 32
_IMAGENET_MD5 = "fac2f116257151a9d068a22e544a4917"  # as Keras states it; it states no sha256
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
    """A phase of the training."""

    title: str
    trained: tuple[str, ...]  # prefixes of the names of the base's layers that are trained; the head always is
    learning_rate: float
    patience: int = 3  # the phase ends after this number of epochs without a lower validation loss


PHASES = (Phase("head", (), 1e-3), Phase("fine-tuning", ("conv5_", "post_"), 1e-5))


def train(options: Options, build: Callable[..., Any] = cars_network.network) -> Path:
    """Train, score, and write cars.weights.h5 with its record and report.

    Args:
        options: options.data names the images; options.epochs is for each of the two phases.
        build: makes the network, as cars_network.network does.

    Returns:
        The path of the weights.

    Raises:
        TrainingDataError: there are no data, or not enough.
    """
    if options.data is None:
        raise TrainingDataError("cars needs images: DATA=folder of class folders, a .csv, or Stanford's cars_annos.mat")
    data = read_images(options.data, options.seed)
    tensorflow_runtime.start(options.seed).config.experimental.enable_op_determinism()
    base = imagenet_base(options.report)
    network = build(len(data.labels), base_weights=str(base) if base else None)
    checkpoints = Checkpoints(options.output / "cars_checkpoints", fingerprint(data, options.seed), options.resume)
    progress = checkpoints.progress()
    for number, phase in enumerate(PHASES):
        if number >= progress.phase:
            if number > progress.phase:
                progress = Progress(progress.fingerprint, number, history=progress.history)
            progress = run_phase(network, phase, progress, data, options, checkpoints)
    weights = _finish(network, build(len(data.labels)), data, progress, base is not None, options)
    checkpoints.remove()
    return weights


def imagenet_base(report: Callable[[str], None]) -> Path | None:
    """Keras's ImageNet weights of the base; None where they are unavailable, which is reported."""
    try:
        with Fetcher((), report=report) as fetcher:
            path = fetcher.fetch(_IMAGENET).path
    except WeightsUnavailableError as exc:
        report(f"the base starts from random weights, and needs many more images and epochs: {exc}")
        return None
    if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != _IMAGENET_MD5:
        raise WeightsInvalidError(f"{path} is not Keras's file: remove it and train again")
    return path


def fingerprint(data: CarImages, seed: int) -> str:
    """A digest of what a run must share with its checkpoints: images, classes, parts and seed."""
    listed = [f"{image.path}\0{image.label}\0{image.part}" for image in data.images]
    return hashlib.sha256("\n".join([str(seed), *data.labels, *listed]).encode()).hexdigest()


def run_phase(
    network: Any, phase: Phase, start: Progress, data: CarImages, options: Options, checkpoints: Checkpoints
) -> Progress:
    """Train one phase, from its beginning or from a checkpoint, and load the weights of its best epoch.

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
    validation = batches(data.of("validation"))
    epochs = options.epochs or EPOCHS
    while not progress.done and progress.epoch < epochs and progress.epoch - progress.best_epoch < phase.patience:
        options.report(f"{phase.title}: epoch {progress.epoch + 1} of {epochs} at most")
        # Each epoch has its own seed, so that an epoch that is repeated after a crash has the same order and dropout.
        seed = options.seed + 1000 * progress.phase + progress.epoch
        for dropout in (layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)):
            dropout.seed_generator.state.assign([seed, 0])
        measured = network.fit(
            batches(data.of("train"), seed),
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


def batches(images: Sequence[CarImage], seed: int | None = None) -> Any:
    """A tf.data.Dataset of batches: images FP32 [N,224,224,3] in 0..255 and classes INT64 [N].

    Args:
        images: at least one.
        seed: of order, flips, shifts and zooms; None: the given order, without augmentation.
    """
    import keras
    import tensorflow as tf

    size = cars_network.SIZE
    dataset = tf.data.Dataset.from_tensor_slices(
        ([str(image.path) for image in images], np.array([image.label for image in images], np.int64))
    )
    if seed is not None:
        dataset = dataset.shuffle(len(images), seed=seed)

    def decoded(path: Any, label: Any) -> tuple[Any, Any]:
        pixels = tf.numpy_function(lambda name: load_image(Path(name.decode())), [path], tf.uint8, stateful=False)
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


def load_image(path: Path) -> npt.NDArray[np.uint8]:
    """Read an image as for serving: upright, RGB, stretched to UINT8 [224,224,3]."""
    with Image.open(path) as image:
        rgb = ImageOps.exif_transpose(image).convert("RGB")
    size = (cars_network.SIZE, cars_network.SIZE)
    return np.asarray(rgb.resize(size, Image.Resampling.BILINEAR), np.uint8)


def _finish(
    network: Any, plain: Any, data: CarImages, progress: Progress, from_imagenet: bool, options: Options
) -> Path:
    """Score the network on the test part, and write weights, record and report."""
    weights = options.output / WEIGHTS
    save_weights(network, plain, weights)
    test = data.of("test")
    truth = np.array([image.label for image in test])
    ranked = np.argsort(-network.predict(batches(test), verbose=0), axis=1)
    top1, top5 = float((ranked[:, 0] == truth).mean()), float((ranked[:, :5] == truth[:, None]).any(axis=1).mean())
    accuracy = f"{100 * top1:.1f} % top-1, {100 * top5:.1f} % top-5 of {len(test)} test images"
    record = TrainingRecord(
        model="cars",
        seed=options.seed,
        epochs=len(progress.history["loss"]),
        accuracy=accuracy,
        data={"pictures and classes": progress.fingerprint},
        score={"top_1": top1, "top_5": top5, "test_pictures": len(test), "base_from_imagenet": from_imagenet},
        labels=data.labels,
        parameters={"scaling": "-1..1"},
    )
    reports = options.reports / "cars"
    matrix = confusion_matrix(truth, ranked[:, 0], len(data.labels))
    write_record(record, weights, reports, history=progress.history)
    draw_confusion(reports / "confusion.png", matrix, data.labels, accuracy)
    draw_history(reports / "history.png", progress.history, ("loss", "accuracy"))
    return weights
