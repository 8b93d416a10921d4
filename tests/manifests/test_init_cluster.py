"""An overlay of the user's own: their values, their services, no placeholder, no finding."""

import shutil
from typing import Any

import pytest

from modelport.manifests import init_cluster
from modelport.manifests.init_cluster import parse
from modelport.manifests.rendering import MANIFESTS, RenderError, render

Documents = list[dict[str, Any]]
SECURED = ["--with=jwt", "--host=v.me.org", "--issuer=https://id.me.org/", "--origin=https://app.me.org"]


@pytest.fixture
def made(tmp_path):
    """Renders the overlay that options make."""
    manifests = tmp_path / "manifests"
    shutil.copytree(MANIFESTS, manifests)

    def make(*options: str) -> Documents:
        wanted, name = parse(["--registry=ghcr.io/me", *options])
        init_cluster.write(wanted, name, "modelport init-cluster", manifests)
        return render(name, manifests)

    return make


def of(documents: Documents, kind: str) -> dict[str, dict[str, Any]]:
    return {d["metadata"]["name"]: d for d in documents if d["kind"] == kind}


@pytest.mark.parametrize(
    ("bucket", "address"),
    [
        pytest.param("my-models", "s3://my-models/cars/initial", id="a name alone is S3's"),
        pytest.param("gs://my-models", "gs://my-models/cars/initial", id="gcs"),
        pytest.param("az://b@me.blob.core.windows.net", "https://me.blob.core.windows.net/b/cars/initial", id="azure"),
        pytest.param("oci://r.me.org:5000/ai", "oci+native://r.me.org:5000/ai/modelport/cars:initial", id="a registry"),
        pytest.param("pvc", "pvc://modelport-models/cars/initial", id="a volume"),
    ],
)
def test_images_and_models_are_the_users(bucket, address, made):
    documents = made(f"--bucket={bucket}", "--tag=v1", "--services=cars,detector")
    services = of(documents, "InferenceService")
    assert set(services) == {"cars", "detector"} == set(of(documents, "PodDisruptionBudget"))
    predictor = services["cars"]["spec"]["predictor"]
    assert predictor["model"]["storageUri"] == address
    assert predictor["containers"][0]["image"] == "ghcr.io/me/modelport-transformer:v1"
    (runtime,) = of(documents, "ServingRuntime").values()
    assert runtime["spec"]["containers"][0]["image"] == "ghcr.io/me/modelport-triton:v1"


def test_a_gateway_with_tokens_in_another_namespace(made):
    *most, last = SECURED
    documents = made(
        most[0] + ",fallback,gateway-monitor", *most[1:], last, "--services=classifier", "--namespace=vision"
    )
    assert {d["metadata"].get("namespace", "vision") for d in documents} == {"vision"}
    assert set(of(documents, "Namespace")) == {"vision"}
    assert set(of(documents, "HTTPRoute")) == {"modelport-classifier", "to-https"}
    assert set(of(documents, "InferenceService")) == {"classifier", "classifier-light"}
    hosts = {b["spec"]["endpoints"][0]["fqdn"]["hostname"] for b in of(documents, "Backend").values()}
    assert hosts == {f"classifier{light}-pods.vision.svc.cluster.local" for light in ("", "-light")}
    policy = of(documents, "SecurityPolicy")["modelport"]["spec"]
    (provider,) = policy["jwt"]["providers"]
    assert provider["remoteJWKS"]["uri"] == "https://id.me.org/.well-known/jwks.json"
    assert policy["cors"]["allowOrigins"] == ["https://app.me.org"]
    assert of(documents, "Certificate")["modelport"]["spec"]["dnsNames"] == ["v.me.org"]
    monitored = of(documents, "PodMonitor")["modelport-gateway"]["spec"]["selector"]["matchLabels"]
    assert monitored["gateway.envoyproxy.io/owning-gateway-namespace"] == "vision"


@pytest.mark.parametrize(
    "scaling", ["hpa", "keda", "knative", "hpa,vpa,gpu", "load-balancer", "node-port", "hpa,canary-standard"]
)
def test_components_stand_in_an_order_that_works(scaling, made):
    documents = made(f"--with={scaling},egress,pull-secret,pod-monitor,alerts,dashboard", "--bucket=b")
    assert len(of(documents, "InferenceService")) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--services=cars,dogs"], "dogs is not in services.yaml: choose from detector, ", id="service"),
        pytest.param(["--services=,"], "none is not in services.yaml", id="no service"),
        pytest.param(["--with=istio"], "istio is no component", id="component"),
        pytest.param(["--bucket=ftp://x"], "--bucket: write s3://BUCKET", id="scheme"),
        pytest.param(["--bucket=s3://b/folder"], "and nothing more", id="a prefix"),
        pytest.param(["--bucket=az://models"], "az://CONTAINER@ACCOUNT.blob", id="no account"),
        pytest.param(["--registry=https://ghcr.io/me"], "without https://", id="a registry's address"),
        pytest.param(["--name=My"], "--name: use small letters", id="name"),
        pytest.param(["--namespace=a.b"], "--namespace: use small letters", id="namespace"),
        pytest.param(SECURED[:2], "jwt needs --issuer URL", id="no issuer"),
        pytest.param(["--with=tls"], "tls needs --host NAME", id="no host"),
        pytest.param(["--host=v.me.org"], "--host NAME is for --with tls", id="a host for nothing"),
    ],
)
def test_wrong_options_are_one_line(options, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        parse(["--registry=ghcr.io/me", *options])
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_what_would_not_be_right_is_not_left(made, tmp_path):
    with pytest.raises(RenderError, match=r"'issuer\.example\.com' is a name that is reserved"):
        made(*(option.replace("id.me.org", "issuer.example.com") for option in SECURED))
    assert not (tmp_path / "manifests" / "overlays" / "mine").exists()
    made()
    with pytest.raises(RenderError, match="exists already"):
        made()
