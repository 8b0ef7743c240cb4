"""Every statement of an owner, and the plans that PostgreSQL makes for them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg

import dev
from statements import OWNER, Statement

OWNER_COLUMNS = {"users": "id", "tasks": "user_id", "idempotency_keys": "user_id", "deletions": "user_id"}
STATEMENTS: dict[str, Statement[Any]] = {
    name.replace('"', ""): statement for name, statement in dev.statements() if isinstance(statement, Statement)
}


def generic_plan(connection: psycopg.Connection[Any], statement: Statement[Any]) -> list[dict[str, Any]]:
    """All nodes of the plan for unknown values (EXPLAIN GENERIC_PLAN, PostgreSQL 16)."""
    sql, _ = _numbered(statement)
    return _nodes(connection, f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {sql}")


def generic_plan_for(
    connection: psycopg.Connection[Any], statement: Statement[Any], owner: str
) -> list[dict[str, Any]]:
    """The nodes that are left of that plan when it starts to run for an owner."""
    sql, names = _numbered(statement)
    values = ", ".join(f"'{owner}'" if name == OWNER.key else "NULL" for name in names)
    connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    connection.execute(f"PREPARE explained AS {sql}".encode())
    nodes = _nodes(connection, f"EXPLAIN (FORMAT JSON) EXECUTE explained({values})")
    connection.execute("DEALLOCATE explained")
    return nodes


def _numbered(statement: Statement[Any]) -> tuple[str, list[str]]:
    """The SQL with $1, $2 … for what is bound, and the names in that order."""
    names: list[str] = []

    def numbered(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return re.sub(r"%\((\w+)\)s", numbered, statement.sql.decode()).replace("%%", "%"), names


def _nodes(connection: psycopg.Connection[Any], explain: str) -> list[dict[str, Any]]:
    explained = connection.execute(explain.encode()).fetchone()
    assert explained
    document = explained[0] if isinstance(explained[0], list) else json.loads(explained[0])
    return list(_within(document[0]["Plan"]))


def _within(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inner in node.get("Plans", []):
        yield from _within(inner)
