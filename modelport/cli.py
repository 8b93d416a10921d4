"""`modelport COMMAND`: the table of commands, and what each of them needs to be installed."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelport.environment import BASE, FRAMEWORKS, say, set_up

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Command:
    """A command runs a module, in the environment that it names, with the arguments that it got."""

    module: str  # run as `python -m MODULE`
    summary: str  # one line for the list of commands
    needs: tuple[str, ...] = ()  # names of `modelport.environment.NEEDS` beside `serve`
    arguments: tuple[str, ...] = ()  # go before the user's
    framework: str | None = None  # the environment it runs in: a key of FRAMEWORKS, or None for the base


def _release(name: str, summary: str, *needs: str) -> Command:
    return Command("modelport.releases", summary, ("manifests", *needs), (name,))


def _cluster(module: str, name: str, summary: str) -> Command:
    return Command(f"modelport.manifests.{module}", summary, ("manifests",), (name,))


COMMANDS: Mapping[str, Command] = {
    "serve": Command("modelport.stack", "serve on this machine until Ctrl-C"),
    "status": Command("modelport.stack.status", "what runs, since when, ready or why not, releases, requests"),
    "logs": Command("modelport.stack.logs", "logs of a running stack in one; --follow goes on"),
    "export": Command("modelport.exporting", "build artefacts in model_repository/ from weights"),
    "add": Command(
        "modelport.adding", "serve a model of your own: ONNX, PyTorch, Keras, SavedModel, Darknet", (), ("add",)
    ),
    "remove": Command("modelport.adding", "remove a model that was added", (), ("remove",)),
    "train": Command("exporters.training", "train mnist, anomaly or cars", ("tensorflow",), framework="tensorflow"),
    "quantise": Command(
        "modelport.quantising", "make an int8 network of a model, and prove it", ("quantise",), framework="quantise"
    ),
    "demo": Command("modelport.stack.demo", "send the sample images to a running stack, draw the detections"),
    "client": Command("kserve_transformers.client", "send files or folders to a running service", ("client",)),
    "api-key": Command("kserve_transformers.api_keys", "create an API key for `serve --api_keys FILE`"),
    "release": _release("release", "build and check a release of a service's models", "releases"),
    "verify": _release("verify", "check a release and its signature", "releases"),
    "publish": _release("publish", "upload a release to storage", "releases"),
    "canary": _release(
        "canary", "give a release a share of the traffic; --auto judges it and moves the share", "releases"
    ),
    "promote": _release("promote", "let the canary serve all traffic"),
    "rollback": _release("rollback", "end the canary, or return to the release before"),
    "shadow": _release("shadow", "copy requests to a release, and judge its answers; no caller gets them", "releases"),
    "releases": _release("releases", "list releases, which of them serve, and the latest changes"),
    "compare": _release("compare", "compare two releases over the same samples", "releases"),
    "evaluate": _release("evaluate", "measure accuracy or mAP on labelled data", "releases"),
    "replay": _release("replay", "send a release the requests of a record, and compare the answers", "releases"),
    "drift-reference": _release(
        "drift-reference", "make a model's reference of drift from a record or a folder of images", "releases"
    ),
    "update": _release("update", "switch a running stack to another release"),
    "manifests": Command("modelport.manifests.generation", "write what services.yaml declares into manifests/"),
    "lint": Command("modelport.manifests", "render and check overlays", ("manifests",)),
    "render": Command("modelport.manifests", "print what an overlay declares", ("manifests",), ("--render",)),
    "check-cluster": Command(
        "modelport.cluster.preflight", "say what KUBECONFIG's cluster lacks for overlays", ("manifests",)
    ),
    "test-cluster": Command(
        "modelport.cluster",
        "try an overlay on KUBECONFIG's cluster, in a namespace of its own",
        ("manifests", "releases"),
    ),
    "cluster-table": Command("modelport.cluster.records", "write the table of what ran where from the runs on record"),
    "init-cluster": Command("modelport.manifests.init_cluster", "write an overlay of your own", ("manifests",)),
    "deploy": _cluster("deploying", "deploy", "apply an overlay to the cluster"),
    "undeploy": _cluster("deploying", "undeploy", "remove an overlay from the cluster"),
    "stop": _cluster("stopping", "stop", "take a service's pods away from the cluster"),
    "start": _cluster("stopping", "start", "bring a stopped service's pods back"),
    "images": Command(
        "modelport.manifests.images", "write the names of published images into manifests/images", ("manifests",)
    ),
    "bench": Command(
        "modelport.measure.bench",
        "measure beside raw models and legacy servers",
        ("test", "bench", "torch", "tensorflow"),
    ),
    "tune": Command(
        "modelport.measure.tune", "find the instances, threads and batching that suit a model on this machine"
    ),
    "load": Command("modelport.measure.load", "run load studies on a running server", ("bench",)),
    "soak": Command("modelport.measure.soak", "mixed traffic and faults for an hour: nothing may grow", ("test",)),
    "torture": Command(
        "modelport.measure.torture", "inject faults into a stack under load", ("test", "manifests", "releases")
    ),
    "prometheus": Command(
        "modelport.measure.prometheus", "run a real Prometheus with our alerts beside a running stack"
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Install what the command needs, then become it.

    Returns:
        The exit code, where the command did not start: 0 for help, 2 for an unknown command, 1 where set-up failed.
    """
    name, *rest = arguments if arguments is not None else sys.argv[1:] or ["help"]
    if name in ("help", "-h", "--help"):
        say("usage: modelport COMMAND [OPTION ...]\n")
        for known, command in COMMANDS.items():
            say(f"  {known:<16}{command.summary}")
        say("\nmodelport COMMAND --help lists the options of a command.")
        return 0
    if name not in COMMANDS:
        say(f"error: there is no command {name!r}: modelport help lists them", error=True)
        return 2
    command = COMMANDS[name]
    _reach_this_machine()
    failed = set_up(*_needs(command, rest))
    if failed:
        return failed
    python = str((FRAMEWORKS[command.framework] if command.framework else BASE).python)
    os.execv(python, [python, "-P", "-m", command.module, *command.arguments, *rest])  # noqa: S606 (becomes the command)


def _reach_this_machine() -> None:
    """Let no proxy of the environment take what is for servers of this machine."""
    stated = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if stated.strip() != "*":  # that is no name in a list: it stands alone
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(filter(None, (stated, *_LOOPBACK)))


def _needs(command: Command, arguments: Sequence[str]) -> tuple[str, ...]:
    """An overlay is served behind Envoy, which the manifests' requirements bring."""
    overlay = command.module == "modelport.stack" and any(one.startswith("--overlay") for one in arguments)
    return (*command.needs, "manifests") if overlay else command.needs
