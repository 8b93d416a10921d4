"""Every error that can keep the local stack from running.

SetupError                (environment/project.py: it must run before anything is installed)
└── StackError            the message is the one line that a person reads: what is wrong and what to do
    ├── PortTakenError    another program uses a port of the stack
    ├── UpdateError       a release did not take over
    └── StartError        a process did not come up, or ended again and again
"""

from modelport.environment import SetupError


class StackError(SetupError):
    """The stack cannot go on."""


class PortTakenError(StackError):
    """Another program uses a port of the stack."""


class UpdateError(StackError):
    """A release did not take over; the one before it serves on."""


class StartError(StackError):
    """A process of the stack did not become ready."""
