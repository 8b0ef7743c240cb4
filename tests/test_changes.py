"""A client that applies the pages of changes comes out equal to the owner's tasks, whatever is written meanwhile."""

import asyncio
from datetime import UTC, datetime

import psycopg
from alembic import command
from sqlalchemy import Connection

from config import Settings
from db import Database
from migrations.upgrade import alembic_config, transaction
from tests.support.service import SECRET

BEFORE = "a16e261fb28a"
NEWEST = datetime(2077, 1, 1, tzinfo=UTC)


def test_the_migration_counts_and_stamps_what_is_there(empty_database: str) -> None:
    settings = Settings(_env_file=None, database_url=empty_database, better_auth_secret=SECRET)

    def upgrade(connection: Connection) -> None:
        command.upgrade(alembic_config(connection), BEFORE)

    async def migrate() -> None:
        async with transaction(Database(settings).connector()) as connection:
            await connection.run_sync(upgrade)
        with psycopg.connect(empty_database) as connection:
            connection.execute("INSERT INTO users VALUES ('alice'), ('bob'), ('carol')")
            connection.execute("INSERT INTO tasks (user_id, title) VALUES ('alice', 'x'), ('bob', 'y'), ('alice', 'z')")
            connection.execute("UPDATE tasks SET updated_at = %s WHERE title = 'z'", [NEWEST])
        async with Database(settings):
            pass

    started = datetime.now(UTC)
    asyncio.run(migrate())
    with psycopg.connect(empty_database) as connection:
        rows = connection.execute("SELECT * FROM users ORDER BY id").fetchall()
    assert [(row[0], row[3]) for row in rows] == [("alice", 2), ("bob", 1), ("carol", 0)]
    assert rows[0][1:3] == (NEWEST, NEWEST)
    for _, changed_at, known_since, _ in rows[1:]:
        assert started < changed_at == known_since < datetime.now(UTC)
