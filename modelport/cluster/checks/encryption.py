"""The gateway presents the certificate that cert-manager issued, and its successor; plain HTTP only redirects."""

from __future__ import annotations

import time

from modelport.cluster.checks import NOT_PROMISED, Check
from modelport.cluster.kubectl import wait_until
from modelport.cluster.trial import BrokenPromiseError, Trial
from modelport.manifests.findings import at

RENEWED_S = 600.0
_PRESENTED = """
import ssl, sys
print(ssl.get_server_certificate((sys.argv[1], int(sys.argv[2])), timeout=100))
"""


def _tls(trial: Trial, service: str) -> str:
    """The other checks call by HTTPS, and verify; here the plain listener and the certificate itself."""
    entry, path = trial.entry(service), f"/v2/models/{service}"
    plain, verified = trial.caller.send(
        [
            {"url": trial.addresses.plain_url() + path, "headers": entry.headers},
            {"url": entry.url + path, "headers": entry.headers},
        ]
    )
    location = plain["headers"].get("location", "")
    if plain["status"] != "301" or not location.startswith("https://"):
        raise BrokenPromiseError(f"plain HTTP answers {plain['status']} {location}, not 301 to https://")
    if verified["status"] != "200":
        raise BrokenPromiseError(f"GET {entry.url}{path}: {verified['status']} {verified.get('error', '')}")
    if _presented(trial, entry.url) != _leaf(trial):
        raise BrokenPromiseError("the gateway presents another certificate than the one that was issued")
    return f"{entry.url} with the issued certificate; plain HTTP answers 301"


def _renewal(trial: Trial, service: str) -> str:
    """A renewal as cert-manager's own `cmctl renew` asks for it."""
    url, before = trial.entry(service).url, _leaf(trial)
    name = str(at(trial.addresses.certificate or {}, "metadata.name"))
    renew = {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "modelport test-cluster"}
    with trial.traffic(service) as traffic:
        time.sleep(3)
        found = trial.cluster.get("certificate.cert-manager.io", name, trial.namespace) or {}
        others = [one for one in at(found, "status.conditions", []) if one["type"] != "Issuing"]
        trial.cluster.patch(
            "certificate.cert-manager.io", name, trial.namespace, {"status": {"conditions": [*others, renew]}}, "status"
        )
        wait_until(lambda: _leaf(trial) != before, "another certificate is issued", RENEWED_S)
        wait_until(lambda: _presented(trial, url) == _leaf(trial), "the gateway presents it", RENEWED_S)
        time.sleep(3)
    (answer,) = trial.caller.send(
        [{"url": f"{trial.entry(service).url}/v2/models/{service}", "headers": trial.addresses.headers}]
    )
    if answer["status"] != "200":
        raise BrokenPromiseError(f"after the renewal: {answer['status']} {answer.get('error', '')}")
    return f"renewed and presented; {traffic.require_none_lost()}"


def _leaf(trial: Trial) -> str:
    """The issued certificate, without those above it."""
    return trial.addresses.issued()["tls.crt"].partition("-----END CERTIFICATE-----")[0].strip()


def _presented(trial: Trial, url: str) -> str:
    host, _, port = url.removeprefix("https://").partition(":")
    found = trial.caller.execute("python3", "-c", _PRESENTED, host, port)
    return found.partition("-----END CERTIFICATE-----")[0].strip()


def _no_certificate(trial: Trial, service: str) -> str:
    return "" if trial.addresses.certificate else NOT_PROMISED


CHECKS = (
    Check("tls", "HTTPS with the issued certificate; plain HTTP only redirects", _tls, _no_certificate),
    Check("tls-renewal", "a renewed certificate is presented, no request is lost", _renewal, _no_certificate),
)
