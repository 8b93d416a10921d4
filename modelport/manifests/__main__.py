"""`python -m modelport.manifests [OVERLAY ...]`: render overlays and name what KServe would reject or ignore."""

from __future__ import annotations

import argparse
import sys

from modelport.manifests.lint import lint
from modelport.manifests.rendering import RenderError, documents, dump, overlays, render


def main() -> int:
    """Exit status 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="python -m modelport.manifests", description=__doc__)
    parser.add_argument("overlays", nargs="*", help="names under manifests/overlays (default: all), or - for stdin")
    parser.add_argument("--render", action="store_true", help="print the documents, do not check them")
    options = parser.parse_args()
    found = 0
    try:
        for name in options.overlays or overlays():
            rendered = documents(sys.stdin.read()) if name == "-" else render(name)
            if options.render:
                print(dump(rendered), end="")
                continue
            findings = lint(rendered)
            found += len(findings)
            for finding in findings:
                print(f"{name}: {finding}")
            print(f"{name}: {len(rendered)} documents, {len(findings)} findings")
    except RenderError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
