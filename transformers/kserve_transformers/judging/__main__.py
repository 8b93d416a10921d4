"""`python3 -m kserve_transformers.judging SERVICE`: judge a service's canary in the cluster that runs this pod.

Exit codes:
  0  promoted
  1  the cluster refused
  2  wrong arguments, or there is no canary
  3  reverted
  4  somebody else changed the service's releases
"""

from __future__ import annotations

import argparse
import sys

from kserve_transformers.judging.api import Api, ApiError
from kserve_transformers.judging.arguments import seconds, steps
from kserve_transformers.judging.judge import STEPS
from kserve_transformers.judging.rollout import Rollout


def main(arguments: list[str] | None = None) -> int:
    """Judge until the rollout ends; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="kserve_transformers.judging", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("service", help="name of the InferenceService")
    parser.add_argument("--steps", type=steps, default=STEPS, help=f"shares (default: {','.join(map(str, STEPS))})")
    parser.add_argument(
        "--every",
        type=seconds(1, 3600),
        default=30.0,
        help="seconds between two looks (default: %(default)s)",
    )
    parser.add_argument("--state", default="canary-judge", help="ConfigMap of the state (default: %(default)s)")
    parser.add_argument(
        "--record",
        default="",
        help="folder or URL of a record of the release as a shadow: its answers are judged too (default: none)",
    )
    options = parser.parse_args(arguments)
    try:
        where = options.service, options.steps, options.every, options.state
        return Rollout(Api(), *where, record=options.record).run()
    except (ApiError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
