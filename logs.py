"""Structured logs, never with a token, a body or a user's address."""

import json
import logging
import logging.config
from datetime import UTC, datetime

from config import Settings

EXTRAS = ("method", "route", "status", "duration_ms", "request_id")


def moment(record: logging.LogRecord) -> str:
    """``2026-11-23T10:00:00.123Z``."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """``2026-11-23T10:00:00.123Z INFO access: GET /health 200 0.4ms request-id``."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{moment(record)} {record.levelname} {record.name}: {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the request's fields as keys of their own."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry.update({name: getattr(record, name) for name in EXTRAS if hasattr(record, name)})
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure_logging(settings: Settings) -> None:
    """Send everything, uvicorn's messages too, to standard error in the chosen format."""
    formatter = JsonFormatter if settings.log_format == "json" else TextFormatter
    level = "DEBUG" if settings.debug else settings.log_level.upper()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"chosen": {"()": formatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "chosen"}},
            "root": {"level": level, "handlers": ["stderr"]},
            "loggers": {
                "uvicorn": {"handlers": [], "propagate": True},
                "uvicorn.error": {"handlers": [], "propagate": True},
                # The line below replaces it: this one would hold paths and query strings.
                "uvicorn.access": {"handlers": [], "propagate": False},
                "access": {"level": "INFO" if settings.access_log else "CRITICAL"},
                "alembic": {"level": "WARNING"},
                "sqlalchemy.engine": {"level": "INFO" if settings.debug else "WARNING"},
            },
        }
    )
