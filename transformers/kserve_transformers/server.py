"""KServe's model server with our routes, limits, errors and readiness."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import cv2
import kserve
import uvicorn
import uvloop
from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse
from kserve.protocol.rest.server import RESTServer, metrics_handler
from starlette.middleware.cors import CORSMiddleware
from tritonclient.http.aio import InferenceServerClient

from kserve_transformers.grpc_server import GRPCServer, Servicer
from kserve_transformers.health import Health
from kserve_transformers.limits import Admission, BodyLimit, BoundedHead
from kserve_transformers.metrics import count_from_zero
from kserve_transformers.observe import Observed
from kserve_transformers.openapi.operations import Hosted
from kserve_transformers.predictor import TritonModel
from kserve_transformers.routes.direct import direct_routes
from kserve_transformers.routes.documents import answer_head, documents_router
from kserve_transformers.routes.errors import add_error_handlers
from kserve_transformers.routes.page import Page
from kserve_transformers.routes.seeds import seed_router, seed_routes
from kserve_transformers.routes.v1 import v1_router
from kserve_transformers.routes.v2 import v2_router
from kserve_transformers.services import build_service
from kserve_transformers.services.transformer import Transformer
from kserve_transformers.settings import Settings

logger = logging.getLogger(__name__)

Services = Mapping[str, Transformer[Any, Any, Any]]

# How long running requests may take after the drain.
GRACE_S = 30


class RestServer(RESTServer):  # type: ignore[misc]
    """KServe's REST server on its FastAPI app, with V1, V2 and the services' own routes."""

    def __init__(self, server: kserve.ModelServer, services: Services, health: Health, settings: Settings) -> None:
        super().__init__(
            "kserve.model_server:app",
            server.dataplane,
            server.model_repository_extension,
            settings.http_port,
            grace_period=GRACE_S,
        )
        self.config.host = settings.host
        self.config.http = BoundedHead
        self.config.proxy_headers = False  # nobody asks where a caller is
        self._services = services
        self._health = health
        self._settings = settings

    @property
    def uvicorn_server(self) -> uvicorn.Server:
        """The server that listens."""
        server: uvicorn.Server = self._server
        return server

    def _register_endpoints(self, app: FastAPI) -> None:
        app.router.routes.clear()  # the SDK's app has documents of routes that we do not offer
        app.router.default_response_class = JSONResponse  # the SDK's is deprecated
        app.router.redirect_slashes = False  # a redirect repeats the Host that the caller made up
        routers = [v2_router(self.dataplane, self._health), v1_router(self.dataplane)]
        routers += [seed_router(service, self.dataplane, f"/{name}") for name, service in self._services.items()]
        if len(self._services) == 1:
            routers += [seed_router(service, self.dataplane, "") for service in self._services.values()]
        routers.append(_server_router(self._services))
        documents = documents_router(routers, Hosted(self._services, self._settings.limits), self._settings.page)
        app.router.routes.extend(direct_routes(routers))
        for router in (*routers, documents):
            answer_head(router)
            app.include_router(router)

    def _add_middlewares(self, app: FastAPI) -> None:
        app.add_middleware(Admission, services=self._services)  # the innermost
        if self._settings.page:
            app.add_middleware(Page, settings=self._settings)
        if self._settings.cors_origins:
            app.add_middleware(
                CORSMiddleware,
                allow_origins=self._settings.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
            )
        limits = self._settings.limits
        app.add_middleware(BodyLimit, max_bytes=limits.body_bytes, max_s=limits.timeout_s)
        app.add_middleware(Observed, services=self._services)

    def _add_exception_handlers(self, app: FastAPI) -> None:
        add_error_handlers(app)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM (which drains first) or SIGINT."""
    cv2.setNumThreads(1)  # one picture has one of our own threads; OpenCV's would wait for each other beside them
    gc.freeze()  # what was imported stays: a full collection goes over 20 times as many objects with it
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    names = tuple(dict.fromkeys(model for service in settings.services for model in settings.chains[service]))
    timeout_s = settings.limits.timeout_s + 1
    async with InferenceServerClient(
        settings.predictor_host, conn_limit=settings.limits.queue_size * len(names) + 8, conn_timeout=timeout_s
    ) as client:
        models = {
            name: TritonModel(
                client, name, settings.model_repository, settings.limits.queue_size, settings.follow_releases
            )
            for name in names
        }
        with ThreadPoolExecutor(settings.decode_threads, "arrays") as threads:
            services = {name: build_service(name, models, settings, threads) for name in settings.services}
            await _serve_services(settings, services, list(models.values()))


async def _serve_services(settings: Settings, services: Services, models: list[TritonModel]) -> None:
    server = kserve.ModelServer(http_port=settings.http_port, grpc_port=settings.grpc_port)
    for service in services.values():
        server.register_model(service)
    health = Health(services)
    count_from_zero({name: settings.chains[name] for name in services})
    rest = RestServer(server, services, health, settings)
    grpc = GRPCServer(
        f"{settings.host}:{settings.grpc_port}",
        Servicer(server.dataplane, server.model_repository_extension, health),
        settings.limits.body_bytes,
        GRACE_S,
    )
    drain = _Drain(rest.uvicorn_server, health, settings.drain_s)
    rest.uvicorn_server.handle_exit = drain.on_signal  # type: ignore[method-assign]
    background = [asyncio.create_task(model.watch()) for model in models]
    background.append(asyncio.create_task(grpc.serve()))
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


def _server_router(services: Services) -> APIRouter:
    """The metrics; and an index, where no service alone has the root."""
    router = APIRouter(tags=["server"])
    router.add_api_route("/metrics", metrics_handler, methods=["GET"], name="metrics")
    if len(services) > 1:

        @router.get("/")
        async def index() -> dict[str, Any]:
            return {"services": {name: f"POST /{name}{seed_routes(name)}" for name in services}}

    return router
