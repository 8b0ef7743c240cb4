"""Lists, and one task."""

from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Text,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlmodel import UTCDateTime

from queries.filters import matching, unfiltered
from queries.parts import ONE, Query, bind, folded, json_array, json_of, public, shown_time, tasks, this, users
from schemas import TaskPublic
from statements import OWNER, Statement

Sort = Literal[
    "created_at",
    "-created_at",
    "updated_at",
    "-updated_at",
    "title",
    "-title",
]


class Key(NamedTuple):
    """What a list is sorted by, never null. A cursor holds it as text of this kind: ``str``, ``int``, ``datetime``."""

    kind: type
    value: ColumnElement[Any]


KEYS = {
    "updated_at": Key(datetime, tasks.c.updated_at),
    "title": Key(str, folded(tasks.c.title)),
}


class Page(NamedTuple):
    """``next`` is the cursor's position as JSON, where there is more; ``total`` is there if ``count`` was true."""

    body: str
    next: str | None
    total: int | None


class Found(NamedTuple):
    """``body`` is None where there is no such task."""

    body: str | None


def _list(sort: str) -> Query:
    """One page. Bound: ``page_size``, the filters, ``count``, and the cursor's ``after_id`` and ``after_key``."""
    descending = sort.startswith("-")
    size, after_id, after_key = bind("page_size", BigInteger), bind("after_id", BigInteger), bind("after_key")
    key: list[ColumnElement[Any]]
    position: list[ColumnElement[Any]]
    if (name := sort.removeprefix("-")) == "created_at":
        # Ids are given in order of creation, and the primary key is in their order.
        key, position = [tasks.c.id], [tasks.c.id]
        # Not "after_id IS NULL OR …": only a plain comparison lets the index start at the cursor.
        first: ColumnElement[int] = literal_column("9223372036854775807" if descending else "0")
        edge = func.coalesce(after_id, first)
        beyond = tasks.c.id < edge if descending else tasks.c.id > edge
    else:
        value = KEYS[name].value
        shown, bound = {
            str: (value, after_key.collate("pg_c_utf8")),
            int: (cast(value, Text), cast(after_key, BigInteger)),
            datetime: (shown_time(value), cast(after_key, UTCDateTime)),
        }[KEYS[name].kind]
        key, position = [value, tasks.c.id], [tasks.c.id, shown]
        left, right = tuple_(*key), tuple_(bound, after_id)
        beyond = or_(after_id.is_(None), left < right if descending else left > right)
    found = (
        select(*public(tasks), func.json_build_array(*position).label("position"))
        .where(matching, beyond)
        .order_by(*(c.desc() if descending else c for c in key))
        .limit(size + ONE)
        .cte("found")
    )
    task = select(*(found.c[name] for name in TaskPublic.model_fields)).limit(size).cte("task")
    more = select(func.count()).select_from(found).scalar_subquery() > size
    last = select(cast(found.c.position, Text)).offset(size - ONE).limit(ONE)
    return select(
        select(json_array(task)).scalar_subquery().label("body"),
        case((more, last.scalar_subquery())).label("next"),
        case((bind("count", Boolean), _total())).label("total"),
    )


def _total() -> ColumnElement[int]:
    """How many match. Without a filter, the owner's row says it: nothing is counted."""
    known = select(users.c.task_count).where(users.c.id == OWNER).scalar_subquery()
    counted = select(func.count()).select_from(tasks).where(matching).scalar_subquery()
    return case((unfiltered, func.coalesce(known, literal_column("0"))), else_=counted)


_one = select(*public(tasks)).where(this).cte("task")

LIST = {sort: Statement(_list(sort), Page) for sort in get_args(Sort)}
GET = Statement(select(select(json_of(_one)).scalar_subquery().label("body")), Found)
