"""The engine: a pool of autocommit connections to PostgreSQL."""

from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
from psycopg.types.numeric import Int8Dumper
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from config import Settings

Connect = Callable[[], Coroutine[Any, Any, psycopg.AsyncConnection]]


def connector(url: str, settings: Settings) -> Connect:
    """Opens connections to a libpq URL, just as a PostgreSQL provider shows it."""
    pooled = "-pooler." in url  # Neon's transaction pooler
    prepare_threshold = 0 if settings.database_prepare and not pooled else None

    async def connect() -> psycopg.AsyncConnection:
        connection = await psycopg.AsyncConnection.connect(
            url, autocommit=True, prepare_threshold=prepare_threshold, connect_timeout=5
        )
        # One width for every integer, or a statement would be prepared once for each.
        connection.adapters.register_dumper(int, Int8Dumper)
        return connection

    return connect


def make_engine(connect: Connect, settings: Settings) -> AsyncEngine:
    """A pool of autocommit connections: a statement is a transaction of its own."""
    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=connect,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        use_native_hstore=False,
        pool_size=settings.database_pool_size,
        max_overflow=0,
        hide_parameters=True,
    )
