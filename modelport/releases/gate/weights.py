"""Checks that weights are the ones they are stated to be, and that they are trained."""

from pathlib import Path

from exporters.catalog import MODELS
from modelport.releases.errors import GateError
from modelport.releases.gate.configs import read_config


def check_weights(folder: Path) -> None:
    """Refuse trained weights of a catalog model whose sha256 is not the published one.

    Raises:
        GateError: names the model.
    """
    for model_dir in sorted(folder.iterdir()):
        stated = read_config(model_dir / "config.pbtxt").parameters
        model = MODELS.get(model_dir.name)
        wanted = model.files[0].sha256 if model else None
        if wanted and stated["weights"].string_value == "trained":
            found = stated["weights_sha256"].string_value
            if not found.startswith(wanted):
                raise GateError(
                    f"{model_dir.name} states weights {found[:12] or 'without sha256'}, "
                    f"the catalog has {wanted[:12]}: export the model again"
                )


def check_trained(folder: Path) -> None:
    """Refuse models that do not state that their weights are trained.

    Raises:
        GateError: names them.
    """
    untrained = [
        model_dir.name
        for model_dir in sorted(folder.iterdir())
        if read_config(model_dir / "config.pbtxt").parameters["weights"].string_value != "trained"
    ]
    if untrained:
        raise GateError(
            f"untrained: {', '.join(untrained)}: the answers would mean nothing. Train or download weights and export "
            "the model, or release it with --force (make: ARGS=--force), which release.json records"
        )
