"""What can keep the local stack from running.

SetupError                (environment.py: it must run before anything is installed)
└── StackError            the message is the one line that a person reads: what is wrong and what to do
    ├── PortTakenError    somebody else listens where we were told to
    └── StartError        a process did not come up, or ended again and again
"""

from __future__ import annotations

from local_stack.environment import SetupError


class StackError(SetupError):
    """The stack cannot go on."""


class PortTakenError(StackError):
    """Somebody else listens on a port of ours."""


class StartError(StackError):
    """A process of the stack did not become ready."""
