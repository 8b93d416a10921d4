"""Every POST path of a server, with what answers there."""

from functools import partial

from kserve_transformers.protocol.v2 import MODEL_VERSION
from kserve_transformers.routes.infer import Infer
from kserve_transformers.routes.legacy import legacy_handler
from kserve_transformers.routes.table import Target, without_slash
from kserve_transformers.routes.v1 import predict_v1
from kserve_transformers.routes.v2 import infer_v2
from kserve_transformers.service import Service, Services


def legacy_prefixes(services: Services) -> list[tuple[str, Service]]:
    """Where legacy routes stand: below /SERVICE, and at the root too where a service is hosted alone."""
    prefixes = [(f"/{name}", service) for name, service in services.items()]
    return prefixes + ([("", service) for service in services.values()] if len(services) == 1 else [])


def post_targets(services: Services, infer: Infer) -> dict[str, Target]:
    """By path, without a slash at its end."""
    targets = {}
    for name, service in services.items():
        targets[f"/v1/models/{name}:predict"] = Target("v1", service, partial(predict_v1, infer, service))
        infer_target = Target("v2", service, partial(infer_v2, infer, service))
        targets[f"/v2/models/{name}/infer"] = infer_target
        targets[f"/v2/models/{name}/versions/{MODEL_VERSION}/infer"] = infer_target
    for prefix, service in legacy_prefixes(services):
        path = without_slash(prefix + service.task.presentation.route)
        targets[path] = Target("own", service, legacy_handler(service, infer))
    return targets
