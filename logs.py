"""Structured logs, never with a token, a body or a user's address."""

import contextlib
import json
import logging
import logging.config
import sys
import time
from datetime import UTC, datetime

from config import Settings, misspelt


def moment(seconds: float) -> str:
    """``2026-11-23T10:00:00.123Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class AccessLog:
    """One line for each request, in the format of the other lines.

    Written at once: a record that passes through ``logging`` costs as much as half of a small request.
    """

    def __init__(self, log_format: str) -> None:
        self._line = self._json if log_format == "json" else self._text

    def write(self, method: str, route: str, status: int, duration_ms: float, request_id: str) -> None:
        line = self._line(moment(time.time()), method, route, status, duration_ms, request_id)
        with contextlib.suppress(OSError, ValueError):  # where nobody reads the log any more
            sys.stderr.write(line)

    @staticmethod
    def _text(now: str, method: str, route: str, status: int, duration_ms: float, request_id: str) -> str:
        return f"{now} INFO access: {method} {route} {status} {duration_ms}ms {request_id}\n"

    @staticmethod
    def _json(now: str, method: str, route: str, status: int, duration_ms: float, request_id: str) -> str:
        # All of it is of this service's own making, or was checked: nothing needs to be escaped.
        return (
            f'{{"time": "{now}", "level": "info", "logger": "access", '
            f'"message": "{method} {route} {status} {duration_ms}ms {request_id}", "method": "{method}", '
            f'"route": "{route}", "status": {status}, "duration_ms": {duration_ms}, "request_id": "{request_id}"}}\n'
        )


class TextFormatter(logging.Formatter):
    """``2026-11-23T10:00:00.123Z WARNING db: The database can't be reached.``"""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{moment(record.created)} {record.levelname} {record.name}: {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": moment(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if hasattr(record, "request_id"):
            entry["request_id"] = record.request_id
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure_logging(settings: Settings) -> None:
    """Send everything, uvicorn's messages too, to standard error in the chosen format; first, what is odd in .env."""
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
                # AccessLog replaces it: this one would hold paths and query strings.
                "uvicorn.access": {"handlers": [], "propagate": False},
                "alembic": {"level": "WARNING"},
                "sqlalchemy.engine": {"level": "INFO" if settings.debug else "WARNING"},
            },
        }
    )
    for sentence in misspelt(settings):
        logging.getLogger("config").warning(sentence)
