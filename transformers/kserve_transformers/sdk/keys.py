"""Callers without an API key are turned away, over HTTP and gRPC alike, before a body is read."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from grpc import HandlerCallDetails, RpcMethodHandler, ServicerContext, StatusCode, aio, stream_unary_rpc_method_handler
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from kserve_transformers.api_keys import ApiKeys
from kserve_transformers.errors import UnauthenticatedError
from kserve_transformers.routes.errors import answer
from kserve_transformers.routes.observed import KEY_NAME

OPEN_PATHS = ("/v2/health/live", "/v2/health/ready", "/metrics")
OPEN_METHODS = ("ServerLive", "ServerReady", "Check", "Watch")


class KeyRequired:
    """ASGI middleware that answers 401 to requests without a key, before their bodies are read.

    Args:
        app: what is protected.
        keys: that are accepted.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] == "http" and scope["path"].rstrip("/") not in OPEN_PATHS:
            scope[KEY_NAME] = self._keys.name_of(Headers(scope=scope).get("authorization"))
            if scope[KEY_NAME] is None:
                await answer(UnauthenticatedError())(scope, receive, send)
                return
        await self._app(scope, receive, send)


class KeyRequiredInterceptor(aio.ServerInterceptor):  # type: ignore[misc]
    """The same for gRPC, by the call's metadata."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[RpcMethodHandler]], details: HandlerCallDetails
    ) -> RpcMethodHandler:
        metadata: Mapping[str, Any] = dict(details.invocation_metadata or ())
        is_open = details.method.rpartition("/")[2] in OPEN_METHODS
        if is_open or self._keys.name_of(metadata.get("authorization")) is not None:
            return await continuation(details)

        async def refuse(_: object, context: ServicerContext) -> None:
            error = UnauthenticatedError()
            await context.abort(StatusCode[error.grpc_code], str(error))

        return stream_unary_rpc_method_handler(refuse)  # one that waits for no message
