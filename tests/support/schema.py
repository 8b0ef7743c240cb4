"""Whether the migrations lead to what models.py describes."""

import asyncio
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlmodel import SQLModel

from connections import connector, engine_over
from migrations.upgrade import upgrade
from tests.support.service import settings_for


def differences(database_url: str) -> list[str]:
    """What ``make migration`` would have to do, in short: ``add_column tasks priority``."""

    async def compare() -> list[str]:
        async with engine_over(connector(database_url, settings_for(database_url))).begin() as connection:
            await connection.run_sync(upgrade)
            return await connection.run_sync(_compared)

    return asyncio.run(compare())


def _compared(connection: Connection) -> list[str]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    found: list[Any] = []
    for difference in compare_metadata(context, SQLModel.metadata):
        found += difference if isinstance(difference, list) else [difference]
    return [" ".join(filter(None, map(_named, difference))) for difference in found]


def _named(part: object) -> str:
    return part if isinstance(part, str) else str(getattr(part, "name", None) or "")
