"""Every error that a command on releases can end with.

ReleaseError
├── NoReleaseError         there is no such service, model or release
├── GateError              the release must not go out
├── ReleaseInvalidError    files and release.json, or the signature, do not belong together
├── StoreError             the storage cannot be reached, read or written
├── ChoiceError            what serves cannot be changed so
└── ComparisonError        two releases cannot be compared
"""

from __future__ import annotations


class ReleaseError(Exception):
    """The message is one line that says what is wrong and what to do."""


class NoReleaseError(ReleaseError):
    """There is no such service, model or release."""


class GateError(ReleaseError):
    """The release must not go out."""


class ReleaseInvalidError(ReleaseError):
    """Files and release.json, or the signature, do not belong together."""


class ComparisonError(ReleaseError):
    """Two releases cannot be compared."""


class StoreError(ReleaseError):
    """The storage cannot be reached, read or written."""


class ChoiceError(ReleaseError):
    """What serves cannot be changed so."""
