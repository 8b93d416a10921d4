"""`modelport check-cluster [OVERLAY ...]`: what KUBECONFIG's cluster lacks for overlays, and what installs it."""

from __future__ import annotations

import argparse
import sys

from modelport.cluster.kubectl import connect
from modelport.cluster.observation import observe
from modelport.cluster.requirements import lacks
from modelport.manifests.cluster import ClusterError
from modelport.manifests.rendering import RenderError, overlays, render


def main() -> int:
    """Exit status 1 where a named overlay, or without names every overlay, lacks something that it needs."""
    parser = argparse.ArgumentParser(prog="modelport check-cluster", description=__doc__)
    parser.add_argument("overlays", nargs="*", metavar="OVERLAY", help="names under manifests/overlays (default: all)")
    options = parser.parse_args()
    names = options.overlays or overlays()
    try:
        rendered = {name: render(name) for name in names}
        cluster = observe(connect())
    except (ClusterError, RenderError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    for line in cluster.lines():
        print(line)  # noqa: T201
    fit = set()
    for name, documents in rendered.items():
        found = lacks(documents, cluster)
        if not any(lack.required for lack in found):
            fit.add(name)
        print(f"\n{name}: {'can be deployed' if name in fit else 'cannot be deployed yet'}")  # noqa: T201
        for lack in found:
            print(f"  {lack}")  # noqa: T201
    wanted = set(options.overlays)
    return 0 if (fit >= wanted if wanted else fit) else 1


if __name__ == "__main__":
    sys.exit(main())
