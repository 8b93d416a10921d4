"""The base of all tasks whose instances are encoded images."""

from collections.abc import Sequence
from typing import Any, TypeVar

from kserve_transformers.arrays.decoding import DecodedImage, decode_image
from kserve_transformers.predictor import Declaration
from kserve_transformers.tasks.task import Task

Answer = TypeVar("Answer")


class ImageTask(Task[DecodedImage, Answer]):
    """A task on encoded images; they are decoded no larger than the models need them."""

    def model_scale(self, model: Declaration, size_wh: tuple[int, int]) -> float:
        """The smallest scale at which a model can use an image of this width and height, in pixels."""
        raise NotImplementedError

    def decode(self, instance: Any, models: Sequence[Declaration], max_pixels: int) -> DecodedImage:
        """Decode at the smallest scale that serves every model; at full size where none is known."""

        def needed_scale(size_wh: tuple[int, int]) -> float:
            return max((self.model_scale(model, size_wh) for model in models), default=1.0)

        return decode_image(instance, max_pixels, needed_scale)
