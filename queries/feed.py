"""What has changed in an owner's tasks, a page at a time: why nothing is missed, ``stamps`` says."""

from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    ColumnElement,
    Table,
    Text,
    any_,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import UTCDateTime

from queries.parts import (
    ONE,
    Query,
    bind,
    deletions,
    json_array,
    mine,
    public,
    shown_time,
    tasks,
    text_of,
    users,
)
from queries.stamps import me
from statements import OWNER, Statement, UnownedStatement


class Changes(NamedTuple):
    """``changed`` and ``deleted`` are JSON arrays; ``position`` is the ``since`` and ``after_id`` of the next page as
    JSON, where there is one; ``version`` is the moment of the newest change, None where there was none.

    Where not all changes since then are ``known``, everything else is void.
    """

    changed: str
    deleted: str
    position: str | None
    version: str | None
    known: bool


class Versions(NamedTuple):
    """A JSON object of the moments of the newest changes, by owner; None where there is no owner."""

    versions: str | None


EVERY_ID = literal_column("9223372036854775807", BigInteger)
_size, _after_id, _since = bind("page_size", BigInteger), bind("after_id", BigInteger), bind("since", UTCDateTime)
_owner = select(users.c.changed_at, users.c.known_since).where(me).cte("owner")
_newest = select(_owner.c.changed_at).scalar_subquery()


def _answer(
    found: CTE, task: CTE, deleted: ColumnElement[str], moment: ColumnElement[str], known: ColumnElement[bool]
) -> Query:
    """``found`` has a row more than the page where there is more; ``moment`` is where the next one starts."""
    more = select(func.count()).select_from(found).scalar_subquery() > _size
    last = select(cast(func.json_build_array(moment, found.c.id), Text)).offset(_size - ONE).limit(ONE)
    is_known = func.coalesce(select(known).select_from(_owner).scalar_subquery(), literal_column("false"))
    return select(
        select(json_array(task)).scalar_subquery().label("changed"),
        deleted.label("deleted"),
        case((more, last.scalar_subquery())).label("position"),
        shown_time(_newest).label("version"),
        or_(_since.is_(None), is_known).label("known"),
    )


def _snapshot() -> Query:
    """All tasks of ids beyond ``after_id``, in their order. ``since`` is the ``version`` of the first page, there None.

    Each page is of another moment, but with the changes since the first all are of one.
    """
    beyond = select(*public(tasks)).where(mine, tasks.c.id > _after_id).order_by(tasks.c.id)
    found = beyond.limit(_size + ONE).cte("found")
    task = select(found).limit(_size).cte("task")
    known = (_since >= _owner.c.known_since) & (_since <= _owner.c.changed_at)
    return _answer(found, task, text_of("[]"), shown_time(func.coalesce(_since, _newest)), known)


def _changes() -> Query:
    """Tasks and deletions that are later than ``since``, or of that moment and of ids beyond ``after_id``."""
    since = func.coalesce(_since, literal_column("'-infinity'", UTCDateTime))
    place = tuple_(since, _after_id)
    # Asked once, before anything is read: all of a moment is known where after_id is EVERY_ID.
    any_new = tuple_(_newest, EVERY_ID) > place

    def later_in(source: Table, moment: ColumnElement[Any], *, gone: str) -> Query:
        keys = select(moment.label("moment"), source.c.id, literal_column(gone, Boolean).label("gone"))
        return keys.where(source.c.user_id == OWNER, any_new, tuple_(moment, source.c.id) > place)

    changed = later_in(tasks, tasks.c.updated_at, gone="false")
    both = union_all(changed, later_in(deletions, deletions.c.deleted_at, gone="true")).subquery("both")
    found = select(both).order_by(both.c.moment, both.c.id).limit(_size + ONE).cte("found")
    page = select(found).limit(_size).cte("page")
    ids = cast(select(func.array_agg(page.c.id)).where(~page.c.gone).scalar_subquery(), ARRAY(BigInteger))
    task = select(*public(tasks)).where(mine, tasks.c.id == any_(ids)).order_by(tasks.c.updated_at, tasks.c.id)
    listed = func.concat(text_of("["), func.string_agg(cast(page.c.id, Text), text_of(",")), text_of("]"))
    deleted = select(listed).where(page.c.gone).scalar_subquery()
    known = (place >= tuple_(_owner.c.known_since, EVERY_ID)) & (_since <= _owner.c.changed_at)
    return _answer(found, task.cte("task"), deleted, shown_time(found.c.moment), known)


_versions = func.json_object_agg(users.c.id, shown_time(users.c.changed_at))

SNAPSHOT = Statement(_snapshot(), Changes)
CHANGES = Statement(_changes(), Changes)
# Of the owners in ``owners``: it belongs to none.
VERSIONS = UnownedStatement(
    select(cast(_versions, Text).label("versions")).where(users.c.id == any_(bind("owners", ARRAY(Text)))), Versions
)
