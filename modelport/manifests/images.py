"""`modelport images REGISTRY TAG`: name published images in manifests/images."""

import argparse
import re
from pathlib import Path

from modelport.environment import ROOT

IMAGES = ROOT / "manifests" / "images" / "kustomization.yaml"
REGISTRY = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.-]*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*/?")
TAG = re.compile(r"(?!latest$)[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}")


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
    if options.registry and not REGISTRY.fullmatch(options.registry):
        parser.error(f"{options.registry!r} is no registry: write it as in ghcr.io/me, without https://")
    if not TAG.fullmatch(options.tag):
        parser.error(f"{options.tag!r} is not a tag to pin: write a version")
    file.write_text(move(file.read_text(), options.registry, options.tag))


if __name__ == "__main__":
    main()
