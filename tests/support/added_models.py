"""What tests of users' model files share: a plan as the command makes it, images, and what was found."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from exporters.adding.plan import Description, Plan


def planned(found: Description, unsure: Mapping[str, Any], **stated: Any) -> Plan:
    """What the command would plan for a classifier named `own`.

    Args:
        found: what the file says.
        unsure: layout, mean and std where the file states none.
        stated: fields of the plan that differ.
    """
    values: dict[str, Any] = {
        "name": "own",
        "task": "classification",
        "platform": found.platform,
        "original_outputs": (found.scores or next(iter(found.outputs)),),
        "size_hw": found.size_hw or (40, 40),
        "channels": found.channels or 3,
        "activation": found.activation or "none",
        "max_batch_size": found.max_batch_size,
        **{name: getattr(found, name) or value for name, value in unsure.items()},
    }
    return Plan(**{**values, **stated})


def images(height: int, width: int, channels: int = 3) -> npt.NDArray[np.uint8]:
    """A drawn image and noise, [2, height, width, channels]."""
    noise = np.random.default_rng(1).integers(0, 256, (2, height, width, channels), np.uint8)
    noise[0, : height // 2] = 250
    return noise


def facts(found: Description) -> dict[str, tuple[str, bool]]:
    """The value of each fact, and whether it is sure."""
    return {fact.what: (fact.value, fact.sure) for fact in found.facts}
