"""Work that needs PyTorch or TensorFlow, done by a script in a process and an environment of the framework's own."""

import subprocess
from pathlib import Path

from modelport.exporting import framework_python


def run_script(framework: str, script: str, *arguments: str | Path) -> None:
    """Run a script of this folder, which may import what lies beside it, in the environment of `torch` or `tensorflow`.

    Raises:
        AssertionError: it failed; the message is what it wrote.
    """
    command = [framework_python(framework), str(Path(__file__).with_name(script)), *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
