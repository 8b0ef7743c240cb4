"""Statements that can only be built with their owner in them."""

import re
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import dialect
from sqlalchemy.sql import operators, visitors

OWNER = sa.bindparam("owner", type_=sa.Text)
"""The verified owner, whom ``OwnerSession.fetch`` alone binds."""

POSTGRES = dialect()  # type: ignore[no-untyped-call]

Row = TypeVar("Row", bound=tuple[Any, ...])


class UnscopedStatementError(TypeError):
    """A statement touches a table without comparing its owner; the message says what to add."""


class UnownedStatement(Generic[Row]):
    """A statement that belongs to no owner: housekeeping, which only ``Database`` runs."""

    def __init__(self, expression: Any, row: type[Row]) -> None:
        """``expression`` is compiled once, here; ``row`` is a named tuple of its columns."""
        columns = tuple(expression.selected_columns.keys())
        if columns != row._fields:  # type: ignore[attr-defined]
            raise TypeError(f"{row.__name__} names other columns than the statement has: {', '.join(columns)}.")
        compiled = expression.compile(dialect=POSTGRES)
        self.row = row
        self.sql = str(compiled).encode()
        self.constants = {name: value for name, value in compiled.params.items() if value is not None}
        """What Python literals in the expression have become; ``literal_column`` makes them part of the SQL."""


class Statement(UnownedStatement[Row]):
    """A statement about one owner's rows, in one round trip.

    Every SELECT, UPDATE and DELETE in it, wherever it is nested, must have ``table.user_id == OWNER`` among the
    conditions that are joined by AND, for each table it names; every INSERT must write ``OWNER`` there.

    Raises:
        UnscopedStatementError: one of them doesn't.
    """

    def __init__(self, expression: Any, row: type[Row]) -> None:
        parts = list(visitors.iterate(expression))
        for part in parts:
            _check(part)
        self.writes = any(isinstance(part, sa.UpdateBase) for part in parts)
        super().__init__(expression, row)


def owner_column(table: Any) -> sa.Column[Any]:
    """The column that says whose row it is: ``user_id``, and in ``users`` the id itself."""
    name = "id" if table.name == "users" else "user_id"
    if name not in table.c:
        raise UnscopedStatementError(f"{table.name} has no user_id, so its rows can't be bound to an owner: add one.")
    column: sa.Column[Any] = table.c[name]
    return column


def _check(part: Any) -> None:
    match part:
        case sa.Insert():
            if not _is_owner(_written_owner(part)):
                raise UnscopedStatementError(f"INSERT INTO {part.table.name} must write OWNER as its owner.")
        case sa.Update() | sa.Delete():
            _check_conditions(type(part).__name__.upper(), _tables_of(part.table), part.whereclause)
            if isinstance(part, sa.Update) and owner_column(part.table).name in written_columns(part):
                raise UnscopedStatementError("UPDATE must not give rows to another owner.")
        case sa.Select():
            tables = [table for source in part.get_final_froms() for table in _tables_of(source)]
            _check_conditions("SELECT", tables, part.whereclause)
        case sa.TextClause():
            raise UnscopedStatementError("text() can't be checked: write the statement with tables and columns.")
        case sa.ColumnClause(is_literal=True) if re.search(r"\b(select|table|from)\b", part.name, re.IGNORECASE):
            raise UnscopedStatementError("literal_column() is for constants: what it reads can't be checked.")


def _check_conditions(what: str, tables: list[sa.Table], where: sa.ClauseElement | None) -> None:
    conditions = list(_conjuncts(where))
    for table in tables:
        owner = owner_column(table)
        if not any(_compares(condition, owner) for condition in conditions):
            raise UnscopedStatementError(f"{what} … {table.name} needs the condition {owner} == OWNER.")


def _conjuncts(where: sa.ClauseElement | None) -> Iterator[sa.ClauseElement]:
    """The conditions all of which must hold."""
    if isinstance(where, sa.BooleanClauseList) and where.operator is operators.and_:
        for clause in where.clauses:
            yield from _conjuncts(clause)
    elif where is not None:
        yield where


def _compares(condition: sa.ClauseElement, owner: sa.Column[Any]) -> bool:
    return (
        isinstance(condition, sa.BinaryExpression)
        and condition.operator is operators.eq
        and condition.left is owner
        and _is_owner(condition.right)
    )


def _is_owner(value: object) -> bool:
    inner = value.element if isinstance(value, sa.Label) else value
    return isinstance(inner, sa.BindParameter) and inner.key == OWNER.key


def _tables_of(source: object) -> list[sa.Table]:
    """The tables named in a FROM itself; CTEs and subqueries are parts of their own."""
    match source:
        case sa.Join():
            return _tables_of(source.left) + _tables_of(source.right)
        case sa.TableValuedAlias():
            return []
        case sa.Alias():
            raise UnscopedStatementError("An alias of a table can't be checked: use the table, or a CTE of it.")
        case sa.Table():
            return [source]
    return []


def written_columns(part: Any) -> dict[str, Any]:
    """What an INSERT or UPDATE writes, by the column's name. SQLAlchemy has no public view of it."""
    if (selected := getattr(part, "select", None)) is not None:
        return dict(zip(map(str, part._select_names), selected.selected_columns.values(), strict=True))
    return {key if isinstance(key, str) else key.name: value for key, value in (part._values or {}).items()}


def _written_owner(part: sa.Insert) -> object:
    written = written_columns(part).get(owner_column(part.table).name)
    if isinstance(written, sa.ColumnClause) and isinstance(written.table, sa.CTE):  # what an earlier part has bound
        selected: Any = written.table.element
        return selected.selected_columns[written.key]
    return written
