"""The task API: ``python serve.py``."""

import gc
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.telemetry import TelemetryConfig

from auth.secret import is_made_up
from auth.tokens import Authenticator
from config import Settings, load_settings
from db import Database
from live import Live
from logs import AccessLog, configure_logging
from middleware.errors import add_error_handlers
from middleware.head import head_middleware
from middleware.requests import RequestMiddleware
from middleware.startup import startup_middleware
from routes import changes, docs, health, tasks
from routes.http.document import ABOUT, complete_document

READABLE_HEADERS = ["ETag", "Idempotency-Replayed", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After"]
READABLE_HEADERS += ["X-Request-Id", "X-Total-Count"]
SENDABLE_HEADERS = ["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"]
SENDABLE_HEADERS += ["Last-Event-ID", "X-Request-Id"]
UNGUARDED = (
    "Not started by serve.py: a proxy must stand in front that limits the size of headers, slow clients and the number "
    "of connections, and passes on no Upgrade and no trailers."
)
# Its logs would hold what exceptions say, and a span for each dependency costs more than it tells.
TELEMETRY: TelemetryConfig = {"logs": False, "operation_spans": False}
METHODS = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"]

logger = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """Build the service. Nothing is opened before its lifespan starts."""
    database = Database(settings)
    live = Live(database)
    database.on_write = live.wake

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Live]]:
        async with database:
            app.state.authenticator = Authenticator(settings)
            async with app.state.authenticator.keys:
                # What start-up made lives on: without this, the garbage collector walks it in the middle of requests.
                gc.collect()
                gc.freeze()
                # By default it walks all requests in flight whenever 700 objects are new: with 1,000 of them, a third
                # of all CPU. Little here is garbage by cycles.
                gc.set_threshold(50_000, 50, 1000)
                if "edge.protocol" not in sys.modules:
                    logger.warning(UNGUARDED)
                if "opentelemetry.sdk" in sys.modules:  # else nobody is told, and it costs nothing
                    from telemetry import start  # noqa: PLC0415

                    start(database, live, app.state.authenticator.keys)
                with live.running():
                    yield {"live": live}  # for the server, which counts connections

    app = FastAPI(**ABOUT, lifespan=lifespan, redirect_slashes=False, openapi_url=None, telemetry=TELEMETRY)
    app.state.database = database
    app.state.live = live
    app.state.gives_tokens = is_made_up(settings)
    # The last added is the outermost.
    add_error_handlers(app)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_origin_regex=settings.cors_origin_regex,
        allow_methods=METHODS,
        allow_headers=SENDABLE_HEADERS,
        expose_headers=READABLE_HEADERS,
        allow_credentials=True,
    )
    app.add_middleware(head_middleware)
    app.add_middleware(RequestMiddleware, log=AccessLog(settings.log_format) if settings.access_log else None)
    app.add_middleware(startup_middleware)
    # Not include_router, which would run a router within the router for every request.
    app.router.routes.extend([*tasks.router.routes, *health.router.routes, *changes.router.routes, *docs.router.routes])
    if app.state.gives_tokens:
        app.router.routes.extend(docs.development.routes)
    complete_document(app)
    return app


settings = load_settings()
configure_logging(settings)
app = create_app(settings)
