"""Structured logs, never with a token, a body or a user's address."""

import contextlib
import json
import logging
import logging.config
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from opentelemetry import trace

from config import Settings, misspelt


def text_line(seconds: float, level: str, logger: str, message: str, exception: str = "", **_fields: object) -> str:
    """``2026-11-23T10:00:00.123Z WARNING db: The database can't be reached.``"""
    line = f"{moment(seconds)} {level} {logger}: {message}"
    return f"{line}\n{exception}" if exception else line


def json_line(seconds: float, level: str, logger: str, message: str, **fields: object) -> str:
    """One JSON object, with the fields as keys of their own."""
    return json.dumps({"time": moment(seconds), "level": level.lower(), "logger": logger, "message": message, **fields})


LINES: dict[str, Callable[..., str]] = {"text": text_line, "json": json_line}


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def trace_of_now() -> dict[str, str]:
    """The field by which a line is found with its trace, where there is one."""
    span = trace.get_current_span().get_span_context()
    return {"trace_id": trace.format_trace_id(span.trace_id)} if span.is_valid else {}


class LineFormatter(logging.Formatter):
    """Formats what passes through ``logging``."""

    def __init__(self, log_format: str) -> None:
        super().__init__()
        self._line = LINES[log_format]

    def format(self, record: logging.LogRecord) -> str:
        fields = {"request_id": record.request_id} if hasattr(record, "request_id") else {}
        fields |= trace_of_now()
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return self._line(record.created, record.levelname, record.name, record.getMessage(), **fields)


class Reminder:
    """Says what lasts at once, then after 1, 2, 4, … seconds more and less and less, but every minute."""

    MOST_SECONDS = 60.0

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._said = ""
        self._began = self._due = self._pause = 0.0

    def warn(self, sentence: str, more: str) -> None:
        """``more`` is said once with each sentence."""
        now = time.monotonic()
        if sentence != self._said:
            self._logger.warning("%s %s", sentence, more)
            self._said, self._began, self._pause = sentence, now, 1.0
        elif now >= self._due:
            self._logger.warning("%s For %d s now.", sentence, now - self._began)
            self._pause = min(2 * self._pause, self.MOST_SECONDS)
        else:
            return
        self._due = now + self._pause


class AccessLog:
    """One line for each request. A record of ``logging`` would cost as much as half of a small request."""

    def __init__(self, log_format: str) -> None:
        self._line = LINES[log_format]

    def write(self, method: str, route: str, status: int, duration_ms: float, request_id: str, **traced: str) -> None:
        """``traced`` are the fields of ``trace_of_now``, where there is a trace."""
        line = self._line(
            time.time(),
            "INFO",
            "access",
            " ".join([f"{method} {route} {status} {duration_ms}ms {request_id}", *traced.values()]),
            method=method,
            route=route,
            status=status,
            duration_ms=duration_ms,
            request_id=request_id,
            **traced,
        )
        with contextlib.suppress(OSError, ValueError):  # where nobody reads the log any more
            sys.stderr.write(f"{line}\n")


def configure_logging(settings: Settings) -> None:
    """Send everything, uvicorn's messages too, to standard error in the chosen format; first, what is odd in .env."""
    level = "DEBUG" if settings.debug else settings.log_level.upper()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"chosen": {"()": LineFormatter, "log_format": settings.log_format}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "chosen"}},
            "root": {"level": level, "handlers": ["stderr"]},
            "loggers": {
                "uvicorn": {"handlers": [], "propagate": True},
                # AccessLog replaces it: this one would hold paths and query strings.
                "uvicorn.access": {"handlers": [], "propagate": False},
                "alembic": {"level": "WARNING"},
                "sqlalchemy.engine": {"level": "INFO" if settings.debug else "WARNING"},
            },
        }
    )
    for sentence in misspelt(settings):
        logging.getLogger("config").warning(sentence)
