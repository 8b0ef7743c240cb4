"""Structured logs: one line per request, never with a token, a body or a user's address."""

import json
import logging
import logging.config
import re
import secrets
import sys
import time
from datetime import UTC, datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config import Settings
from embedded_home import EmbeddedServerError

access = logging.getLogger("access")

SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
EXTRAS = ("method", "route", "status", "duration_ms", "request_id")


class TextFormatter(logging.Formatter):
    """``2026-11-23T10:00:00.123Z INFO access: GET /health 200 0.4ms request-id``."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        text = f"{stamp} {record.levelname} {record.name}: {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the request's fields as keys of their own."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
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


class RequestMiddleware:
    """Gives each request its id and log line, answers HEAD as GET without a body, and words a failed start."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, _one_sentence(send))
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        method = scope["method"]
        if head := method == "HEAD":
            scope = {**scope, "method": "GET"}  # a copy: the server reads its own, to expect no body
        status = 499  # as nginx says of a client that left before the answer

        async def tagged_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            elif head:
                message = {**message, "body": b""}
            await send(message)

        try:
            await self.app(scope, receive, tagged_send)
        finally:
            if access.isEnabledFor(logging.INFO):
                route = getattr(scope.get("route"), "path_format", "-")
                duration = round((time.perf_counter() - started) * 1000, 2)
                values = (method, route, status, duration, request_id)
                access.info("%s %s %s %sms %s", *values, extra=dict(zip(EXTRAS, values, strict=True)))


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and SANE_REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return secrets.token_hex(16)


def _one_sentence(send: Send) -> Send:
    async def worded_send(message: Message) -> None:
        error = sys.exception()
        if message["type"] == "lifespan.startup.failed" and isinstance(error, EmbeddedServerError | OSError):
            message = {**message, "message": str(error)}
        await send(message)

    return worded_send
