"""`python -m kserve_transformers`: the transformer server."""

import sys

from kserve_transformers import tracing
from kserve_transformers.logs import configure_logging
from kserve_transformers.sdk.lean import import_kserve_lean
from kserve_transformers.settings import parse_settings


def main() -> None:
    """Parse the settings first: KServe's SDK reads the command line when it is imported."""
    settings = parse_settings()
    configure_logging(settings.log_requests)
    try:
        if settings.require_signature:
            settings.require_signature.read()
        if settings.trace:
            tracing.start(settings.trace)
    except ValueError as error:
        sys.exit(f"error: {error}")
    import_kserve_lean()
    from kserve_transformers.server import serve

    serve(settings)
    tracing.stop()


if __name__ == "__main__":
    main()
