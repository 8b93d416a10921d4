"""What a trial needs around it, made beforehand and removed whatever happens: namespaces, callers, models, keys."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from modelport.cluster import releases, tokens
from modelport.cluster.kubectl import Kubectl
from modelport.cluster.pods import Caller, OwnPod, namespace, pod
from modelport.cluster.relocation import OWNED, Fit, relocate
from modelport.cluster.store import Store
from modelport.cluster.trial import Trial, own_manifests
from modelport.manifests.cluster import ClusterError
from modelport.manifests.findings import Document, at
from modelport.manifests.rendering import render
from modelport.services import load

CLAIM = "modelport-models"
REMOVAL_TIMEOUT_S = 300.0
ACCESS = "modelport/access"
SERVED_BY = {"batch": "storage-s3"}  # overlays without a service, and those with which they are tried


@dataclass(frozen=True)
class Setting:
    """What a person chose; see the options of `modelport test-cluster`."""

    overlay: str
    namespace: str
    services: tuple[str, ...] = ()
    cpu: str | None = None
    node_folder: str | None = None
    image: str | None = None
    store_image: str | None = None
    envoy_image: str = ""
    placed: bool = False

    @property
    def namespaces(self) -> tuple[str, ...]:
        """All of the test's: of the overlay, of monitoring, of those who may not call, of the store, of the callers."""
        return (self.namespace, self.monitoring, self.outside, self.storage, self.callers)

    @property
    def callers(self) -> str:
        """The namespace of the pods that call, labelled as a gateway's."""
        return f"{self.namespace}-caller"

    @property
    def monitoring(self) -> str:
        """The namespace of the pod that reads metrics, labelled as Prometheus's."""
        return f"{self.namespace}-monitoring"

    @property
    def storage(self) -> str:
        """The namespace of the test's store, labelled as one that the services may call."""
        return f"{self.namespace}-storage"

    @property
    def outside(self) -> str:
        """A namespace without such a label."""
        return f"{self.namespace}-outside"


@contextmanager
def arranged(cluster: Kubectl, setting: Setting) -> Iterator[Trial]:
    """Everything that a trial needs; the overlay itself is not applied yet.

    Raises:
        ClusterError: a namespace of that name exists already, or the cluster refused something.
    """
    with ExitStack() as stack:
        manifests = stack.enter_context(own_manifests())
        overlay = SERVED_BY.get(setting.overlay, setting.overlay)
        declared = render(overlay, manifests)
        image = setting.image or _transformer_image(declared)
        stack.enter_context(_namespaces(cluster, setting, declared))
        caller = Caller(cluster, pod("caller", setting.callers, image, hostPID=True, securityContext={"runAsUser": 0}))
        signer, headers = tokens.Signer(), dict[str, str]()
        policy = next((one for one in declared if one["kind"] == "SecurityPolicy" and at(one, "spec.jwt")), None)
        if policy:
            cluster.apply(tokens.server(setting.callers, image, signer.key_set()))
            ready = ("wait", "--for=condition=Ready", f"pod/{tokens.NAME}", "--timeout=120s")
            cluster.run(*ready, f"--namespace={setting.callers}", timeout_s=130)
            headers["authorization"] = f"Bearer {signer.token(policy)}"
        store = Store.needed_by(declared, cluster, setting.storage, setting.store_image)
        fit = Fit(
            setting.namespace,
            setting.services,
            setting.cpu,
            _taken_ports(cluster),
            setting.node_folder,
            tokens.key_set_url(setting.callers),
            store.secret_name if store else "",
            setting.envoy_image,
        )
        trial = Trial(cluster, overlay, fit, caller, headers, manifests, store)
        if store:
            cluster.apply(store.credentials(setting.namespace))
        keys = stack.enter_context(_keys(cluster, trial)) if trial.requires_signature else ()
        if not setting.placed:
            _place(cluster, trial, image, store, keys)
        yield trial


def admitted(cluster: Kubectl, setting: Setting) -> str:
    """Have the API server and all webhooks judge an overlay, without applying it.

    Raises:
        ClusterError: something of it is refused.
    """
    declared = render(setting.overlay)
    with _namespaces(cluster, setting, declared):
        fit = Fit(setting.namespace, setting.services, setting.cpu, _taken_ports(cluster), setting.node_folder)
        documents = relocate(declared, fit, load())
        cluster.apply(documents, dry_run=True)
    kinds = dict.fromkeys(str(one["kind"]) for one in documents)
    return f"{len(documents)} objects: {', '.join(kinds)}"


@contextmanager
def _namespaces(cluster: Kubectl, setting: Setting, declared: Sequence[Document]) -> Iterator[None]:
    """The test's namespaces, which are removed at the end with all that is in them."""
    for name in setting.namespaces:
        if cluster.get("namespace", name):
            raise ClusterError(
                f"the namespace {name} exists, and the test uses only those that it made: choose another --namespace"
            )
    moved = relocate(declared, Fit(setting.namespace), ())
    own = next((one for one in moved if one["kind"] == "Namespace"), namespace(setting.namespace, {}))
    try:
        labels = {
            setting.callers: {ACCESS: "gateway"},
            setting.monitoring: {ACCESS: "monitoring"},
            setting.storage: {ACCESS: "storage"},
            setting.outside: {},
        }
        cluster.apply([own, *(namespace(name, access) for name, access in labels.items())])
        yield
    finally:
        interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave things behind
        _remove(cluster, setting)
        signal.signal(signal.SIGINT, interrupted)


def _transformer_image(documents: Sequence[Document]) -> str:
    service = next((one for one in documents if one["kind"] == "InferenceService"), None)
    if service is None:
        raise ClusterError("the overlay has no InferenceService: the test tries overlays that serve")
    return str(at(service, "spec.predictor.containers.0.image"))


def _taken_ports(cluster: Kubectl) -> set[int]:
    services = cluster.items("service")
    return {port["nodePort"] for one in services for port in at(one, "spec.ports", []) if "nodePort" in port}


@contextmanager
def _keys(cluster: Kubectl, trial: Trial) -> Iterator[Sequence[Path]]:
    """Two private keys in files; the services know the public one of the first."""
    with tempfile.TemporaryDirectory(prefix="modelport-keys-") as scratch:
        files = []
        for number in range(2):
            key = ec.generate_private_key(ec.SECP256R1())
            files.append(Path(scratch) / f"{number}.pem")
            form, bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            files[-1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, bare))
            if not number:
                kind = serialization.PublicFormat.SubjectPublicKeyInfo
                public = key.public_key().public_bytes(serialization.Encoding.PEM, kind).decode()
        metadata = {"name": "modelport-release-keys", "namespace": trial.namespace}
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"public.pem": public}}
        cluster.apply([document])
        yield files


def _place(cluster: Kubectl, trial: Trial, image: str, store: Store | None, keys: Sequence[Path]) -> None:
    """Put the releases where the overlay's storage addresses point."""
    addresses = [
        str(at(one, "spec.predictor.model.storageUri", ""))
        for one in trial.documents
        if one["kind"] == "InferenceService"
    ]
    scheme = addresses[0].partition("://")[0]
    chains = _chains(trial)
    with releases.laid_out(chains, set(chains), keys=keys) as folder:
        files = [(path.name, path) for path in sorted(folder.iterdir())]
        if scheme == "pvc":
            volumes = [one for one in trial.documents if one["kind"] in ("PersistentVolume", "PersistentVolumeClaim")]
            cluster.apply(volumes)
            claims = [at(one, "metadata.name") for one in volumes if one["kind"] == "PersistentVolumeClaim"]
            mounts = [{"name": name, "mountPath": f"/{name}"} for name in claims]
            claim = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
            root = {"runAsUser": 0}
            loader = OwnPod(
                cluster, pod("loader", trial.namespace, image, mounts=mounts, volumes=claim, securityContext=root)
            )
            loader.unpack(files, f"/{CLAIM}")
            for name in claims:  # a provisioner would give them to the pods' fsGroup; a folder of the node has none
                loader.execute("chmod", "0777", f"/{name}")
            loader.delete()
        elif store:
            store.fill(files)
        else:
            raise ClusterError(
                f"the test cannot put models at {addresses[0]}: it can at pvc:// and, with --store-image, s3://; "
                "give --placed where they are there already"
            )


def _chains(trial: Trial) -> Mapping[str, tuple[str, ...]]:
    """The models of each service's releases: of all of its InferenceServices."""
    declared = load()
    return {spec.name: declared[spec.name].models for spec in trial.specs.values()}


def _remove(cluster: Kubectl, setting: Setting) -> None:
    """Remove all that the test made; what fails is said, and the rest is removed all the same."""
    print("removing what the test made", file=sys.stderr, flush=True)  # noqa: T201
    selector = f"{OWNED}={setting.namespace}"
    try:
        volumes = cluster.items("persistentvolume", selector=selector)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        volumes = []
    # the pods that use the volume, then its folder by a pod beside the callers, then the callers
    for name in setting.namespaces:
        try:
            if name == setting.callers:
                for folder in filter(None, (at(volume, "spec.hostPath.path") for volume in volumes)):
                    _empty(cluster, setting, Path(folder))
            found = cluster.get("namespace", name)
            if found and at(found, "metadata.labels", {}).get(OWNED):
                cluster.delete("namespace", name, timeout_s=REMOVAL_TIMEOUT_S)
        except ClusterError as error:
            print(f"error: namespace {name} is left: {error}", file=sys.stderr)  # noqa: T201
    try:
        cluster.run("delete", "persistentvolume", f"--selector={selector}", "--timeout=60s", timeout_s=70)
    except ClusterError as error:
        print(f"error: volumes are left: {error}", file=sys.stderr)  # noqa: T201


def _empty(cluster: Kubectl, setting: Setting, folder: Path) -> None:
    """Remove a folder of the node that was a volume: Kubernetes leaves it."""
    caller = cluster.get("pod", "caller", setting.callers)
    if caller is None:
        return
    mounts = [{"name": "parent", "mountPath": "/node"}]
    parent = [{"name": "parent", "hostPath": {"path": str(folder.parent)}}]
    image, root = at(caller, "spec.containers.0.image"), {"runAsUser": 0}
    sweeper = OwnPod(
        cluster, pod("sweeper", setting.callers, image, mounts=mounts, volumes=parent, securityContext=root)
    )
    sweeper.execute("rm", "-rf", f"/node/{folder.name}")
