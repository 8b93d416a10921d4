"""KServe's REST server with our routes, limits, errors and readiness."""

from typing import Any

import kserve
import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse
from kserve.protocol.rest.server import RESTServer, metrics_handler
from starlette.middleware.cors import CORSMiddleware

from kserve_transformers.body_limit import BodyLimit
from kserve_transformers.health import Health
from kserve_transformers.http1 import BoundedHead
from kserve_transformers.openapi.operations import Hosted
from kserve_transformers.routes.admission import Admission
from kserve_transformers.routes.coded import Coded
from kserve_transformers.routes.documents import answer_head, documents_router
from kserve_transformers.routes.legacy import legacy_router
from kserve_transformers.routes.observed import Observed
from kserve_transformers.routes.page import Page
from kserve_transformers.routes.table import EitherSlash, InferenceRoute
from kserve_transformers.routes.targets import legacy_prefixes, post_targets
from kserve_transformers.routes.v1 import v1_router
from kserve_transformers.routes.v2 import v2_router
from kserve_transformers.sdk.errors import add_error_handlers
from kserve_transformers.sdk.keys import OPEN_PATHS, KeyRequired
from kserve_transformers.sdk.model import infer_through
from kserve_transformers.service import Services
from kserve_transformers.settings import Settings

# How long running requests may take after the drain.
GRACE_S = 30


class RestServer(RESTServer):  # type: ignore[misc]
    """KServe's REST server on its FastAPI app, with V1, V2 and the legacy routes."""

    def __init__(self, server: kserve.ModelServer, services: Services, health: Health, settings: Settings) -> None:
        super().__init__(
            "kserve.model_server:app",
            server.dataplane,
            server.model_repository_extension,
            settings.http_port,
            grace_period=GRACE_S,
        )
        self.config.host = settings.host  # the SDK listens on all addresses
        self.config.http = BoundedHead  # uvicorn's own does not limit a request's head
        self.config.proxy_headers = False  # nothing here uses the caller's address
        self.config.server_header = False  # the library's name
        self._services = services
        self._health = health
        self._settings = settings

    @property
    def uvicorn_server(self) -> uvicorn.Server:
        """The server that listens."""
        server: uvicorn.Server = self._server
        return server

    def _register_endpoints(self, app: FastAPI) -> None:
        """The SDK's V2 routes decode binary images as text, its V1 routes parse JSON without a limit."""
        app.router.routes.clear()  # the SDK's app has documents of routes that we do not offer
        app.router.default_response_class = JSONResponse  # the SDK's is deprecated
        app.router.redirect_slashes = False  # a redirect repeats the Host that the caller made up
        infer = infer_through(self.dataplane)
        routers = [v2_router(self._services, infer, self._health), v1_router(self._services, infer)]
        routers += [legacy_router(service, infer, prefix) for prefix, service in legacy_prefixes(self._services)]
        routers.append(_server_router(self._services))
        hosted = Hosted(self._services, self._settings.limits, OPEN_PATHS if self._settings.api_keys else None)
        documents = documents_router(routers, hosted)
        app.router.routes.append(InferenceRoute())
        for router in (*routers, documents):
            answer_head(router)
            app.include_router(router)

    def _add_middlewares(self, app: FastAPI) -> None:
        """The SDK's own prints timings, and limits nothing."""
        app.add_middleware(EitherSlash)  # the innermost
        app.add_middleware(Admission)
        if not self._settings.no_page:
            app.add_middleware(Page, services=self._services, limits=self._settings.limits)
        if self._settings.api_keys:
            app.add_middleware(KeyRequired, keys=self._settings.api_keys)
        if self._settings.cors_origins:
            app.add_middleware(
                CORSMiddleware,
                allow_origins=self._settings.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
            )
        limits = self._settings.limits
        app.add_middleware(BodyLimit, max_bytes=limits.body_bytes, max_s=limits.timeout_s)
        app.add_middleware(Coded)  # outside of what counts bytes
        app.add_middleware(Observed, targets=post_targets(self._services, infer_through(self.dataplane)))

    def _add_exception_handlers(self, app: FastAPI) -> None:
        """The SDK's own answer 500 for most errors."""
        add_error_handlers(app)


def _server_router(services: Services) -> APIRouter:
    """The metrics; and an index, where no service alone has the root."""
    router = APIRouter(tags=["server"])
    router.add_api_route("/metrics", metrics_handler, methods=["GET"], name="metrics")
    if len(services) > 1:

        @router.get("/")
        async def index() -> dict[str, Any]:
            posts = {name: f"POST /{name}{service.task.presentation.route}" for name, service in services.items()}
            return {"status": "alive", "services": posts}

    return router
