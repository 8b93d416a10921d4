"""A release as an OCI image in a layout folder: one uncompressed tar layer with everything under /models.

KServe mounts its models folder (oci+native://, an image volume) or unpacks it (oci+fetch://); it has no shell, which
the older modelcar sidecar needs (oci+modelcar://). A layout is a folder of files, which any tool pushes:
`skopeo copy oci:FOLDER/SERVICE:NAME docker://REGISTRY/modelport/SERVICE:NAME`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from exporters.files import replace_file, sha256, staged, writing
from modelport.releases.archive import Archived, tar_chunks
from modelport.releases.errors import NoReleaseError, ReleaseInvalidError
from modelport.releases.publishing import Progress, Published, counted, same_content
from modelport.releases.release import DIGITS, NAME
from modelport.releases.sources import Folder
from modelport.releases.verification import verify

MODELS = "models"
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_TAG = "org.opencontainers.image.ref.name"


class Layout:
    """The layout folder of a service: blobs by digest, and an index of tags, one a release.

    Args:
        folder: the layout's own.
        address: oci:///PATH/SERVICE.
    """

    def __init__(self, folder: Path, address: str) -> None:
        self._folder = folder
        self._address = address

    def images(self) -> Mapping[str, Archived]:
        """The releases in it, by tag.

        Raises:
            ReleaseInvalidError: the layout is damaged.
        """
        try:
            manifests = {entry["annotations"][_TAG]: entry for entry in self._index()["manifests"]}
            layers = {tag: json.loads(self._blob(entry).read_bytes())["layers"] for tag, entry in manifests.items()}
            return {
                tag: Archived(self._blob(found[0]), MODELS, f"{self._address}:{tag}") for tag, found in layers.items()
            }
        except (ValueError, KeyError, TypeError, IndexError, OSError) as exc:
            raise ReleaseInvalidError(f"{self._address} is no whole layout ({exc!r}): remove it") from exc

    def add(self, source: Folder, tag: str, annotations: Mapping[str, str], progress: Progress) -> None:
        """Write an image of a release; its tag comes last."""
        blobs = self._folder / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        layer = self._write_layer(source, blobs, progress)
        digest = layer["digest"]
        config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest]}}
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._write_json(config, _CONFIG, blobs),
            "layers": [layer],
            "annotations": dict(annotations),
        }
        entry = {**self._write_json(manifest, _MANIFEST, blobs), "annotations": {_TAG: tag}}
        index = self._index()
        index["manifests"].append(entry)
        replace_file(self._folder / "oci-layout", b'{"imageLayoutVersion": "1.0.0"}\n')
        replace_file(self._folder / "index.json", _encoded(index))

    def _index(self) -> dict[str, Any]:
        path = self._folder / "index.json"
        empty = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": []}
        return dict(json.loads(path.read_bytes())) if path.is_file() else empty

    def _blob(self, entry: Mapping[str, Any]) -> Path:
        algorithm, _, digits = entry["digest"].partition(":")
        return self._folder / "blobs" / str(algorithm) / str(digits)

    def _write_layer(self, source: Folder, blobs: Path, progress: Progress) -> dict[str, Any]:
        digest, size = hashlib.sha256(), 0
        part = blobs / "layer"
        with staged(part) as temporary, temporary.open("wb") as stream:
            for chunk in counted(tar_chunks(source, MODELS), progress):
                digest.update(chunk)
                size += stream.write(chunk)
        part.replace(blobs / digest.hexdigest())
        return {"mediaType": _LAYER, "digest": f"sha256:{digest.hexdigest()}", "size": size}

    def _write_json(self, document: Mapping[str, Any], kind: str, blobs: Path) -> dict[str, Any]:
        content = _encoded(document)
        digits = sha256([content])
        replace_file(blobs / digits, content)
        return {"mediaType": kind, "digest": f"sha256:{digits}", "size": len(content)}


def _encoded(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode()


def publish_image(folder: Path, to: str, progress: Progress = lambda size: None) -> Published:
    """Publish a release as an image: oci:///PATH becomes the layout PATH/SERVICE, with the tag NAME.

    Raises:
        ReleaseInvalidError: the release, or an image of it there, was changed.
        RepositoryError: the folder cannot be written.
    """
    source = Folder(folder)
    release = verify(source)
    address = f"{to.rstrip('/')}/{release.service}"
    root = Path(urlsplit(to).path) / release.service
    layout = Layout(root, address)
    images = [
        image
        for tag, image in layout.images().items()
        if (match := NAME.fullmatch(tag)) and match["digest"] == release.digest[:DIGITS]
    ]
    twin = same_content(images, release)
    if twin is not None:
        verify(twin, lambda size: progress(2 * size))
        return Published(twin.address, 0, len(release.files), new=False)
    annotations = {
        "org.opencontainers.image.version": release.name,
        "org.opencontainers.image.created": release.created,
        **({"org.opencontainers.image.revision": release.commit} if release.commit else {}),
    }
    with writing(root):
        layout.add(source, release.name, annotations, progress)
    verify(layout.images()[release.name], progress)
    return Published(f"{address}:{release.name}", len(release.files), 0, new=True)


def image_at(address: str) -> Archived:
    """The image at oci:///PATH/SERVICE:NAME.

    Raises:
        NoReleaseError: there is none.
    """
    place, _, tag = address.rpartition(":")
    images = Layout(Path(urlsplit(place).path), place).images()
    if tag not in images:
        raise NoReleaseError(f"{place} has no release {tag}: choose of {', '.join(images) or 'none'}")
    return images[tag]
