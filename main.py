"""The task API: ``uvicorn main:app``."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from auth.tokens import Authenticator
from config import Settings, load_settings
from db import Database
from live import Live
from logs import AccessLog, configure_logging
from middleware.errors import ErrorMiddleware, add_error_handlers
from middleware.head import HeadMiddleware
from middleware.requests import RequestMiddleware
from middleware.startup import StartupMiddleware
from routes import changes, docs, health, tasks
from routes.http.openapi import complete_document

READABLE_HEADERS = ["ETag", "Idempotency-Replayed", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After"]
READABLE_HEADERS += ["X-Request-Id", "X-Total-Count"]
SENDABLE_HEADERS = ["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"]
SENDABLE_HEADERS += ["Last-Event-ID", "X-Request-Id"]
METHODS = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"]


def create_app(settings: Settings) -> FastAPI:
    """Build the service. Nothing is opened before its lifespan starts."""
    database = Database(settings)
    live = Live(database)
    database.on_write = live.wake

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with database:
            app.state.authenticator = Authenticator(settings)
            async with app.state.authenticator.keys:
                # What start-up made lives on: without this, the garbage collector walks it in the middle of requests.
                gc.collect()
                gc.freeze()
                with live.running():
                    yield

    app = FastAPI(title="Task API", version="1.0.0", lifespan=lifespan, redirect_slashes=False, openapi_url=None)
    app.state.database = database
    app.state.live = live
    # The last added is the outermost.
    app.add_middleware(ErrorMiddleware)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=METHODS,
        allow_headers=SENDABLE_HEADERS,
        expose_headers=READABLE_HEADERS,
        allow_credentials=True,
    )
    app.add_middleware(HeadMiddleware)
    app.add_middleware(RequestMiddleware, log=AccessLog(settings.log_format) if settings.access_log else None)
    app.add_middleware(StartupMiddleware)
    add_error_handlers(app)
    # Not include_router, which would run a router within the router for every request.
    app.router.routes.extend([*tasks.router.routes, *health.router.routes, *changes.router.routes, *docs.router.routes])
    complete_document(app)
    return app


settings = load_settings()
configure_logging(settings)
app = create_app(settings)
