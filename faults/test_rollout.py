"""Versions side by side, and changes of the tables under load: no request fails."""

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from faults.conftest import Figure, World
from faults.support.load import Load, create, read
from faults.support.service import serving
from migrations.upgrade import alembic_config
from tests.support.process import ROOT
from tests.support.service import User

MIGRATION = '''"""add priority"""

import sqlalchemy as sa
from alembic import op

revision = "f00000000001"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("priority", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("tasks", "priority")
'''


def write_and_read(users: list[User]) -> Load:
    """Every client writes, then reads."""
    turns = [0] * len(users)

    def step(number: int) -> int:
        turns[number] += 1
        return create(users[number]) if turns[number] % 2 else read(users[number])

    return Load(len(users), step)


def test_two_services_that_start_at_once_on_an_empty_database_both_serve(database_url: str, figure: Figure) -> None:
    started = time.monotonic()
    both_serve = threading.Barrier(2)

    def start(_number: int) -> list[int]:
        with serving(database_url) as service:
            both_serve.wait(60)
            figure(f"serves after {time.monotonic() - started:.1f} s")
            assert "Waiting for the database" not in service.log
            return [create(service.user()) for _ in range(10)]

    with ThreadPoolExecutor(2) as threads:
        assert [status for statuses in threads.map(start, range(2)) for status in statuses] == [201] * 20


def next_version(folder: Path) -> Path:
    """This project with one migration more."""
    project = folder / "next"
    left_out = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "bench", "e2e", "tests", "faults")
    shutil.copytree(ROOT, project, ignore=left_out)
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    head = ScriptDirectory.from_config(alembic_config(None)).get_current_head()
    (project / "migrations" / "versions" / "99990101_priority.py").write_text(MIGRATION.format(head=head))
    return project


@pytest.mark.quick
def test_a_next_version_with_a_migration_starts_beside_the_first_and_no_request_fails(
    database_url: str, figure: Figure, tmp_path: Path
) -> None:
    project = next_version(tmp_path)
    with serving(database_url) as first, write_and_read([first.user() for _ in range(4)]) as load:
        load.wait_for(100)
        with (
            serving(database_url, project=project) as second,
            write_and_read([second.user() for _ in range(4)]) as beside,
        ):
            beside.wait_for(100)
            load.wait_for(100)
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT count(priority) FROM tasks").fetchone() == (0,)
        load.wait_for(100)
        load.finish()
    assert set(load.statuses) | set(beside.statuses) == {200, 201}, (load.statuses, beside.statuses)
    figure(f"{load.statuses.total()} requests to the first version, {beside.statuses.total()} to the next, none failed")


CHANGES = [
    "ALTER TABLE tasks ADD COLUMN extra integer",
    "ALTER TABLE tasks ADD COLUMN more text NOT NULL DEFAULT 'x'",
    "ALTER TABLE tasks ALTER COLUMN title TYPE text",
    "ALTER TABLE tasks ALTER COLUMN title SET STORAGE EXTERNAL",
    "CREATE INDEX CONCURRENTLY ON tasks (user_id, title)",
    "REINDEX TABLE CONCURRENTLY tasks",
    "ALTER TABLE tasks SET (fillfactor = 80)",
    "VACUUM FULL tasks",
    "ALTER TABLE tasks ALTER COLUMN title TYPE varchar",
    "ALTER TABLE tasks DROP COLUMN more, DROP COLUMN extra",
    "ANALYZE",
]


@pytest.mark.quick
def test_tables_can_be_changed_under_load_and_no_request_fails(world: World, figure: Figure) -> None:
    with (
        write_and_read([world.service.user() for _ in range(8)]) as load,
        world.postgres.connect(world.database) as connection,
    ):
        for change in CHANGES:
            load.wait_for(20)
            connection.execute(change.encode())
        load.wait_for(100)
    assert set(load.statuses) == {200, 201}, load.statuses
    figure(f"{len(CHANGES)} changes, {load.statuses.total()} requests, none failed")
