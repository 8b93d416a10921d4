"""`python -m kserve_transformers`: the transformer server."""

import sys

from kserve_transformers.logs import configure_logging
from kserve_transformers.sdk.lean import import_kserve_lean
from kserve_transformers.settings import parse_settings


def main() -> None:
    """Parse the settings first: KServe's SDK reads the command line when it is imported."""
    settings = parse_settings()
    if settings.require_signature:
        try:
            settings.require_signature.read()
        except ValueError as error:
            sys.exit(f"error: --require_signature: {error}")
    configure_logging(settings.log_requests)
    import_kserve_lean()
    from kserve_transformers.server import serve

    serve(settings)


if __name__ == "__main__":
    main()
