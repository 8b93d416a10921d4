"""An S3 store of the test's own, for overlays whose models come from a bucket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from modelport.cluster.kubectl import Kubectl
from modelport.cluster.pods import OwnPod, pod, service_of
from modelport.manifests.cluster import ClusterError
from modelport.manifests.findings import Document, at

NAME, PORT = "store", 9000
ATTEMPTS = 120  # of a second, until the store listens
_KEY = "modelport-test"
_CLIENT = f"""
import boto3, pathlib, socket, sys, time
for _ in range({ATTEMPTS}):  # the pod runs before its server listens
    try:
        socket.create_connection(("127.0.0.1", {PORT}), 1).close()
        break
    except OSError:
        time.sleep(1)
client = boto3.client("s3", endpoint_url="http://127.0.0.1:{PORT}", region_name="us-east-1",
                      aws_access_key_id="{_KEY}", aws_secret_access_key="{_KEY}")
"""
_FILL = """
client.create_bucket(Bucket="{bucket}")
for path in pathlib.Path("/tmp/models").rglob("*"):
    if path.is_file():
        client.upload_file(str(path), "{bucket}", str(path.relative_to("/tmp/models")))
"""
_COPIES = """
data = sys.stdin.buffer.read()
for number in range({number}):
    client.put_object(Bucket="{bucket}", Key=f"{folder}/{{number:04d}}{suffix}", Body=data)
"""


class Store:
    """A pod with moto's S3, and its Service; it is running when this is constructed."""

    secret_name = "modelport-test-store"  # noqa: S105 (a name)

    def __init__(self, cluster: Kubectl, namespace: str, image: str, bucket: str) -> None:
        self._namespace, self.bucket = namespace, bucket
        document = pod(NAME, namespace, image)
        document["spec"] |= {"enableServiceLinks": False}  # moto would read STORE_PORT
        container = document["spec"]["containers"][0]
        container["command"] = ["moto_server", "-H", "0.0.0.0", "-p", str(PORT)]  # noqa: S104
        # a bucket is the path's first part, not the host's
        container["env"] = [{"name": "S3_IGNORE_SUBDOMAIN_BUCKETNAME", "value": "true"}]
        cluster.apply([service_of(document, PORT)])
        self._pod = OwnPod(cluster, document)

    @classmethod
    def needed_by(
        cls, documents: Iterable[Document], cluster: Kubectl, namespace: str, image: str | None
    ) -> Store | None:
        """The store that an overlay's addresses need; None where they need none.

        Raises:
            ClusterError: they need one, and no image is named.
        """
        addresses = [str(at(one, "spec.predictor.model.storageUri", "")) for one in documents]
        bucket = next((one.split("/")[2] for one in addresses if one.startswith("s3://")), None)
        if bucket is None:
            return None
        if image is None:
            raise ClusterError("the overlay reads models from S3: name an image with moto[server] by --store-image")
        return cls(cluster, namespace, image, bucket)

    @property
    def _address(self) -> str:
        return f"{NAME}.{self._namespace}:{PORT}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead S3's clients to it."""
        keys = {"AWS_ACCESS_KEY_ID": _KEY, "AWS_SECRET_ACCESS_KEY": _KEY, "AWS_REGION": "us-east-1"}
        return keys | {"AWS_ENDPOINT_URL": f"http://{self._address}"}

    def credentials(self, namespace: str) -> Sequence[dict[str, Any]]:
        """The Secret, in the form that KServe documents."""
        prefix = "serving.kserve.io/s3-"
        told = {
            "endpoint": self._address,
            "usehttps": "0",
            "verifyssl": "0",
            "region": "us-east-1",
        }
        return [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {
                    "name": self.secret_name,
                    "namespace": namespace,
                    "annotations": {prefix + key: value for key, value in told.items()},
                },
                "stringData": {"AWS_ACCESS_KEY_ID": _KEY, "AWS_SECRET_ACCESS_KEY": _KEY},
            }
        ]

    def fill(self, files: Iterable[tuple[str, Path]]) -> None:
        """Upload files and folders into the bucket."""
        self._pod.unpack(files, "/tmp/models")  # noqa: S108 (in the pod)
        self._pod.execute("python3", "-c", _CLIENT + _FILL.format(bucket=self.bucket), timeout_s=600)

    def copy(self, data: bytes, number: int, folder: str, suffix: str) -> None:
        """Upload a file under many names, 0000SUFFIX and so on, into a folder of the bucket."""
        code = _CLIENT + _COPIES.format(number=number, bucket=self.bucket, folder=folder, suffix=suffix)
        self._pod.execute("python3", "-c", code, stdin=data, timeout_s=600)
