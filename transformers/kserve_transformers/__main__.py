"""`python -m kserve_transformers`: the transformer server."""

import logging.config
import warnings

from kserve_transformers.settings import parse_settings

_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    # One line a request, from two places, is more than the requests themselves are worth.
    "loggers": {
        "uvicorn.access": {"level": "WARNING"},
        "kserve": {"level": "WARNING", "handlers": ["stderr"], "propagate": False},
    },
}


def main() -> None:
    """Parse the settings first: KServe's SDK reads the command line when it is imported."""
    settings = parse_settings()
    logging.config.dictConfig(_LOGGING)
    # KServe's V1 routes answer with a response class that FastAPI has come to call deprecated.
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    from kserve_transformers.server import serve

    serve(settings)


if __name__ == "__main__":
    main()
