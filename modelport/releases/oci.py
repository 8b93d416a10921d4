"""A release as an OCI image in an image layout on disk: one uncompressed tar layer with everything below /models.

KServe mounts /models as an image volume (oci+native://) or unpacks it (oci+fetch://). The image has no shell, which the
older modelcar sidecar needs (oci+modelcar://). Any tool for images pushes a layout:
`skopeo copy oci:FOLDER/SERVICE:NAME docker://REGISTRY/modelport/SERVICE:NAME`.

The layout is written here because the library oras (0.2.43) only validates layouts and copies them to and from
registries; it does not add an image to one.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from exporters.files import replace_file, sha256, staged, writing
from modelport.releases.archive import Archived, tar_chunks
from modelport.releases.errors import NotFoundError, ReleaseInvalidError
from modelport.releases.publishing import Progress, Published, counted, published_before
from modelport.releases.sources import Folder
from modelport.releases.verification import verify

MODELS = "models"
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_TAG = "org.opencontainers.image.ref.name"


class Layout:
    """The image layout of a service: blobs by digest, and an index with one tag for each release.

    Args:
        address: oci:///PATH/SERVICE.
    """

    def __init__(self, address: str) -> None:
        self.folder = Path(urlsplit(address).path)
        self._address = address
        self._blobs = self.folder / "blobs" / "sha256"

    def images(self) -> Mapping[str, Archived]:
        """The releases in it, by tag.

        Raises:
            ReleaseInvalidError: the layout is malformed.
        """
        try:
            manifests = {
                entry["annotations"][_TAG]: json.loads(self._blob(entry).read_bytes())
                for entry in self._index()["manifests"]
            }
            return {
                tag: Archived(self._blob(manifest["layers"][0]), MODELS, f"{self._address}:{tag}")
                for tag, manifest in manifests.items()
            }
        except (ValueError, KeyError, TypeError, IndexError, OSError) as exc:
            raise ReleaseInvalidError(f"{self._address} is not a complete image layout ({exc!r}): remove it") from exc

    def add(self, source: Folder, tag: str, annotations: Mapping[str, str], progress: Progress) -> None:
        """Write an image of a release; the tag is written last."""
        self._blobs.mkdir(parents=True, exist_ok=True)
        layer = self._write_layer(source, progress)
        config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._write_json(config, _CONFIG),
            "layers": [layer],
            "annotations": dict(annotations),
        }
        index = self._index()
        index["manifests"].append({**self._write_json(manifest, _MANIFEST), "annotations": {_TAG: tag}})
        replace_file(self.folder / "oci-layout", b'{"imageLayoutVersion": "1.0.0"}\n')
        replace_file(self.folder / "index.json", _encoded(index))

    def _index(self) -> dict[str, Any]:
        path = self.folder / "index.json"
        empty = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": []}
        return dict(json.loads(path.read_bytes())) if path.is_file() else empty

    def _blob(self, descriptor: Mapping[str, Any]) -> Path:
        return self._blobs / str(descriptor["digest"]).removeprefix("sha256:")

    def _write_layer(self, source: Folder, progress: Progress) -> dict[str, Any]:
        digest, size = hashlib.sha256(), 0
        part = self._blobs / "layer"
        with staged(part) as temporary, temporary.open("wb") as stream:
            for chunk in counted(tar_chunks(source, MODELS), progress):
                digest.update(chunk)
                size += stream.write(chunk)
        part.replace(self._blobs / digest.hexdigest())
        return {"mediaType": _LAYER, "digest": f"sha256:{digest.hexdigest()}", "size": size}

    def _write_json(self, document: Mapping[str, Any], media_type: str) -> dict[str, Any]:
        content = _encoded(document)
        digest = sha256([content])
        replace_file(self._blobs / digest, content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _encoded(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode()


def publish_image(folder: Path, to: str, progress: Progress = lambda size: None) -> Published:
    """Publish a release as an image: oci:///PATH becomes the image layout PATH/SERVICE with the tag NAME.

    Raises:
        ReleaseInvalidError: the release, or a published image of it, was changed.
        RepositoryError: the folder cannot be written.
    """
    source = Folder(folder)
    release = verify(source)
    address = f"{to.rstrip('/')}/{release.service}"
    layout = Layout(address)
    if published := published_before(layout.images(), release, progress):
        return published
    annotations = {
        "org.opencontainers.image.version": release.name,
        "org.opencontainers.image.created": release.created,
        **({"org.opencontainers.image.revision": release.commit} if release.commit else {}),
    }
    with writing(layout.folder):
        layout.add(source, release.name, annotations, progress)
    verify(layout.images()[release.name], progress)
    return Published(f"{address}:{release.name}", len(release.contents), 0, new=True)


def image_at(address: str) -> Archived:
    """The image at oci:///PATH/SERVICE:NAME.

    Raises:
        NotFoundError: there is none.
    """
    place, _, tag = address.rpartition(":")
    images = Layout(place).images()
    if tag not in images:
        known = f"choose one of: {', '.join(images)}" if images else "publish one first"
        raise NotFoundError(f"{place} has no release {tag!r}: {known}")
    return images[tag]
