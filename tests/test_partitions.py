"""The tables may be laid out by owner: in 16 hash partitions, each request touches one."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import psycopg
import pytest

from tests.support.copy import Copy
from tests.support.databases import new_database
from tests.support.plans import OWNER_COLUMNS, STATEMENTS, generic_plan_for
from tests.support.service import User, check_problem, running

NUMBER = 16


@pytest.fixture(scope="module")
def partitioned(database_url: str) -> Iterator[str]:
    with new_database(database_url, plain=True) as url:
        with running(url):
            pass
        with psycopg.connect(url, autocommit=True) as connection:
            for table, owner in OWNER_COLUMNS.items():
                connection.execute(partition(table, owner).encode())
            connection.execute("ALTER SEQUENCE tasks_whole_id_seq RENAME TO tasks_id_seq")
        yield url


def partition(table: str, owner: str) -> str:
    pieces = [
        f"CREATE TABLE {table}_{number} PARTITION OF {table} FOR VALUES WITH (MODULUS {NUMBER}, REMAINDER {number})"
        for number in range(NUMBER)
    ]
    reference = f"ALTER TABLE {table} ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE"
    return "; ".join(
        [
            f"CREATE TABLE {table}_whole (LIKE {table} INCLUDING ALL) PARTITION BY HASH ({owner})",
            f"DROP TABLE {table} CASCADE",
            f"ALTER TABLE {table}_whole RENAME TO {table}",
            *pieces,
            *([reference] if table != "users" else []),
        ]
    )


@pytest.fixture(scope="module")
def connection(partitioned: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(partitioned) as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_generic_plan_touches_one_partition(connection: psycopg.Connection[Any], name: str) -> None:
    nodes = generic_plan_for(connection, STATEMENTS[name], "alice")
    # The table itself is where a ModifyTable starts from.
    read = {node["Relation Name"] for node in nodes if "Relation Name" in node} - OWNER_COLUMNS.keys()
    assert len({re.sub(r".*_", "", relation) for relation in read}) == 1 or name in {"CREATE", "JOIN"}, read
    removed = [node["Subplans Removed"] for node in nodes if node.get("Subplans Removed")]
    assert set(removed) <= {NUMBER - 1}
    assert len(removed) >= len(read)


@pytest.fixture(scope="module")
def partitioned_client(partitioned: str) -> Iterator[httpx2.Client]:
    with running(partitioned, max_tasks=20) as client:
        yield client


def test_the_core_of_the_contract_holds(partitioned_client: httpx2.Client) -> None:
    for user in [User(partitioned_client) for _ in range(8)]:
        check_core(user)


def check_core(user: User) -> None:
    copy = Copy(user)
    task, key = user.create("first"), {"Idempotency-Key": "key"}
    path = f"/{task['id']}"
    once = user.send("POST", json={"title": "second"}, headers=key)
    again = user.send("POST", json={"title": "second"}, headers=key)
    assert (once.status_code, again.headers["Idempotency-Replayed"], again.json()) == (201, "true", once.json())
    batch = user.send("POST", "/batch", json=[{"title": "third"}, {"title": "fourth"}]).json()
    copy.read().check()
    assert user.get("?count=true").headers["X-Total-Count"] == "4"
    assert user.get("?sort=-title&limit=2").json() == [batch[0], once.json()]
    assert user.get(path).json() == task
    tag = {"If-Match": f'"{task["updated_at"]}"'}
    assert user.send("PATCH", path, json={"title": "1st"}, headers=tag).json()["title"] == "1st"
    check_problem(user.send("PATCH", path, json={"title": "x"}, headers=tag), 412)
    assert user.send("PATCH", f"{path}/complete").json()["completed"] is True
    assert user.send("PATCH", params={"completed": "false"}, json={"completed": True}).json() == {"updated": 3}
    check_problem(user.send("POST", "/batch", json=[{"title": "x"}] * 17), 403)
    copy.read().check()
    assert user.send("DELETE", path).status_code == 204
    check_problem(user.get(path), 404)
    assert user.send("DELETE", params={"q": "th"}).json() == {"deleted": 2}
    copy.read().check()
    assert user.tasks() == list(copy.tasks.values())
