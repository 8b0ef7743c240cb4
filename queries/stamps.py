"""The stamp: who changes an owner's tasks takes the owner's row first, and writes there when.

So an owner's changes come one after another, each later than the last, and whoever reads ``changed_at`` sees all
changes up to it: none can turn up before it later, as one could whose transaction commits late.
"""

from typing import Any

from sqlalchemy import CTE, BigInteger, ColumnElement, DateTime, exists, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import UTCDateTime

from queries.parts import Query, bind, tasks, text_of, users
from statements import OWNER

me = users.c.id == OWNER


def after(moment: ColumnElement[Any]) -> ColumnElement[Any]:
    """A microsecond later, by way of UTC: arithmetic in a time zone is not IMMUTABLE, as a sharded server wants it."""
    in_utc = func.timezone(text_of("UTC"), moment, type_=DateTime(timezone=False))
    return func.timezone(text_of("UTC"), in_utc + literal_column("interval '1 microsecond'"), type_=UTCDateTime())


# Strictly later than before, also when two writers meet within the clock's resolution.
later = func.greatest(func.now(), after(users.c.changed_at))


def welcome(number: ColumnElement[int], *conditions: ColumnElement[bool]) -> Any:
    """Take and stamp the owner's row for new tasks, or make it, unless they would have more than ``most_tasks``."""
    most = bind("most_tasks", BigInteger)
    row = select(
        OWNER.label("id"),
        after(func.now()).label("changed_at"),
        func.now().label("known_since"),
        number.label("task_count"),
    ).where(number <= most, *conditions)
    joined = upsert(users).from_select(row.selected_columns.keys(), row)
    together = users.c.task_count + joined.excluded.task_count
    return joined.on_conflict_do_update(
        index_elements=users.primary_key.columns,
        set_={
            "changed_at": func.greatest(joined.excluded.changed_at, after(users.c.changed_at)),
            "task_count": together,
        },
        where=together <= most,
    ).returning(users.c.id, users.c.changed_at)


def beside_owner(rows: CTE) -> Query:
    """The rows, as an INSERT must read them on Citus: beside the owner's row, or all nodes would have to have them."""
    columns = {**rows.c, "user_id": users.c.id.label("user_id")}
    return select(*columns.values()).join_from(users, rows, rows.c.user_id == users.c.id).where(me)


def stamp(which: ColumnElement[bool]) -> CTE:
    """Take and stamp the owner's row, if there are such tasks."""
    there = exists().select_from(tasks).where(which)
    stamped = update(users).where(me, there).values(changed_at=later)
    return stamped.returning(users.c.id, users.c.changed_at).cte("stamp")


def taken(which: ColumnElement[bool]) -> CTE:
    """Take the owner's row, if there are such tasks; what it will hold depends on how many are left."""
    there = exists().select_from(tasks).where(which)
    return select(users.c.id).where(me, there).with_for_update(key_share=True).cte("taken")
