"""Every error with which a command on releases can end.

ReleaseError               the message is one line that says what is wrong and what to do
├── NotFoundError          there is no such service, model or release
├── GateError              a check of the gate failed: the release must not be published
├── ReleaseInvalidError    the files do not match release.json, or the signature does not match the files
├── StoreError             the storage holds something else, or cannot take a release; for the rest: StorageError
├── RolloutError           the releases that serve cannot be changed in this way
├── ComparisonError        two releases cannot be compared
└── EvaluationError        labelled data cannot be used, or a demand does not fit them
"""

from modelport.environment import CommandError


class ReleaseError(CommandError):
    """The message is one line that says what is wrong and what to do."""


class NotFoundError(ReleaseError):
    """There is no such service, model or release."""


class GateError(ReleaseError):
    """A check of the gate failed: the release must not be published."""


class ReleaseInvalidError(ReleaseError):
    """The files do not match release.json, or the signature does not match the files."""


class StoreError(ReleaseError):
    """The storage holds something else, or cannot take a release."""


class RolloutError(ReleaseError):
    """The releases that serve cannot be changed in this way."""


class ComparisonError(ReleaseError):
    """Two releases cannot be compared."""


class EvaluationError(ReleaseError):
    """Labelled data cannot be used, or a demand does not fit them."""
