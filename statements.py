"""Statements that can only be built with their owner in them."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.dml import OnConflictDoUpdate
from sqlalchemy.dialects.postgresql.psycopg import dialect
from sqlalchemy.sql import operators
from sqlalchemy.sql.selectable import SelectBase, TextualSelect

OWNER = sa.bindparam("owner", type_=sa.Text)
"""The verified owner, whom ``OwnerSession.fetch`` alone binds."""

# PostgreSQL documentation, "Lexical Structure", 4.1.3.
OPERATOR = re.compile(r"[-+*/<>=~!@#%^&|`?]+")
POSTGRES = dialect()  # type: ignore[no-untyped-call]

Row = TypeVar("Row", bound=tuple[Any, ...])


class UnscopedStatementError(TypeError):
    """A statement touches a table without comparing its owner; the message says what to add."""


class Prepared(Generic[Row]):
    """A statement that is compiled once, and runs in one round trip. It returns one row."""

    def __init__(self, expression: Any, row: type[Row], on_citus: Any = None) -> None:
        """``row`` is a named tuple of the expression's columns; ``on_citus`` another expression, for Citus."""
        columns = tuple(expression.selected_columns.keys())
        if columns != row._fields:  # type: ignore[attr-defined]
            raise TypeError(f"{row.__name__} names other columns than the statement has: {', '.join(columns)}.")
        compiled = expression.compile(dialect=POSTGRES)
        self.row = row
        self.sql = str(compiled).encode()
        if b"[POSTCOMPILE_" in self.sql:
            raise TypeError("in_() of a list is written anew for each length: use == sa.any_() of an ARRAY.")
        self.constants = {name: value for name, value in compiled.params.items() if value is not None}
        """What Python literals in the expression have become; ``literal_column`` makes them part of the SQL."""
        self.on_citus = self if on_citus is None else type(self)(on_citus, row)


class UnownedStatement(Prepared[Row]):
    """A statement that belongs to no owner: housekeeping, which only ``Database`` runs."""


class Statement(Prepared[Row]):
    """A statement about one owner's rows.

    Every SELECT, UPDATE and DELETE in it, wherever it is nested, must have ``table.user_id == OWNER`` among the
    conditions that are joined by AND, for each table it names; every INSERT must write ``OWNER`` there.

    Raises:
        UnscopedStatementError: one of them doesn't, or tasks are changed and the owner's row isn't stamped.
    """

    def __init__(self, expression: Any, row: type[Row], on_citus: Any = None) -> None:
        parts = list(_parts(expression))
        for part in parts:
            _check(part)
        written = {getattr(part.table, "name", "") for part in parts if isinstance(part, sa.UpdateBase)}
        self.writes = bool(written)
        if "tasks" in written and "users" not in written:
            raise UnscopedStatementError("What changes tasks must stamp the OWNER's row, for the feed: queries.stamps.")
        super().__init__(expression, row, on_citus)


def owner_column(table: Any) -> sa.Column[Any]:
    """The column that says whose row it is: ``user_id``, and in ``users`` the id itself."""
    name = "id" if table.name == "users" else "user_id"
    if name not in table.c:
        raise UnscopedStatementError(f"{table.name} has no user_id, so its rows can't be bound to an owner: add one.")
    column: sa.Column[Any] = table.c[name]
    return column


def _parts(expression: Any) -> Iterator[Any]:
    """Everything that is nested in it, once, also what it names by its columns alone."""
    waiting, seen = [expression], {}
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen[id(part)] = part
        yield part
        waiting += part.get_children()
        source = getattr(part, "table", None) if isinstance(part, sa.ColumnClause) else None
        if isinstance(source, sa.FromClause) and not isinstance(source, sa.Table):
            waiting.append(source)


def _check(part: Any) -> None:
    if sql := raw_sql(part):
        raise UnscopedStatementError(f"{sql} can't be checked: write the statement with tables and columns.")
    match part:
        case sa.Insert():
            _check_insert(part)
        case sa.Update() | sa.Delete():
            # Columns of other tables make an UPDATE … FROM, a DELETE … USING.
            others = [column.table for column in parts_outside_selects(part) if isinstance(column, sa.Column)]
            _check_conditions(type(part).__name__.upper(), [part.table, *others], part.whereclause)
            if isinstance(part, sa.Update) and owner_column(part.table).name in written_columns(part):
                raise UnscopedStatementError("UPDATE must not give rows to another owner.")
        case sa.Select():
            _check_conditions("SELECT", part.get_final_froms(), part.whereclause)
        case sa.Values():
            raise UnscopedStatementError("values() can't be checked: bind JSON, and read its rows.")
        case sa.ColumnClause(is_literal=True) if re.search(r"\b(select|table|from)\b", part.name, re.IGNORECASE):
            raise UnscopedStatementError("literal_column() is for constants: what it reads can't be checked.")


def _check_insert(part: sa.Insert) -> None:
    owner = owner_column(part.table)
    if not _is_owner(_written_owner(part)):
        raise UnscopedStatementError(f"INSERT INTO {part.table.name} must write OWNER as its owner.")
    conflict = getattr(part, "_post_values_clause", None)
    if isinstance(conflict, OnConflictDoUpdate):
        changed, key = (
            {getattr(column, "name", column) for column in columns}
            for columns in (dict(conflict.update_values_to_set), conflict.inferred_target_elements or [])
        )
        if owner.name in changed or owner.name not in key:
            raise UnscopedStatementError(
                f"ON CONFLICT DO UPDATE must be about a key that has the owner, {owner}, and leave it."
            )


def _check_conditions(what: str, sources: Iterable[Any], where: sa.ClauseElement | None) -> None:
    conditions = list(_conjuncts(where))
    for table in {table for source in sources for table in _tables_of(source)}:
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
        case sa.Table():
            return [source]
        case sa.Join():
            return _tables_of(source.left) + _tables_of(source.right)
        case sa.CTE() | sa.Subquery() | sa.TableValuedAlias():
            return []
    raise UnscopedStatementError(f"{type(source).__name__} can't be checked: use the table, or a CTE of it.")


def raw_sql(part: Any) -> str | None:
    """What in this part is SQL as text, of which nobody can tell what it reads."""
    if isinstance(part, sa.TextClause | TextualSelect):
        return "text()"
    if any(getattr(part, name, None) for name in ("_prefixes", "_suffixes", "_statement_hints", "_hints")):
        return "A prefix, suffix or hint"
    operator = getattr(part, "operator", None)
    if isinstance(operator, operators.custom_op) and not OPERATOR.fullmatch(operator.opstring):
        return "op() with more than an operator"
    return None


def parts_outside_selects(part: sa.ClauseElement) -> Iterator[sa.ClauseElement]:
    """The parts of a statement that don't belong to a SELECT within it."""
    waiting = list(part.get_children())
    while waiting:
        inner = waiting.pop()
        yield inner
        if not isinstance(inner, SelectBase | sa.Alias):
            waiting += inner.get_children()


def written_columns(part: Any) -> dict[str, Any]:
    """What an INSERT or UPDATE writes, by the column's name. SQLAlchemy has no public view of it."""
    if (selected := getattr(part, "select", None)) is not None:
        return dict(zip(map(str, part._select_names), selected.selected_columns.values(), strict=True))
    return {key if isinstance(key, str) else key.name: value for key, value in (part._values or {}).items()}


def _written_owner(part: sa.Insert) -> object:
    if isinstance(part.select, sa.CompoundSelect):  # of which each could write another
        return None
    written = written_columns(part).get(owner_column(part.table).name)
    inner = written.element if isinstance(written, sa.Label) else written
    if isinstance(inner, sa.ColumnClause) and isinstance(inner.table, sa.Table) and inner is owner_column(inner.table):
        return OWNER  # its SELECT must compare it, as any
    if isinstance(written, sa.ColumnClause) and isinstance(written.table, sa.CTE):  # what an earlier part has bound
        selected: Any = written.table.element
        return None if isinstance(selected, sa.CompoundSelect) else selected.selected_columns[written.key]
    return written
