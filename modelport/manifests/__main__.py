"""`modelport lint|render [OVERLAY ...]`: render overlays, and report what KServe would reject or ignore."""

import argparse
import sys

from modelport.arguments import errors_in_one_line
from modelport.manifests.generation import stale
from modelport.manifests.lint import lint
from modelport.manifests.rendering import MANIFESTS, documents, dump, overlays, render
from modelport.manifests.storage_rules import placeholders


@errors_in_one_line()
def main() -> int:
    """Exit status 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="modelport lint", description=__doc__)
    parser.add_argument(
        "overlays",
        nargs="*",
        help="names under manifests/overlays, or - for stdin: checked as they would be deployed, without placeholders "
        "(default: all, which may have placeholders)",
    )
    parser.add_argument("--render", action="store_true", help="print the documents, do not check them")
    options = parser.parse_args()
    found = 0
    if not options.render:
        for path in stale():
            found += 1
            print(f"{path.relative_to(MANIFESTS.parent)}: is not as services.yaml declares it. Run `make manifests`")
    for name in options.overlays or overlays():
        rendered = documents(sys.stdin.read()) if name == "-" else render(name)
        if options.render:
            print(dump(rendered), end="")
            continue
        findings = [*lint(rendered), *(placeholders(rendered) if options.overlays else ())]
        found += len(findings)
        for finding in findings:
            print(f"{name}: {finding}")
        print(f"{name}: {len(rendered)} documents, {len(findings)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
