"""Structured logs: one JSON object a line on standard error."""

import json
import logging
import logging.config
import os
from datetime import UTC, datetime


class JsonLine(logging.Formatter):
    """A record as one line of JSON: time, level, logger, message, what its `fields` hold, and the traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logging(log_requests: bool) -> None:
    """Configure all loggers.

    Args:
        log_requests: whether every request is a line; errors and changes of state always are.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its lines are no JSON, and callers cause them
    # An answer to a call that is gone is no fault: the caller left, or gRPC itself has refused the message.
    logging.getLogger("grpc._cython.cygrpc").addFilter(lambda record: "ExecuteBatchError" not in record.msg)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"()": JsonLine}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": "INFO"},
            "loggers": {
                "kserve": {"level": "WARNING"},
                "python_multipart": {"level": "CRITICAL"},  # it logs the errors of callers, who read them in the answer
                "kserve_transformers.requests": {"level": "INFO" if log_requests else "WARNING"},
                "uvicorn.access": {"level": "WARNING"},
            },
        }
    )
    # KServe configures its own loggers, to text, unless it finds a handler there.
    logging.getLogger("kserve").addHandler(logging.NullHandler())
