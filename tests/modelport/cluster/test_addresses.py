"""Where the test calls an overlay: what controllers say, in the way that callers of the overlay would."""

from types import SimpleNamespace

import pytest

from modelport.cluster import entries
from modelport.cluster.addresses import Addresses
from modelport.cluster.entries import Entry


def test_a_gateway_with_a_certificate_is_called_by_its_name():
    """The callers know the name and trust the issuer; the plain listener only redirects."""
    documents = [
        {"kind": "Gateway", "metadata": {"name": "modelport"}, "spec": {"listeners": [
            {"name": "http", "protocol": "HTTP", "port": 80},
            {"name": "https", "protocol": "HTTPS", "port": 443, "tls": {"certificateRefs": [{"name": "tls"}]}}]}},
        {"kind": "Certificate", "spec": {"secretName": "authority", "isCA": True}},
        {"kind": "Certificate", "spec": {"secretName": "tls", "dnsNames": ["models.example.org"]}},
    ]  # fmt: skip
    trusted = []
    secret = {"data": {"tls.crt": "bGVhZg==", "ca.crt": "cm9vdA=="}}
    gateway = {"spec": {"clusterIP": "10.96.0.7"}}
    cluster = SimpleNamespace(get=lambda *_: secret, items=lambda *_, **__: [gateway])
    caller = SimpleNamespace(trust=lambda *told: trusted.append(told))
    addresses = Addresses(cluster, "test-1", documents, caller, {"authorization": "Bearer x"})
    entry = addresses.resolved(Entry(entries.GATEWAY, grpc_url=entries.GATEWAY, headers={"a": "b"}))
    assert entry.url == entry.grpc_url == "https://models.example.org:443"
    assert entry.headers == {"a": "b", "authorization": "Bearer x"}
    assert trusted == [("models.example.org", "10.96.0.7", "root")]
    assert addresses.plain_url() == "http://10.96.0.7:80"
    documents.pop()
    assert addresses.resolved(Entry(entries.GATEWAY)).url == "http://10.96.0.7:80"


@pytest.mark.parametrize("told", [{"ip": "10.96.0.8"}, {"hostname": "10.96.0.8"}], ids=["ip", "name"])
def test_an_ingress_is_called_where_its_controller_says(told):
    documents = [{"kind": "Ingress", "metadata": {"name": "modelport"}}]
    cluster = SimpleNamespace(get=lambda *_: {"status": {"loadBalancer": {"ingress": [told]}}})
    addresses = Addresses(cluster, "test-1", documents, SimpleNamespace(), {})
    assert addresses.resolved(Entry(entries.INGRESS)).url == "http://10.96.0.8"
