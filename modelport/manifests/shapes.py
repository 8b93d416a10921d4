"""The fields that this project writes in kinds that have no schema on PyPI; `[]` stands for any position in a list.

Before you add a field here, check it in its API reference: that check is the purpose of the list.
"""

from collections.abc import Mapping

_FIELDS: Mapping[str, Mapping[str, str]] = {
    "GatewayClass": {"spec.": "controllerName"},
    "Gateway": {
        "spec.": "gatewayClassName",
        "spec.infrastructure.parametersRef.": "group kind name",
        "spec.listeners[].": "name port protocol hostname allowedRoutes.namespaces.from tls.mode",
        "spec.listeners[].tls.certificateRefs[].": "name kind",
    },
    "HTTPRoute": {
        "spec.": "hostnames[]",
        "spec.parentRefs[].": "name namespace sectionName",
        "spec.rules[].": "timeouts.request timeouts.backendRequest",
        "spec.rules[].filters[].": "type requestRedirect.scheme requestRedirect.statusCode requestMirror.percent",
        "spec.rules[].filters[].requestMirror.backendRef.": "name port",
        "spec.rules[].matches[].": "path.type path.value",
        "spec.rules[].backendRefs[].": "group kind name port weight",
    },
    "GRPCRoute": {
        "spec.": "hostnames[]",
        "spec.parentRefs[].": "name namespace sectionName",
        "spec.rules[].filters[].": "type requestMirror.percent",
        "spec.rules[].filters[].requestMirror.backendRef.": "name port",
        "spec.rules[].matches[].": "method.service headers[].name headers[].value",
        "spec.rules[].backendRefs[].": "group kind name port weight",
    },
    "Backend": {"spec.": "appProtocols[] fallback endpoints[].fqdn.hostname endpoints[].fqdn.port"},
    "EnvoyProxy": {
        "spec.": "mergeType",
        "spec.provider.": "type kubernetes.envoyDeployment.replicas kubernetes.envoyPDB.maxUnavailable",
        "spec.provider.kubernetes.envoyService.": "loadBalancerSourceRanges[]",
    },
    "BackendTrafficPolicy": {
        "spec.targetRefs[].": "group kind name",
        "spec.": "mergeType dns.dnsRefreshRate dns.respectDnsTtl",
        "spec.timeout.": "http.requestTimeout tcp.connectTimeout",
        "spec.circuitBreaker.": "maxParallelRetries",
        "spec.retry.": "numRetries numAttemptsPerPriority retryOn.triggers[] retryOn.httpStatusCodes[]",
        "spec.retry.perRetry.": "timeout backOff.baseInterval backOff.maxInterval",
        "spec.healthCheck.": "panicThreshold",
        "spec.healthCheck.passive.": "baseEjectionTime interval maxEjectionPercent consecutive5XxErrors "
        "consecutiveGatewayErrors consecutiveLocalOriginFailures splitExternalLocalOriginErrors",
        "spec.rateLimit.": "type local.rules[].limit.requests local.rules[].limit.unit",
        "spec.rateLimit.local.rules[].clientSelectors[].sourceCIDR.": "type value",
        "spec.responseOverride[].": "source match.statusCodes[].type match.statusCodes[].value response.contentType "
        "response.body.type response.body.inline response.header.set[].name response.header.set[].value",
    },
    "ClientTrafficPolicy": {
        "spec.targetRefs[].": "group kind name",
        "spec.": "connection.bufferLimit timeout.http.requestReceivedTimeout "
        "http2.initialStreamWindowSize http2.initialConnectionWindowSize",
    },
    "SecurityPolicy": {
        "spec.targetRefs[].": "group kind name",
        "spec.cors.": "allowOrigins[] allowMethods[] allowHeaders[] exposeHeaders[] maxAge allowCredentials",
        "spec.jwt.providers[].": "name issuer audiences[] remoteJWKS.uri",
    },
    "Issuer": {"spec.": "selfSigned ca.secretName"},
    "Certificate": {
        "spec.": "secretName dnsNames[] isCA commonName duration "
        "privateKey.rotationPolicy issuerRef.kind issuerRef.name"
    },
    "PodMonitor": {
        "spec.": "podTargetLabels[] namespaceSelector.matchNames[]",
        "spec.selector.matchLabels.": "app.kubernetes.io/part-of gateway.envoyproxy.io/owning-gateway-name "
        "gateway.envoyproxy.io/owning-gateway-namespace",
        "spec.podMetricsEndpoints[].": "port path interval",
        "spec.podMetricsEndpoints[].relabelings[].": "sourceLabels[] targetLabel regex replacement action",
    },
    "PrometheusRule": {
        "spec.groups[].": "name",
        "spec.groups[].rules[].": "alert record expr for labels.severity",
        "spec.groups[].rules[].annotations.": "summary description runbook",
    },
    "ClusterImagePolicy": {
        "spec.": "images[].glob",
        "spec.authorities[].": "name key.secretRef.name key.hashAlgorithm static.action",
    },
    "LocalModelCache": {"spec.": "sourceModelUri modelSize nodeGroups[] serviceAccountName"},
    "LocalModelNodeGroup": {
        "spec.": "storageLimit",
        "spec.persistentVolumeSpec.": "accessModes[] capacity.storage storageClassName volumeMode local.path",
        "spec.persistentVolumeSpec.nodeAffinity.required.nodeSelectorTerms[].": "matchExpressions[].key "
        "matchExpressions[].operator matchExpressions[].values[]",
        "spec.persistentVolumeClaimSpec.": "accessModes[] resources.requests.storage storageClassName volumeMode",
    },
    "VerticalPodAutoscaler": {"spec.": "targetRef.apiVersion targetRef.kind targetRef.name updatePolicy.updateMode"},
}
_EVERYWHERE = {"apiVersion", "kind", "metadata.name", "metadata.namespace"}

SHAPES: Mapping[str, frozenset[str]] = {
    kind: frozenset(_EVERYWHERE | {prefix + name for prefix, names in groups.items() for name in names.split()})
    for kind, groups in _FIELDS.items()
}
