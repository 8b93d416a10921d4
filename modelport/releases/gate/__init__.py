"""What a release must pass before it is one: a table of checks of its folder, each with its own error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from modelport.releases.gate.artefacts import check_artefacts, check_labels
from modelport.releases.gate.configs import check_configs
from modelport.releases.gate.harmless import check_files, check_nothing_runs, check_size
from modelport.releases.gate.weights import check_trained, check_weights

# In this order: later ones rely on earlier ones. Golden answers (gate/golden.py) come last: they start a Triton.
CHECKS: Mapping[str, Callable[[Path], None]] = {
    "configs parse and ask for nothing but serving": check_configs,
    "plain files only, and none that is not needed": check_files,
    "size": check_size,
    "nothing runs or reads other files": check_nothing_runs,
    "artefacts match their configs": check_artefacts,
    "labels match their classes": check_labels,
    "weights are those that the catalog knows": check_weights,
    "weights are trained": check_trained,
}
