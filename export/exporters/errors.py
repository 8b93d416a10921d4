"""Every error that an export can end with.

ExportError
 ├── UnknownModelError          the catalog has no such model
 ├── WeightsUnavailableError    none of a file's sources could give it
 ├── WeightsInvalidError        a file is there, but it is not the one that was meant
 ├── DarknetError               a cfg or weights file that breaks Darknet's format, or uses more of it than we do
 ├── ArtefactRefusedError       the artefact is dangerous, or does not answer as its reference does
 ├── RepositoryError            the model repository or the cache cannot be written
 └── TrainingDataError          data to train on that are missing, damaged or too few
"""


class ExportError(Exception):
    """The message is one line that says what is wrong and what to do."""


class UnknownModelError(ExportError):
    """The catalog has no such model."""


class WeightsUnavailableError(ExportError):
    """None of a file's sources could give it."""


class WeightsInvalidError(ExportError):
    """A file is there, but it is not the one that was meant."""


class DarknetError(ExportError):
    """A cfg or weights file breaks Darknet's format, or uses more of it than the exporter knows."""


class ArtefactRefusedError(ExportError):
    """The artefact is dangerous, or does not answer as its reference does."""


class RepositoryError(ExportError):
    """The model repository or the cache cannot be written."""


class TrainingDataError(ExportError):
    """Data to train on are missing, damaged or too few."""
