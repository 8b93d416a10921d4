"""The files of a checkout that adding and removing a model change."""

from dataclasses import dataclass
from pathlib import Path

from modelport.environment import ROOT


@dataclass(frozen=True)
class Checkout:
    """A checkout, or a copy of these files of one."""

    root: Path = ROOT

    @property
    def repository(self) -> Path:
        """The model repository."""
        return self.root / "model_repository"

    @property
    def declaration(self) -> Path:
        """The declaration of the services."""
        return self.root / "services.yaml"

    @property
    def manifests(self) -> Path:
        """The folder of all manifests."""
        return self.root / "manifests"

    @property
    def drawings(self) -> Path:
        """Where samples are drawn with their answers."""
        return self.root / "build" / "added"
