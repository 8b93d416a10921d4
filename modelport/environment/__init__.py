"""Makes the Python environments and installs the pinned requirements, with the standard library only.

.venv serves and runs the commands. .venv-torch, .venv-tensorflow and .venv-quantise are layers on it, one for each
framework: they see its packages, and it sees none of theirs. TensorFlow and PyTorch never share a process, and what
only serves installs neither. Each command names what it needs (`ensure`); a second call finds a stamp and costs
nothing. Every failure is one line that says what to do.
"""

from modelport.environment.layers import BASE, FRAMEWORKS, Environment, installed_version
from modelport.environment.machine import shared_library
from modelport.environment.project import ROOT, CommandError, SetupError, git, say
from modelport.environment.steps import NEEDS, ensure, locked, set_up

__all__ = [
    "BASE",
    "FRAMEWORKS",
    "NEEDS",
    "ROOT",
    "CommandError",
    "Environment",
    "SetupError",
    "ensure",
    "git",
    "installed_version",
    "locked",
    "say",
    "set_up",
    "shared_library",
]
