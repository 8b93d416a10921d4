"""Envoy's configuration for routes, as Envoy Gateway writes it from the same objects."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelport.manifests.findings import at
from modelport.stack.envoy.routes import Match, Route, seconds

Address = tuple[str, int]
ROUTES = "routes"
MIRRORED = 32  # copies of requests under way to a shadow
_TYPE = "type.googleapis.com/envoy.extensions."
_OUTLIER = {
    "consecutive5XxErrors": "consecutive_5xx",
    "consecutiveGatewayErrors": "consecutive_gateway_failure",
    "consecutiveLocalOriginFailures": "consecutive_local_origin_failure",
    "maxEjectionPercent": "max_ejection_percent",
    "splitExternalLocalOriginErrors": "split_external_local_origin_errors",
}


def bootstrap(buffer_bytes: int, listen: Address, admin: Address, clusters: Path, routes: Path) -> dict[str, Any]:
    """What Envoy is started with. It follows the files of clusters and routes: a change needs no restart.

    Args:
        buffer_bytes: how much of a request is kept to send it again.
        listen: where callers come in.
        admin: address of Envoy's admin interface.
        clusters: that file, always replaced as a whole.
        routes: likewise.
    """
    manager = {
        "@type": _TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gateway",
        "rds": {"route_config_name": ROUTES, "config_source": _followed(routes)},
        "http_filters": [{"name": "router", "typed_config": {"@type": _TYPE + "filters.http.router.v3.Router"}}],
    }
    return {
        "node": {"id": "local", "cluster": "local"},
        "admin": {"address": _address(admin)},
        "dynamic_resources": {"cds_config": _followed(clusters)},
        "static_resources": {
            "listeners": [
                {
                    "name": "http",
                    "address": _address(listen),
                    "per_connection_buffer_limit_bytes": buffer_bytes,
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ]
        },
    }


def clusters(routes: Sequence[Route], addresses: Mapping[str, Address]) -> dict[str, Any]:
    """The clusters of routes by name; `addresses` has host and port of each endpoint."""
    return {cluster["name"]: cluster for route in routes for cluster in _clusters(route, addresses)}


def clusters_file(clusters: Mapping[str, Any], version: str) -> dict[str, Any]:
    """What the file of clusters holds."""
    resources = [{"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", **c} for c in clusters.values()]
    return {"version_info": version, "resources": resources}


def routes_file(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """What the file of routes holds; they are tried in order."""
    table = {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "virtual_hosts": [
            {"name": "all", "domains": ["*"], "routes": [entry for route in routes for entry in _route_entries(route)]}
        ],
    }
    return {"version_info": version, "resources": [table]}


def _followed(path: Path) -> dict[str, Any]:
    return {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}


def _route_entries(route: Route) -> list[dict[str, Any]]:
    action: dict[str, Any] = {"timeout": _duration(route.timeout_s)}
    if route.fallback or len(route.shares) == 1:
        action["cluster"] = route.name
    else:
        parts = [{"name": f"{route.name}/{share.endpoint}", "weight": share.weight} for share in route.shares]
        action["weighted_clusters"] = {"clusters": parts}
    if route.mirrors:
        action["request_mirror_policies"] = [
            {
                "cluster": f"{route.name}/{mirror.endpoint}",
                "runtime_fraction": {"default_value": {"numerator": mirror.weight, "denominator": "HUNDRED"}},
            }
            for mirror in route.mirrors
        ]
    retry = at(route.policy, "retry")
    if retry:
        action["retry_policy"] = _retry(retry)
    return [{"match": _match(match), "route": action} for match in route.matches]


def _match(match: Match) -> dict[str, Any]:
    return {"path": match.path} if match.exact else {"path_separated_prefix": match.path}


def _retry(retry: Mapping[str, Any]) -> dict[str, Any]:
    policy: dict[str, Any] = {
        "retry_on": ",".join(at(retry, "retryOn.triggers", [])),
        "retriable_status_codes": at(retry, "retryOn.httpStatusCodes", []),
        "num_retries": retry.get("numRetries", 2),
        "host_selection_retry_max_attempts": 5,
        "retry_host_predicate": [
            {
                "name": "previous_hosts",
                "typed_config": {"@type": _TYPE + "retry.host.previous_hosts.v3.PreviousHostsPredicate"},
            }
        ],
    }
    timeout, pause = at(retry, "perRetry.timeout"), at(retry, "perRetry.backOff")
    if timeout:
        policy["per_try_timeout"] = _duration(seconds(timeout))
    if pause:
        policy["retry_back_off"] = {
            "base_interval": _duration(seconds(pause["baseInterval"])),
            "max_interval": _duration(seconds(pause["maxInterval"])),
        }
    attempts = retry.get("numAttemptsPerPriority")
    if attempts:
        policy["retry_priority"] = {
            "name": "previous_priorities",
            "typed_config": {
                "@type": _TYPE + "retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                "update_frequency": attempts,
            },
        }
    return policy


def _clusters(route: Route, addresses: Mapping[str, Address]) -> list[dict[str, Any]]:
    names = [share.endpoint for share in route.shares]
    mirrors = [_mirror_cluster(f"{route.name}/{one.endpoint}", one.endpoint, addresses) for one in route.mirrors]
    if route.fallback:
        return [_cluster(route.name, [names, list(route.fallback)], route.policy, addresses), *mirrors]
    if len(names) == 1:
        return [_cluster(route.name, [names], route.policy, addresses), *mirrors]
    return [*(_cluster(f"{route.name}/{name}", [[name]], route.policy, addresses) for name in names), *mirrors]


def _mirror_cluster(name: str, endpoint: str, addresses: Mapping[str, Address]) -> dict[str, Any]:
    """A server that hangs holds only so many copies of requests; further ones are dropped and counted."""
    limits = {"max_connections": MIRRORED, "max_pending_requests": MIRRORED, "max_requests": MIRRORED}
    return {**_cluster(name, [[endpoint]], {}, addresses), "circuit_breakers": {"thresholds": [limits]}}


def _cluster(
    name: str, priorities: list[list[str]], policy: Mapping[str, Any], addresses: Mapping[str, Address]
) -> dict[str, Any]:
    localities = [
        {
            "priority": priority,
            "lb_endpoints": [{"endpoint": {"address": _address(addresses[endpoint])}} for endpoint in names],
        }
        for priority, names in enumerate(priorities)
    ]
    cluster: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": _duration(seconds(at(policy, "timeout.tcp.connectTimeout", "10s"))),
        "load_assignment": {"cluster_name": name, "endpoints": localities},
    }
    retries = at(policy, "circuitBreaker.maxParallelRetries")
    if retries:
        cluster["circuit_breakers"] = {"thresholds": [{"max_retries": retries}]}
    panic, passive = at(policy, "healthCheck.panicThreshold"), at(policy, "healthCheck.passive")
    if panic is not None:
        cluster["common_lb_config"] = {"healthy_panic_threshold": {"value": panic}}
    if passive:
        cluster["outlier_detection"] = {
            **{envoys: passive[ours] for ours, envoys in _OUTLIER.items() if ours in passive},
            "interval": _duration(seconds(passive.get("interval", "3s"))),
            "base_ejection_time": _duration(seconds(passive.get("baseEjectionTime", "30s"))),
        }
    return cluster


def _address(address: Address) -> dict[str, Any]:
    return {"socket_address": {"address": address[0], "port_value": address[1]}}


def _duration(duration_s: float) -> str:
    return f"{duration_s:.3f}s"
