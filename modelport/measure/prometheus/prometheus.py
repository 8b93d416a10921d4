"""A real Prometheus for a running stack, configured from our manifests as the Prometheus operator would do it."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from modelport.environment import ROOT
from modelport.stack.errors import StartError
from modelport.stack.guarded_process import GuardedProcess
from modelport.stack.server import LOOPBACK, port_problem

COMPONENTS = ROOT / "manifests" / "components"
POD_MONITOR = COMPONENTS / "pod-monitor" / "pod-monitor.yaml"
START_TIMEOUT_S = 300.0
# Triton's metrics port in a pod, replaced by the local one
_TRITON_METRICS = ":8002"
RULES = COMPONENTS / "alerts" / "rules.yaml"
INTERVAL = "1s"  # of scrapes and of evaluations


@dataclass(frozen=True)
class Pod:
    """A local transformer and its Triton, described as Kubernetes' discovery of pods would describe them."""

    name: str
    inference_service: str
    http_port: int
    triton_metrics_port: int
    namespace: str = "modelport"

    def targets(self) -> list[dict[str, Any]]:
        """A target for each declared port, and one for the container that declares none."""
        return [
            self._target("transformer-container", f"{LOOPBACK}:{self.http_port}", port="http1"),
            self._target("transformer-container", f"{LOOPBACK}:{self.http_port + 1}", port="grpc"),
            self._target("kserve-container", LOOPBACK),
        ]

    def _target(self, container: str, address: str, **port: str) -> dict[str, Any]:
        found = {
            "namespace": self.namespace,
            "pod_name": self.name,
            "pod_ip": LOOPBACK,
            "pod_container_name": container,
            "pod_label_app_kubernetes_io_part_of": "modelport",
            "pod_label_serving_kserve_io_inferenceservice": self.inference_service,
            **({"pod_container_port_name": port["port"]} if port else {}),
        }
        return {"targets": [address], "labels": {f"__meta_kubernetes_{key}": value for key, value in found.items()}}


def configuration(pod: Pod, rules_file: Path) -> dict[str, Any]:
    """Prometheus' configuration: the PodMonitor as scrape configs, as the Prometheus operator makes them.

    Only discovery is replaced, by static labels, and Triton's port by the local one.

    Args:
        pod: what is scraped.
        rules_file: alerts and recording rules.
    """
    monitor = yaml.safe_load(POD_MONITOR.read_text().replace(_TRITON_METRICS, f":{pod.triton_metrics_port}"))
    name = f"{monitor['metadata']['namespace']}/{monitor['metadata']['name']}"
    spec = monitor["spec"]
    return {
        "global": dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), INTERVAL),
        "rule_files": [str(rules_file)],
        "scrape_configs": [
            {
                "job_name": f"podMonitor/{name}/{number}",
                "metrics_path": endpoint["path"],
                "static_configs": pod.targets(),
                "relabel_configs": _relabelling(name, spec, endpoint),
            }
            for number, endpoint in enumerate(spec["podMetricsEndpoints"])
        ],
    }


def rule_groups() -> dict[str, Any]:
    """The content of Prometheus' rule file, from the PrometheusRule."""
    return {"groups": yaml.safe_load(RULES.read_text())["spec"]["groups"]}


def _relabelling(name: str, spec: Mapping[str, Any], endpoint: Mapping[str, Any]) -> list[dict[str, Any]]:
    """In the operator's order: what is kept, the operator's labels, the pod's labels, the endpoint's own rules."""

    def meta(label: str) -> str:
        return "__meta_kubernetes_" + re.sub(r"\W", "_", label)

    steps = [
        {"action": "keep", "source_labels": [meta(f"pod_label_{label}")], "regex": value}
        for label, value in spec["selector"]["matchLabels"].items()
    ]
    if "port" in endpoint:
        source = meta("pod_container_port_name")
        steps.append({"action": "keep", "source_labels": [source], "regex": endpoint["port"]})
    copied = {"namespace": "namespace", "container": "pod_container_name", "pod": "pod_name"}
    copied |= {re.sub(r"\W", "_", label): f"pod_label_{label}" for label in spec.get("podTargetLabels", ())}
    steps += [{"source_labels": [meta(source)], "target_label": label} for label, source in copied.items()]
    steps.append({"target_label": "job", "replacement": name})
    for own in endpoint.get("relabelings", ()):
        steps.append({re.sub(r"[A-Z]", lambda c: f"_{c[0].lower()}", key): value for key, value in own.items()})
    return steps


class Prometheus:
    """Owns a Prometheus that scrapes one pod.

    Args:
        pod: what is scraped.
        folder: for its configuration, data and log.
        port: that it listens on, on loopback.
    """

    def __init__(self, pod: Pod, folder: Path, port: int) -> None:
        self.url = f"http://{LOOPBACK}:{port}"
        self._client = httpx.Client(base_url=self.url, timeout=30)
        folder.mkdir(parents=True, exist_ok=True)
        rules_file, file = folder / "rules.yml", folder / "prometheus.yml"
        rules_file.write_text(yaml.safe_dump(rule_groups(), sort_keys=False))
        file.write_text(yaml.safe_dump(configuration(pod, rules_file.resolve()), sort_keys=False))
        self._process = GuardedProcess(
            [
                executable(),
                f"--config.file={file.resolve()}",
                f"--storage.tsdb.path={folder.resolve() / 'data'}",
                f"--web.listen-address={LOOPBACK}:{port}",
            ],
            dict(os.environ),
            folder / "prometheus.log",
            folder,
            grace_s=10,
        )

    def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            StartError: it was not ready in time; the message is the end of its log.
        """
        self._process.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.is_alive():
            try:
                if self._client.get("/-/ready").is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        log = self._process.log()
        self._process.stop()
        raise StartError(f"Prometheus did not start: {log[-500:]}")

    def alerts_page(self) -> str:
        """The address of its page of alerts, which Debian's package 2.42 has at another path."""
        paths = ("/alerts", "/classic/alerts")
        return self.url + next((path for path in paths if self._client.get(path).is_success), paths[0])

    def stop(self) -> None:
        """Stop it."""
        self._client.close()
        self._process.stop()


def check_port(port: int) -> None:
    """Look whether a port is free: another Prometheus may be there, as Debian's package starts one.

    Raises:
        StartError: it is not.
    """
    if why := port_problem(port):
        raise StartError(
            f"port {port} cannot be used ({why}): end what listens there, or choose another: "
            f'make prometheus ARGS="--port {port + 1}"'
        )


def executable() -> str:
    """The path of Prometheus.

    Raises:
        StartError: it is not installed.
    """
    found = shutil.which("prometheus")
    if found is None:
        raise StartError("prometheus is not installed: apt-get install prometheus")
    return found
