"""A key set of the test's own, served in the cluster, and a token that it signs."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from modelport.cluster.pods import pod, service_of
from modelport.manifests.findings import Document, at

NAME, PORT, KEY = "keys", 8080, "test"
VALID_S = 6 * 3600


def key_set_url(namespace: str) -> str:
    """Where the key set is served."""
    return f"http://{NAME}.{namespace}.svc.cluster.local:{PORT}/jwks.json"


def server(namespace: str, image: str, key_set: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A pod that serves the key set, and its Service."""
    code = (
        "import http.server, pathlib, os, signal; os.chdir('/tmp')\n"
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n"
        f"pathlib.Path('jwks.json').write_text({json.dumps(key_set)!r})\n"
        f"http.server.ThreadingHTTPServer(('', {PORT}), http.server.SimpleHTTPRequestHandler).serve_forever()\n"
    )
    document = pod(NAME, namespace, image)
    document["spec"]["containers"][0] |= {
        "command": ["python3", "-c", code],
        "readinessProbe": {"httpGet": {"path": "/jwks.json", "port": PORT}, "periodSeconds": 1},
    }
    return [document, service_of(document, PORT)]


class Signer:
    """A new RSA key."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def key_set(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set."""
        public = self._key.public_key().public_numbers()
        numbers = {
            name: _text(number.to_bytes((number.bit_length() + 7) // 8))
            for name, number in (("n", public.n), ("e", public.e))
        }
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY, **numbers}]}

    def token(self, policy: Document) -> str:
        """A token that a SecurityPolicy's first provider must accept."""
        provider = at(policy, "spec.jwt.providers.0")
        now = int(time.time())
        claims = {"iss": provider["issuer"], "aud": provider.get("audiences", []), "sub": "test", "exp": now + VALID_S}
        head = {"alg": "RS256", "typ": "JWT", "kid": KEY}
        signed = ".".join(_text(json.dumps(part).encode()) for part in (head, claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), SHA256())
        return f"{signed}.{_text(signature)}"


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
