"""yolov3_tiny: Darknet's files, as the catalog gets them."""

from pathlib import Path

from exporters.catalog import Model
from exporters.darknet.model import export_detector
from exporters.errors import WeightsUnavailableError
from exporters.repository import Exported
from exporters.weights import Weights, provenance


def export(model: Model, weights: Weights | None, model_dir: Path) -> Exported:
    """Export the model; model.files are weights, cfg and names, in this order."""
    if weights is None:
        raise WeightsUnavailableError(f"{model.name} needs its weights: a detector without them finds nothing")
    file, cfg, names = (weights.path(wanted.name) for wanted in model.files)
    return export_detector(cfg, file, names, model_dir, provenance(model, weights), model.placement)
