"""The API server of the cluster in which this pod runs, as far as a judge needs it."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MANAGER = "modelport-judge"  # of the fields that it changes
_TIMEOUT_S = 20.0


class ApiError(Exception):
    """The API server refused, or did not answer; the message says what was asked and why.

    `status` is the answer's; 0 without one.
    """

    def __init__(self, what: str, status: int, why: str) -> None:
        super().__init__(f"{what}: {status or 'no answer'}: {why}")
        self.status = status


class Api:
    """Reads and changes objects of one namespace, as the pod's service account may.

    Args:
        url: of the API server; None: of the cluster that runs this pod.
        account: folder of the service account's token, certificate and namespace.
    """

    def __init__(self, url: str | None = None, account: Path = ACCOUNT) -> None:
        self.namespace = (account / "namespace").read_text().strip()
        self._token = account / "token"
        address = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        authority = account / "ca.crt"
        context = (
            ssl.create_default_context(cafile=str(authority)) if authority.exists() else ssl.create_default_context()
        )
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        self._client = httpx.Client(base_url=url or f"https://{host}:{address[1]}", verify=context, timeout=_TIMEOUT_S)

    def get(self, group: str, kind: str, name: str = "", **parameters: str) -> Mapping[str, Any]:
        """An object, or with parameters such as labelSelector a list of them.

        Args:
            group: with the version, such as apps/v1.
            kind: plural, such as deployments.
            name: empty for a list.
            parameters: of the query.

        Raises:
            ApiError: there is none, or the API server does not answer.
        """
        return self._ask("GET", group, kind, name, parameters=parameters)

    def patch(self, group: str, kind: str, name: str, change: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Change an object: by a JSON patch (RFC 6902) where a sequence is given, else by a merge patch (RFC 7386).

        Raises:
            ApiError: likewise; 409 or 422 where a test of a JSON patch failed.
        """
        form = "merge" if isinstance(change, Mapping) else "json"
        self._ask("PATCH", group, kind, name, change, f"application/{form}-patch+json", {"fieldManager": MANAGER})

    def _ask(
        self,
        method: str,
        group: str,
        kind: str,
        name: str,
        content: Any = None,
        content_type: str = "application/json",
        parameters: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        path = f"/{'apis' if '/' in group else 'api'}/{group}/namespaces/{self.namespace}/{kind}"
        what = f"{method} {kind} {name}".rstrip()
        headers = {"content-type": content_type}
        if self._token.exists():  # read anew each time: the kubelet replaces it
            headers["authorization"] = f"Bearer {self._token.read_text().strip()}"
        try:
            answer = self._client.request(
                method,
                f"{path}/{name}" if name else path,
                params=parameters,
                headers=headers,
                content=None if content is None else json.dumps(content),
            )
        except httpx.HTTPError as error:
            raise ApiError(what, 0, repr(error)) from error
        if not answer.is_success:
            raise ApiError(what, answer.status_code, _message(answer))
        found: Mapping[str, Any] = answer.json()
        return found


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:500]
