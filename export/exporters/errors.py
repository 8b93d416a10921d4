"""The errors of an export.

ExportError
 ├── UnknownModelError          the catalog has no such model
 ├── UnknownFormatError        a user's file is of a format that is not served, or damaged
 ├── UnclearModelError         what is known of a user's model does not settle it
 ├── WeightsUnavailableError    no source of a file could provide it
 ├── WeightsInvalidError        a file of weights is not the expected one
 ├── DarknetError               a cfg or weights file breaks Darknet's format, or uses an unsupported part of it
 ├── ArtefactRefusedError       an artefact is dangerous, or does not answer as its reference does
 ├── ProofMissedError           an int8 network loses more than it may
 ├── ConfigInvalidError         a config.pbtxt is missing or malformed
 ├── RepositoryError            the model repository or the cache cannot be written
 └── TrainingDataError          training data are missing, damaged or too few
"""


class ExportError(Exception):
    """The message is one line that says what is wrong and what to do."""


class UnknownModelError(ExportError):
    """The catalog has no such model."""


class UnknownFormatError(ExportError):
    """A user's file is of a format that is not served, or is damaged."""


class UnclearModelError(ExportError):
    """What is known of a user's model does not settle what it needs, or contradicts what was stated.

    Args:
        message: says what is not settled.
        flag: of `modelport add` that settles it, where the message does not name it.
    """

    def __init__(self, message: str, flag: str = "") -> None:
        super().__init__(f"{message}: state it with {flag}" if flag else message)


class WeightsUnavailableError(ExportError):
    """No source of a file could provide it."""


class WeightsInvalidError(ExportError):
    """A file of weights is not the expected one."""


class DarknetError(ExportError):
    """A cfg or weights file breaks Darknet's format, or uses a part of it that is not supported."""


class ArtefactRefusedError(ExportError):
    """An artefact is dangerous, or does not answer as its reference does."""


class ProofMissedError(ExportError):
    """An int8 network loses more than the limits of its task allow."""


class ConfigInvalidError(ExportError):
    """A config.pbtxt is missing or malformed."""


class RepositoryError(ExportError):
    """The model repository or the cache cannot be written."""


class TrainingDataError(ExportError):
    """Training data are missing, damaged or too few."""


def first_line(exc: BaseException) -> str:
    """The first line of an exception's message, 200 characters at most; the class's name where it has no message."""
    return (str(exc).strip().partition("\n")[0] or type(exc).__name__)[:200]


def last_line(exc: BaseException) -> str:
    """The last line of an exception's message: PyTorch and OpenVINO put the reason after places in their sources."""
    return (str(exc).strip().rpartition("\n")[2].strip() or type(exc).__name__)[:200]
