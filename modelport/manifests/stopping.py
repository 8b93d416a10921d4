"""`modelport stop|start SERVICE`: take a service's pods away from the current context's cluster, and bring them back.

KServe removes the Deployment of a service with the annotation serving.kserve.io/stop, and makes it again without it.
"""

import argparse
import sys

from modelport.arguments import errors_in_one_line
from modelport.environment import say
from modelport.manifests.cluster import ClusterError, kubectl_text, require_cluster

STOP = "serving.kserve.io/stop"
KIND = "inferenceservices.serving.kserve.io"


def annotate(service: str, namespace: str, annotation: str) -> list[str]:
    """Set or remove an annotation of a service, and of its lighter pods where it has some.

    Returns:
        Their names.

    Raises:
        ClusterError: there is no such service in the namespace.
    """
    listed = kubectl_text("get", KIND, "-n", namespace, "-o", "jsonpath={.items[*].metadata.name}").split()
    names = [name for name in (service, f"{service}-light") if name in listed]
    if not names:
        there = f"there are {', '.join(listed)}" if listed else "there is none"
        raise ClusterError(f"namespace {namespace} has no service {service!r}: {there}")
    # Flux undoes what managers called kubectl-... have set
    kubectl_text("annotate", KIND, *names, "-n", namespace, annotation, "--overwrite", "--field-manager=modelport")
    return names


@errors_in_one_line()
def main() -> int:
    """Exit status 1 where there is no such service, or no cluster."""
    parser = argparse.ArgumentParser(prog="modelport", description=__doc__)
    parser.add_argument("command", choices=("stop", "start"))
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument("--namespace", default="modelport", help="default: modelport")
    options = parser.parse_args()
    stop = options.command == "stop"
    server = require_cluster()
    names = annotate(options.service, options.namespace, f"{STOP}=true" if stop else f"{STOP}-")
    say(f"{' and '.join(names)} {'stopped' if stop else 'started'} at {server}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
