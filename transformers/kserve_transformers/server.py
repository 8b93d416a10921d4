"""The server: services behind KServe's two ports, until SIGTERM."""

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from types import FrameType

import cv2
import kserve
import uvicorn
import uvloop
from tritonclient.http.aio import InferenceServerClient

from kserve_transformers.chain_follower import ChainFollower
from kserve_transformers.drift.monitor import DriftMonitor
from kserve_transformers.drift.reference import FILE as DRIFT_FILE
from kserve_transformers.health import Health
from kserve_transformers.metrics import count_from_zero
from kserve_transformers.observe import keep_requests
from kserve_transformers.predictor import TritonModel
from kserve_transformers.predictor.release import RequiredSignature
from kserve_transformers.record.events import Origin
from kserve_transformers.record.recorder import Recorder
from kserve_transformers.record.sinks import open_sink
from kserve_transformers.sdk.grpc import GRPCServer, Servicer
from kserve_transformers.sdk.keys import KeyRequiredInterceptor
from kserve_transformers.sdk.model import ServiceModel
from kserve_transformers.sdk.rest import GRACE_S, RestServer
from kserve_transformers.service import Service, Services
from kserve_transformers.settings import Settings
from kserve_transformers.tasks import build_task

logger = logging.getLogger(__name__)

_LAST_WRITES_S = 5.0  # of the record, after the last request


def serve(settings: Settings) -> None:
    """Serve until SIGTERM (which drains first) or SIGINT."""
    cv2.setNumThreads(1)  # one image has one of our own threads; OpenCV's would wait for each other beside them
    gc.freeze()  # what was imported stays: a full collection goes over 20 times as many objects with it
    uvloop.run(_serve(settings))


def build_model(settings: Settings, client: InferenceServerClient, name: str, services: Sequence[str]) -> TritonModel:
    """One of Triton's models, and the names of the services that it answers for."""
    keys, follow = settings.require_signature, settings.follow_releases
    required = RequiredSignature(keys, tuple(services), supervised=follow) if keys else None
    return TritonModel(client, name, settings.model_repository, settings.limits.queue_size, follow, required=required)


def build_services(settings: Settings, client: InferenceServerClient, threads: Executor) -> Services:
    """The declared services by name; a model that several of them name is one."""
    names = dict.fromkeys(model for spec in settings.services for model in spec.models)
    models = {
        name: build_model(settings, client, name, [spec.name for spec in settings.services if name in spec.models])
        for name in names
    }
    return {
        spec.name: Service(
            spec, build_task(spec, settings.defaults), [models[name] for name in spec.models], settings.limits, threads
        )
        for spec in settings.services
    }


async def _serve(settings: Settings) -> None:
    count = len({model for spec in settings.services for model in spec.models})
    limits = settings.limits
    async with InferenceServerClient(
        settings.predictor_host, conn_limit=limits.queue_size * count + 8, conn_timeout=limits.timeout_s + 1
    ) as client:
        with ThreadPoolExecutor(settings.decode_threads, "arrays") as threads, _recording(settings):
            services = build_services(settings, client, threads)
            repository = settings.model_repository if settings.follow_releases else None
            follower = ChainFollower(services, repository, partial(build_model, settings, client))
            await _serve_services(settings, services, follower)


@contextlib.contextmanager
def _recording(settings: Settings) -> Iterator[None]:
    """Record requests where that is set, and watch them for drift where a model has a reference."""
    record, repository = settings.record, settings.model_repository
    watch = None
    if repository is not None and settings.drift_window and any(repository.glob(f"*/{DRIFT_FILE}")):
        watch = DriftMonitor(repository, settings.drift_window).see
    if record.to is None and watch is None:
        yield
        return
    recorder = Recorder(record, open_sink(record) if record.to is not None else None, Origin.here(), watch)
    recorder.start()
    keep_requests(recorder)
    try:
        yield
    finally:
        keep_requests(None)
        recorder.stop(_LAST_WRITES_S)


async def _serve_services(settings: Settings, services: Services, follower: ChainFollower) -> None:
    server = kserve.ModelServer(http_port=settings.http_port, grpc_port=settings.grpc_port)
    for service in services.values():
        server.register_model(ServiceModel(service))
    health = Health(services)
    count_from_zero({spec.name: spec.models for spec in settings.services})
    rest = RestServer(server, services, health, settings)
    grpc = GRPCServer(
        f"{settings.host}:{settings.grpc_port}",
        Servicer(server.dataplane, server.model_repository_extension, services, health),
        settings.limits,
        GRACE_S,
        [KeyRequiredInterceptor(settings.api_keys)] if settings.api_keys else [],
    )
    drain = _Drain(rest.uvicorn_server, health, settings.drain_s)
    rest.uvicorn_server.handle_exit = drain.on_signal  # type: ignore[method-assign]
    background = [asyncio.create_task(follower.follow()), asyncio.create_task(grpc.serve())]
    try:
        logger.info("listening on %s:%d (REST) and :%d (gRPC)", settings.host, settings.http_port, settings.grpc_port)
        await rest.start()
    finally:
        await grpc.stop()
        for task in background:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*background)


class _Drain:
    """SIGTERM: say not ready, go on serving until every balancer has noticed, then finish what runs and stop."""

    def __init__(self, server: uvicorn.Server, health: Health, seconds: float) -> None:
        self._server = server
        self._health = health
        self._seconds = seconds

    def on_signal(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and not self._health.draining and self._seconds > 0:
            logger.info("SIGTERM: not ready any more, stopping in %g s", self._seconds)
            asyncio.get_running_loop().call_later(self._seconds, self._stop)
        else:
            self._stop()
        self._health.draining = True

    def _stop(self) -> None:
        self._server.should_exit = True
