"""A POST's target, resolved once from its path: which service, by which protocol, and what answers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fastapi import Request
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from kserve_transformers.service import Service

Handler = Callable[[Request], Awaitable[Response]]

_KEY = "modelport.target"


class _ServiceConvertor(Convertor[str]):
    """A service's name in a route: without the colon that precedes a verb of V1."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("service", _ServiceConvertor())


@dataclass(frozen=True)
class Target:
    """Where a POST goes.

    `protocol` is "v1", "v2" or "own", the legacy routes; service and handler are None where the path is no service's.
    """

    protocol: str
    service: Service | None = None
    handler: Handler | None = None


def without_slash(path: str) -> str:
    """A path without a slash at its end: every route is there with and without one."""
    return path.removesuffix("/") or "/"


def resolve(path: str, targets: Mapping[str, Target]) -> Target:
    """The target of a path."""
    found = targets.get(without_slash(path))
    if found is not None:
        return found
    return Target(path[1:3] if path.startswith(("/v1/", "/v2/")) else "own")


def keep_target(scope: Scope, targets: Mapping[str, Target]) -> Target:
    """Resolve a request's path, and keep the target in its scope for all that comes after."""
    target: Target = resolve(scope["path"], targets)
    scope[_KEY] = target
    return target


def kept_target(scope: Scope) -> Target | None:
    """The target that was resolved for a request; None for what is no POST."""
    return scope.get(_KEY)


class EitherSlash:
    """ASGI middleware, next to the routes, that answers a path with a slash at its end as the one without.

    A redirect would lose the body of a POST with many clients, and repeat the Host that the caller made up.

    Args:
        app: the routes; each is there without the slash.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] == "http":
            scope = {**scope, "path": without_slash(scope["path"])}
        await self._app(scope, receive, send)


class InferenceRoute(BaseRoute):
    """Answers every request whose target is known, before FastAPI compares its routes with the path.

    FastAPI's own route to a handler takes a tenth of a small request's processor time; its routes stay, for the API
    document and for paths of no service.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the request's target is a service."""
        target = kept_target(scope)
        return (Match.FULL if target and target.handler else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the target answer."""
        target = kept_target(scope)
        assert target is not None and target.handler is not None  # noqa: S101, PT018  (it matched)
        response = await target.handler(Request(scope, receive, send))
        await response(scope, receive, send)
