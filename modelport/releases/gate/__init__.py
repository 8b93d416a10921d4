"""The gate: the checks that a folder of models must pass to become a release."""

from collections.abc import Callable, Mapping
from pathlib import Path

from modelport.releases.gate.artefacts import check_artefacts, check_labels
from modelport.releases.gate.configs import check_configs
from modelport.releases.gate.harmless import check_files, check_nothing_runs, check_size
from modelport.releases.gate.int8 import check_int8
from modelport.releases.gate.weights import check_trained, check_weights

# In this order: later checks rely on earlier ones. The golden check (gate/golden.py) comes last: it starts a Triton.
CHECKS: Mapping[str, Callable[[Path], None]] = {
    "configurations are well-formed and configure nothing but serving": check_configs,
    "files are regular and necessary": check_files,
    "size": check_size,
    "ONNX graphs use standard operators and no other files": check_nothing_runs,
    "int8 networks are proven, and of these artefacts": check_int8,
    "artefacts match their configurations and only calculate": check_artefacts,
    "labels match the classes": check_labels,
    "weights are those of the catalog": check_weights,
    "weights are trained": check_trained,
}
