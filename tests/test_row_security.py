"""A second lock, tried out: every statement of an owner under row-level security, as a role that owns nothing.

Not at run time: ``docs/scale.md`` says what it would cost.
"""

import re
import secrets
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from schemas import TaskCreate
from statements import OWNER
from tests.support.databases import new_database
from tests.support.plans import OWNER_COLUMNS, STATEMENTS
from tests.support.service import User, running

ROLE = f"task_api_test_{secrets.token_hex(4)}"
VALUES: dict[str, Any] = {
    "new_tasks": f"[{TaskCreate(title='new').model_dump_json()}]",
    "most_tasks": 100,
    "idempotency_key": "another",
    "fingerprint": "f",
    "changes": '{"title": "changed"}',
    "wanted": True,
    "page_size": 2,
    "count": True,
}
Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def guarded(database_url: str) -> Iterator[tuple[Connection, str, str, int]]:
    """A transaction, never committed, in which ROLE has what an owner has whom a setting names; two owners, a task."""
    with new_database(database_url, plain=True) as url:
        with running(url) as client:
            user, stranger = User(client), User(client)
            for owner in (stranger, user):
                owner.send("POST", json={"title": "once"}, headers={"Idempotency-Key": "key"})
                owner.send("DELETE", f"/{owner.create()['id']}")
                task = owner.create()
        with psycopg.connect(url) as connection:
            try:
                connection.execute(f"CREATE ROLE {ROLE}".encode())
            except psycopg.errors.InsufficientPrivilege:
                pytest.skip("needs a role that may create roles")
            connection.execute(f"GRANT {ROLE} TO CURRENT_USER".encode())
            connection.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {ROLE}".encode())
            for table, column in OWNER_COLUMNS.items():
                connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {ROLE}".encode())
                connection.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY".encode())
                policy = f"CREATE POLICY own ON {table} USING ({column} = current_setting('app.owner'))"
                connection.execute(policy.encode())
            yield connection, user.id, stranger.id, task["id"]
            connection.rollback()


def run(connection: Connection, name: str, owner: str, task_id: int, *, setting: str | None = None) -> tuple[Any, bool]:
    """What a statement answers, and whether it changes anything; as ROLE, where there is a setting."""
    sql = STATEMENTS[name].sql
    values = {bound: VALUES.get(bound) for bound in re.findall(r"%\((\w+)\)s", sql.decode())}
    values |= {OWNER.key: owner, "task_id": task_id, "after_id": None if name.startswith("LIST") else 0}
    with connection.transaction(force_rollback=True):
        connection.execute("SELECT setval('tasks_id_seq', 1000)")
        before = rows(connection)
        if setting:
            connection.execute("SELECT set_config('app.owner', %s, true)", [setting])
            connection.execute(f"SET LOCAL ROLE {ROLE}".encode())
        answer = connection.execute(sql, values).fetchone()
        connection.execute("RESET ROLE")
        return answer, rows(connection) != before


def rows(connection: Connection) -> list[Any]:
    return [connection.execute(f"TABLE {t} ORDER BY 1, 2, 3".encode()).fetchall() for t in OWNER_COLUMNS]


@pytest.mark.parametrize("name", STATEMENTS)
def test_with_the_owner_in_the_session_the_answers_are_the_same(
    guarded: tuple[Connection, str, str, int], name: str
) -> None:
    connection, user, _, task_id = guarded
    answer = run(connection, name, user, task_id)
    assert run(connection, name, user, task_id, setting=user) == answer
    assert answer != run(connection, name, "nobody", task_id), (
        f"{name} finds nothing: give what it binds in VALUES, and let guarded() make what it finds."
    )


@pytest.mark.parametrize("name", STATEMENTS)
def test_with_another_owner_in_the_session_there_is_nothing(
    guarded: tuple[Connection, str, str, int], name: str
) -> None:
    connection, user, stranger, task_id = guarded
    try:
        answer = run(connection, name, user, task_id, setting=stranger)
    except psycopg.errors.InsufficientPrivilege:
        assert STATEMENTS[name].writes
    else:
        assert answer == (run(connection, name, "nobody", task_id)[0], False)
