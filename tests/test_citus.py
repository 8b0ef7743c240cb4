"""What is otherwise on Citus, as far as a plain PostgreSQL can tell.

``make test DATABASE=…`` with the URL of a coordinator runs the whole suite on Citus.
"""

import asyncio
import re

import psycopg
import pytest

import queries
from connections import connector
from migrations.upgrade import migrate
from tests.support.plans import OWNER_COLUMNS, STATEMENTS
from tests.support.process import ROOT
from tests.support.service import check_problem, running, settings_for

# As much of Citus as migrations need: what is to be distributed is written down.
PRETENDED = """
    SET allow_system_table_mods = on;
    INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
    SELECT 424242, 'citus', usesysid, 'public'::regnamespace, false, '0' FROM pg_user WHERE usename = current_user;
    CREATE TABLE pg_dist_partition (logicalrelid regclass, distributed_by text, beside text);
    CREATE FUNCTION create_distributed_table(regclass, text, colocate_with text DEFAULT 'default') RETURNS void
    LANGUAGE sql AS 'INSERT INTO pg_dist_partition VALUES ($1, $2, $3)';
"""


KEPT = ["users", "deletions"]


@pytest.fixture
def pretended(plain_database: str) -> str:
    with psycopg.connect(plain_database) as connection:
        connection.execute(PRETENDED.encode())
    return plain_database


@pytest.mark.embedded
def test_where_there_is_citus_the_migration_distributes_the_tables_by_owner(pretended: str) -> None:
    for _ in range(2):
        assert asyncio.run(migrate(connector(pretended, settings_for(pretended)), None))
    with psycopg.connect(pretended) as connection:
        distributed = connection.execute("SELECT logicalrelid::text, distributed_by, beside FROM pg_dist_partition")
        expected = [(table, owner, "users") for table, owner in OWNER_COLUMNS.items()]
        assert sorted(distributed) == sorted([("users", "id", "default"), *expected[1:]])


@pytest.mark.embedded
def test_better_auth_s_table_is_refused_there(pretended: str, caplog: pytest.LogCaptureFixture) -> None:
    with psycopg.connect(pretended) as connection:
        connection.execute('CREATE TABLE "user" (id text PRIMARY KEY)')
    with running(pretended, better_auth_user_table="user") as client:
        check_problem(client.get("/health/ready"), 503)
    assert "BETTER_AUTH_USER_TABLE can't be set on Citus" in caplog.text


def test_the_page_about_scale_has_what_the_migration_does() -> None:
    page, migration = (ROOT / "docs/scale.md").read_text(), next((ROOT / "migrations/versions").glob("*_citus.py"))
    [block] = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    assert block in migration.read_text()


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_insert_needs_every_node(name: str) -> None:
    sql = STATEMENTS[name].on_citus.sql.decode()
    parts = dict(re.findall(r"(\w+) AS \n\((.*?)\)(?:, \n|\n SELECT)", sql, re.DOTALL))
    for insert in [part for part in parts.values() if part.startswith("INSERT")]:
        read = set(re.findall(r"(?:FROM|JOIN) (\w+)", insert))
        if read & parts.keys() and "users" not in read:
            advice = "Citus sends that to every node: give the statement another form, on_citus=…, with beside_owner()."
            pytest.fail(f"{name} has an INSERT that reads {read}. {advice}", pytrace=False)


def test_deletions_are_forgotten_alike(plain_database: str) -> None:
    with running(plain_database):
        pass
    with psycopg.connect(plain_database) as connection:
        connection.execute("INSERT INTO users (id) VALUES ('alice'), ('bob')")
        old = "INSERT INTO deletions SELECT 'alice', now() - n * interval '1 day', n FROM generate_series(1, 60) AS n"
        connection.execute(old)
        answers = []
        for statement in (queries.FORGET_DELETIONS, queries.FORGET_DELETIONS.on_citus):
            with connection.transaction(force_rollback=True):
                number = connection.execute(statement.sql, statement.constants).fetchone()
                rows = [connection.execute(f"TABLE {table} ORDER BY 1, 2".encode()).fetchall() for table in KEPT]
                answers.append((number, rows))
        assert answers[0] == answers[1]
        assert answers[0][0] == (30,)
