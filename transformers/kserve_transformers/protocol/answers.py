"""JSON answers other than predictions, as the OpenAPI document publishes them."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict


class Error(TypedDict):
    """What every error is: it says what to do."""

    error: str


class Live(TypedDict):
    """The event loop answers."""

    live: Literal[True]


class ModelList(TypedDict):
    """The services of this server."""

    models: list[str]


class ServiceReady(TypedDict):
    """The service's golden check passed recently."""

    name: str
    ready: Literal[True]


class ServerMetadata(TypedDict):
    """Metadata of the server in V2."""

    name: str
    version: str
    extensions: list[str]


class RefusedRelease(TypedDict):
    """A release that should take over and did not."""

    release: str
    reason: str


class ModelState(TypedDict):
    """One model of a service's chain."""

    ready: bool
    condition: Annotated[
        Literal["starting", "well", "slow", "stalled", "dead", "wrong"],
        Field(description="What golden checks found last. A slow model is ready; a replacement cures the last three."),
    ]
    reason: NotRequired[str]
    release: NotRequired[Annotated[str, Field(description="What answers now, where a release took over.")]]
    precision: NotRequired[
        Annotated[
            Literal["int8", "fp32"],
            Field(
                description="In which a model with an int8 network answers: fp32 where this processor fails its proof."
            ),
        ]
    ]
    draining: NotRequired[Annotated[list[str], Field(description="Releases that still have requests.")]]
    refused: NotRequired[RefusedRelease]
    version: NotRequired[str]
    labels: NotRequired[Annotated[int, Field(description="How many labels it knows.")]]
    weights: NotRequired[str]
    accuracy: NotRequired[str]
    weights_licence: NotRequired[str]
    weights_source: NotRequired[str]
    warning: NotRequired[str]


class ServiceState(TypedDict):
    """A service, and the models that may answer for it."""

    ready: bool
    reason: NotRequired[str]
    models: dict[str, ModelState]


class Readiness(TypedDict):
    """Whether every service is ready, and which is not."""

    ready: bool
    services: dict[str, ServiceState]


class Tensor(TypedDict):
    """An input or output: -1 where a size varies."""

    name: str
    datatype: str
    shape: list[int]


class ServiceParameters(TypedDict):
    """What V2's metadata has no field for."""

    models: dict[str, ModelState]


class ServiceMetadata(TypedDict):
    """Metadata of a service in V2."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    parameters: ServiceParameters


class ConfigTensor(TypedDict):
    """An input or output in Triton's terms: -1 where a size varies."""

    name: str
    data_type: str
    dims: list[int]


class Versions(TypedDict):
    """The versions of a service."""

    versions: list[int]


class VersionPolicy(TypedDict):
    """Which versions of a service there are."""

    specific: Versions


class ServiceConfig(TypedDict):
    """A service as Triton's model configuration extension describes a model."""

    name: str
    platform: str
    backend: str
    version_policy: VersionPolicy
    max_batch_size: int
    input: list[ConfigTensor]
    output: list[ConfigTensor]


class OwnIndex(TypedDict):
    """The root of a server that hosts one service alone: `status` is what KServe's V1 clients look for."""

    status: Literal["alive"]
    message: NotRequired[str]
    service: str
    post: str


class OwnState(TypedDict):
    """Whether a service is ready, and where it takes requests; `message` is what the older project's root said."""

    message: NotRequired[str]
    service: str
    status: Literal["ready", "not ready"]
    post: str
    reason: NotRequired[str]


class OwnHealth(TypedDict):
    """Whether a service is ready, in the words of its legacy route."""

    status: Literal["healthy", "unhealthy"]


class Index(TypedDict):
    """Where each service takes requests; `status` is what KServe's V1 clients look for."""

    status: Literal["alive"]
    services: dict[str, str]
