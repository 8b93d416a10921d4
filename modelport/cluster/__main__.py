"""`modelport test-cluster OVERLAY`: try an overlay on KUBECONFIG's cluster, in namespaces of the test's own.

The overlay is applied, called by every route and protocol, put to its promises, and removed. All namespaces of the
test begin with the same name and carry a label; they are removed whatever happens.
"""

from __future__ import annotations

import argparse
import datetime
import secrets
import signal
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from types import FrameType

from modelport.cluster.checks import (
    NOT_PROMISED,
    Check,
    access,
    batches,
    canary,
    disruption,
    encryption,
    entrance,
    fallback,
    judge,
    objects,
    observing,
    removal,
    scaling,
    serving,
    shadow,
    signatures,
)
from modelport.cluster.kubectl import Kubectl, connect
from modelport.cluster.observation import observe
from modelport.cluster.records import ADMITTED, READY, Run, keep
from modelport.cluster.report import FAILED, PASSED, SKIPPED, Outcome, junit
from modelport.cluster.setting import SERVED_BY, Setting, admitted, arranged
from modelport.cluster.trial import BrokenPromiseError, NotPossibleError, Trial
from modelport.environment import ROOT
from modelport.manifests.cluster import ClusterError
from modelport.manifests.rendering import RenderError, overlays
from modelport.releases.errors import ReleaseError
from modelport.services import DeclarationError

CHECKS: Sequence[Check] = (
    *objects.CHECKS,
    *serving.CHECKS,
    *entrance.CHECKS,
    *access.CHECKS,
    *encryption.CHECKS,
    *fallback.CHECKS,
    *canary.CHECKS,
    *judge.CHECKS,
    *observing.CHECKS,
    *shadow.CHECKS,
    *signatures.CHECKS,
    *scaling.CHECKS,
    *disruption.CHECKS,
    *removal.CHECKS,
)
REPORTS = ROOT / "build" / "reports"


def main() -> int:
    """Exit status 0 where every check passed, 1 where one failed, 2 where the overlay could not be tried."""
    options = _options()
    signal.signal(signal.SIGTERM, _interrupt)
    outcomes: list[Outcome] = []
    where, began = "no cluster", datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        cluster = connect()
        where = observe(cluster).summary()
        print(f"{options.overlay} on {where}, namespace {options.namespace}", flush=True)
        setting = Setting(
            options.overlay, options.namespace, tuple(options.services), options.cpu, options.node_folder,
            options.image, options.store_image, options.envoy_image, options.placed,
        )  # fmt: skip
        with closing(_admit(cluster, setting) if options.admit else _try(cluster, setting, options)) as tried:
            for outcome in tried:
                outcomes.append(outcome)
                print(outcome.line(), flush=True)
    except (ClusterError, RenderError, DeclarationError, ReleaseError) as error:
        print(f"error: {error}", file=sys.stderr)
        outcomes.append(Outcome("deploy", FAILED, str(error)))
    except KeyboardInterrupt:
        print("interrupted: what the test made has been removed", file=sys.stderr)
        return 130
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / f"cluster-{options.overlay}.xml").write_text(junit(options.overlay, outcomes))
    kept = Run(options.overlay, began, where, tuple(options.services), options.cpu, tuple(outcomes))
    (REPORTS / f"cluster-{options.overlay}.json").write_text(kept.record() + "\n")
    if options.record:
        keep(kept)
    if outcomes[-1].name == "deploy":
        return 2
    return 1 if any(one.result == FAILED for one in outcomes) else 0


def _admit(cluster: Kubectl, setting: Setting) -> Generator[Outcome, None, None]:
    began = time.monotonic()
    yield Outcome(ADMITTED, PASSED, admitted(cluster, setting), time.monotonic() - began)


def _try(cluster: Kubectl, setting: Setting, options: argparse.Namespace) -> Generator[Outcome, None, None]:
    with arranged(cluster, setting) as trial:
        trial.stops_controllers = options.stop_controllers
        service = options.service or next(iter(trial.specs))
        checks = (*batches.CHECKS, *removal.CHECKS) if setting.overlay in SERVED_BY else CHECKS
        chosen = [one for one in checks if not options.only or one.name in (*options.only, "undeploy")]
        yield from run(trial, service, chosen)


def run(trial: Trial, service: str, checks: Sequence[Check]) -> Iterator[Outcome]:
    """Deploy the overlay, run its checks in order, and report each outcome; a failed deployment is the only one."""
    began = time.monotonic()
    trial.cluster.apply(trial.documents, dry_run=True)
    trial.deploy()
    trial.wait_ready()
    yield Outcome(READY, PASSED, f"{', '.join(trial.specs)}", time.monotonic() - began)
    for check in checks:
        why = check.inapplicable(trial, service)
        if why:
            if why != NOT_PROMISED:
                yield Outcome(check.name, SKIPPED, why)
            continue
        outcome = _outcome(check, trial, service)
        yield outcome
        if check.name != "undeploy" and not (check.keeps and outcome.result == PASSED):
            with _reported(check.name) as failed:
                trial.deploy()
                trial.wait_ready()
            yield from failed


def _outcome(check: Check, trial: Trial, service: str) -> Outcome:
    began = time.monotonic()
    try:
        result, detail = PASSED, check.run(trial, service)
    except NotPossibleError as error:
        result, detail = SKIPPED, str(error)
    except (BrokenPromiseError, ClusterError) as error:
        result, detail = FAILED, str(error)
    return Outcome(check.name, result, detail, time.monotonic() - began)


@contextmanager
def _reported(name: str) -> Iterator[list[Outcome]]:
    failed: list[Outcome] = []
    try:
        yield failed
    except ClusterError as error:
        failed.append(Outcome(f"after {name}", FAILED, str(error)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="modelport test-cluster", description=__doc__)
    parser.add_argument("overlay", choices=overlays(), metavar="OVERLAY", help="a name under manifests/overlays")
    parser.add_argument("--services", nargs="+", default=[], help="deploy these services alone (default: all)")
    parser.add_argument("--service", help="the service that is disturbed (default: the first one)")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="CHECK",
        choices=[one.name for one in CHECKS],
        help=f"of {', '.join(one.name for one in CHECKS)}",
    )
    parser.add_argument("--admit", action="store_true", help="only have the API server and webhooks judge the overlay")
    parser.add_argument("--cpu", help="what each container requests, on a cluster that is too small (50m)")
    parser.add_argument(
        "--node-folder", help="a folder of the node for models, where no storage class provides volumes"
    )
    parser.add_argument("--image", help="of the test's own pods, one with our transformer (default: the overlay's)")
    parser.add_argument("--store-image", help="an image with moto and boto3, for overlays with models in S3")
    parser.add_argument("--placed", action="store_true", help="the releases are at the overlay's addresses already")
    parser.add_argument("--envoy-image", default="", help="of the gateway's proxies (default: Envoy Gateway's choice)")
    parser.add_argument(
        "--stop-controllers", action="store_true", help="also stop KEDA's operator for a while, for the whole cluster"
    )
    parser.add_argument("--record", action="store_true", help="keep the run for the table in docs/deploy.md")
    name = f"modelport-test-{secrets.token_hex(3)}"
    parser.add_argument("--namespace", default=name, help="a new name (default: modelport-test- and a random end)")
    return parser.parse_args()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
