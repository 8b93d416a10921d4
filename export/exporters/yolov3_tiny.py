"""yolov3_tiny, and detectors of the user's own: Darknet's files of the catalog."""

from pathlib import Path

from exporters.catalog import Model
from exporters.darknet.model import export_detector
from exporters.repository import Exported
from exporters.weights import Weights, provenance


def export(model: Model, weights: Weights, model_dir: Path) -> Exported:
    """Export a detector; model.files are weights, cfg and names, in this order."""
    file, cfg, names = (weights.path(wanted.name) for wanted in model.files)
    return export_detector(cfg, file, names, model_dir, provenance(model, weights), model.placement)
