"""`modelport images REGISTRY TAG`: name published images in manifests/images."""

import argparse
import re
from pathlib import Path

from modelport.environment import ROOT

IMAGES = ROOT / "manifests" / "images" / "kustomization.yaml"


def move(text: str, registry: str, tag: str) -> str:
    """Change registry and tag of all images in a kustomization; comments and order stay.

    Args:
        text: a kustomization.
        registry: what stands before modelport-NAME, as in ghcr.io/me; empty for images without a registry.
        tag: of all images.
    """
    prefix = registry.rstrip("/") + "/" if registry else ""
    text = re.sub(r"(?m)^(    newName: ).*?([^/\s]+)$", rf"\g<1>{prefix}\g<2>", text)
    return re.sub(r"(?m)^(    newTag: ).*$", rf"\g<1>{tag}", text)


def main(file: Path = IMAGES) -> None:
    """Edit the file in place."""
    parser = argparse.ArgumentParser(prog="modelport images", description=__doc__)
    parser.add_argument("registry", help="as in ghcr.io/me; '' for images without a registry")
    parser.add_argument("tag", help="as in v0.2.0")
    options = parser.parse_args()
    if not re.fullmatch(r"\w[\w.-]{0,127}", options.tag) or options.tag == "latest":
        parser.error(f"{options.tag!r} is not a tag to pin: write a version")
    file.write_text(move(file.read_text(), options.registry, options.tag))


if __name__ == "__main__":
    main()
