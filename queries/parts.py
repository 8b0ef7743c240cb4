"""What statements are made of: the tables, bound values, and the JSON of a task.

Names of bound values differ from column names, since SQLAlchemy would add such a value to an UPDATE's SET.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    ColumnElement,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlmodel import UTCDateTime

from models import Deletion, IdempotencyKey, Task, User
from schemas import TaskPublic
from statements import OWNER

Query = Select[*tuple[Any, ...]]
"""A SELECT of any columns."""

users: Table = User.__table__  # type: ignore[attr-defined]
tasks: Table = Task.__table__  # type: ignore[attr-defined]
deletions: Table = Deletion.__table__  # type: ignore[attr-defined]
answers: Table = IdempotencyKey.__table__  # type: ignore[attr-defined]

ONE: ColumnElement[int] = literal_column("1")


def bind(name: str, kind: Any = Text) -> ColumnElement[Any]:
    value = bindparam(name, type_=kind)
    # SQLAlchemy casts other kinds by itself; without one, the server can't tell the type of a NULL.
    return cast(value, kind) if kind is Boolean else value


def text_of(value: str) -> ColumnElement[str]:
    # In the SQL itself: a Python literal would become one more bound value in every request.
    return literal_column(f"'{value}'", Text)


def shown_time(value: ColumnElement[Any]) -> ColumnElement[str]:
    """RFC 3339 in UTC with six digits of seconds, whatever the session's time zone."""
    return func.to_char(func.timezone(text_of("UTC"), value), text_of('YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))


def columns_shown(source: Table | CTE) -> list[ColumnElement[Any]]:
    """The columns of ``TaskPublic``, as they are stored."""
    return [source.c[name] for name in TaskPublic.model_fields]


def public(source: Table | CTE) -> list[ColumnElement[Any]]:
    """The columns of ``TaskPublic``, as they stand in the JSON."""
    shown = {name: source.c[name] for name in TaskPublic.model_fields}
    return [
        shown_time(c).label(name) if isinstance(tasks.c[name].type, UTCDateTime) else c for name, c in shown.items()
    ]


def json_of(row: CTE) -> ColumnElement[str]:
    return cast(func.row_to_json(row.table_valued()), Text)


def json_array(row: CTE) -> ColumnElement[str]:
    return func.concat(text_of("["), func.string_agg(json_of(row), text_of(",")), text_of("]"))


def folded(text: ColumnElement[Any]) -> ColumnElement[str]:
    # This collation is the same on every server, and knows letters beyond ASCII.
    return func.lower(text.collate("pg_c_utf8"))


def number_of(rows: CTE) -> Query:
    return select(func.count().label("number")).select_from(rows)


mine = tasks.c.user_id == OWNER
this = mine & (tasks.c.id == bind("task_id", BigInteger))
