"""KServe's SDK without pandas and Kubernetes' client, in a process of its own as the server is."""

import json
import os
import subprocess
import sys
from pathlib import Path

TRANSFORMERS = Path(__file__).parents[3] / "transformers"
CODE = """
import json, sys
from kserve_transformers.sdk.lean import import_kserve_lean
import_kserve_lean()
import kserve_transformers.server
import kserve.protocol.rest.server
loaded = {name.partition(".")[0] for name, module in sys.modules.items() if hasattr(module, "__file__")}
print(json.dumps(sorted(loaded)))
"""


def test_the_server_has_neither_pandas_nor_kubernetes():
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment)
    loaded = set(json.loads(done.stdout))
    assert "kserve" in loaded
    assert not loaded & {"pandas", "kubernetes", "tensorflow", "torch"}
