"""Imports KServe's SDK without the parts that a server never uses, and without what only these import."""

import sys
from types import ModuleType


def import_kserve_lean() -> None:
    """Stand in for pandas and for KServe's client of Kubernetes, before the SDK imports them.

    It names a class of each in annotations; nothing else of them is used while models are served. Without them the
    server starts sooner and takes less memory.
    """
    for name, attribute in (("pandas", "DataFrame"), ("kserve.api.kserve_client", "KServeClient")):
        module = ModuleType(name, "Stands in for what is not needed here.")
        setattr(module, attribute, type(attribute, (), {}))
        sys.modules.setdefault(name, module)
