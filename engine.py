"""The engine: autocommit connections to PostgreSQL."""

from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8Dumper
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from config import Settings

# Unless the URL has its own. A connection that a firewall has forgotten is noticed while it is idle.
DEFAULTS = {"connect_timeout": 5, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}

Connect = Callable[[], Coroutine[Any, Any, psycopg.AsyncConnection]]


def connector(url: str, settings: Settings) -> Connect:
    """Opens connections to a libpq URL, just as a PostgreSQL provider shows it."""
    pooled = "-pooler." in url  # Neon's transaction pooler
    conninfo = make_conninfo("", **{**DEFAULTS, **conninfo_to_dict(url), "client_encoding": "utf8"})
    prepare_threshold = 0 if settings.database_prepare and not pooled else None

    async def connect() -> psycopg.AsyncConnection:
        connection = await psycopg.AsyncConnection.connect(
            conninfo, autocommit=True, prepare_threshold=prepare_threshold
        )
        # One width for every integer, or a statement would be prepared once for each.
        connection.adapters.register_dumper(int, Int8Dumper)
        return connection

    return connect


def make_engine(connect: Connect) -> AsyncEngine:
    """An engine of autocommit connections: a statement is a transaction of its own."""
    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=connect,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        use_native_hstore=False,
        # Database keeps sessions, and their connections with them: one that is given back may be broken.
        poolclass=NullPool,
        hide_parameters=True,
    )
