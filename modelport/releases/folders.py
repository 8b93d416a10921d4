"""Where a release that was named lies on this machine, once every file of it was checked."""

from __future__ import annotations

from pathlib import Path

from exporters.repository import REPOSITORY
from modelport.manifests.release_file import FIRST_RELEASE
from modelport.releases.release import RELEASES, find
from modelport.releases.sources import Folder
from modelport.releases.verification import verify


def checked_folder(service: str, name: str, root: Path = RELEASES) -> Path:
    """The model repository of a release.

    Args:
        service: whose.
        name: of the release; `initial` is the repository of this checkout as it stands.
        root: where releases are.

    Raises:
        NoReleaseError: there is none of this name.
        ReleaseInvalidError: its files are not those that it was built with.
    """
    if name == FIRST_RELEASE:
        return REPOSITORY
    folder = find(service, name, root)
    verify(Folder(folder))
    return folder
