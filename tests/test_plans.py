"""The plans that prepared statements end up with, on a table of a million tasks in miniature.

PostgreSQL chooses by its statistics: the test tells it that the table is large.
"""

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import queries
from tests.support.plans import STATEMENTS, generic_plan

TASKS_OF_AN_ORDINARY_OWNER = 100
TABLES = ["users", "tasks", "deletions", "idempotency_keys"]


@pytest.fixture(scope="module")
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction, never committed, in which the table holds 1000 owners' tasks."""
    with psycopg.connect(database_url) as connection:
        for table in TABLES:
            connection.execute(f"CREATE TEMPORARY TABLE {table} (LIKE public.{table} INCLUDING ALL)".encode())
        connection.execute("INSERT INTO users SELECT 'owner-' || o FROM generate_series(1, 1000) AS o")
        connection.execute(
            "INSERT INTO tasks (user_id, title) SELECT 'owner-' || o, 'Task ' || t "
            "FROM generate_series(1, %s) AS t, generate_series(1, 1000) AS o",
            [TASKS_OF_AN_ORDINARY_OWNER],
        )
        connection.execute(
            "INSERT INTO idempotency_keys SELECT 'owner-' || o, 'key-' || k, 'f', 'r', now() "
            "FROM generate_series(1, 1000) AS o, generate_series(1, 20) AS k"
        )
        connection.execute(
            "INSERT INTO deletions SELECT 'owner-' || o, now() - d * interval '1 hour', d "
            "FROM generate_series(1, 1000) AS o, generate_series(1, 20) AS d"
        )
        for table in TABLES:
            connection.execute(f"ANALYZE {table}".encode())
        yield connection
        connection.rollback()


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_table_is_read_by_an_index_on_the_owner_never_scanned(connection: psycopg.Connection[Any], name: str) -> None:
    reads = [
        node
        for node in generic_plan(connection, STATEMENTS[name])
        if node.get("Relation Name") in TABLES and "Scan" in node["Node Type"]
    ]
    for node in reads:
        assert node["Node Type"] in {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}, node
        condition = node.get("Index Cond", node.get("Recheck Cond", ""))
        owner = "(id" if node["Relation Name"] == "users" else "user_id"
        assert owner in condition, node
    assert reads or name in {"CREATE", "JOIN"}


@pytest.mark.parametrize("name", ["CHANGES", "SNAPSHOT"])
def test_a_page_of_changes_reads_its_tasks_by_their_keys(connection: psycopg.Connection[Any], name: str) -> None:
    nodes = generic_plan(connection, STATEMENTS[name])
    conditions = [node["Index Cond"] for node in nodes if "Index Cond" in node and node.get("Relation Name") == "tasks"]
    assert any(re.search(r"\bid (=|>) ", condition) for condition in conditions), conditions


def test_a_poll_that_finds_nothing_new_reads_the_owner_s_row_alone(connection: psycopg.Connection[Any]) -> None:
    nodes = generic_plan(connection, queries.CHANGES)
    everything = [node for node in nodes if node.get("Parent Relationship") == "Member"]
    assert len(everything) == 2
    for node in everything:  # of tasks, and of deletions
        assert node["Node Type"] == "Result", node
        assert "One-Time Filter" in node, node


@pytest.mark.parametrize("name", ["LIST[created_at]", "LIST[-created_at]"])
def test_the_default_list_reads_one_page_in_the_index_s_order(connection: psycopg.Connection[Any], name: str) -> None:
    nodes = generic_plan(connection, STATEMENTS[name])
    page = next(node for node in nodes if node.get("Subplan Name") == "CTE found")
    assert page["Node Type"] == "Limit"
    scan = page["Plans"][0]
    assert scan["Node Type"] == "Index Scan"
    assert scan["Index Cond"].count("id") >= 2  # the owner, and where the cursor points
    assert re.search(r"\bid\b [<>]", scan["Index Cond"])
    assert "Sort" not in {node["Node Type"] for node in nodes}


@pytest.mark.parametrize("name", ["GET", "UPDATE", "COMPLETE", "DELETE"])
def test_a_single_task_is_found_by_the_whole_key(connection: psycopg.Connection[Any], name: str) -> None:
    nodes = generic_plan(connection, STATEMENTS[name])
    for scan in [node for node in nodes if node.get("Relation Name") == "tasks" and "Index Cond" in node]:
        assert re.search(r"\bid = ", scan["Index Cond"]), scan
