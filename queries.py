"""Every SQL statement of the service, built once, each bound to one owner.

A statement returns the response body as text: PostgreSQL writes the JSON of exactly the columns of
``TaskPublic``. Values are bound by name; ``owner`` is bound by ``OwnerSession.fetch`` alone. Names of
bound values differ from column names, since SQLAlchemy would add such a value to an UPDATE's SET.
"""

from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    ColumnElement,
    Select,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    case,
    cast,
    column,
    delete,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlmodel import UTCDateTime

from models import IdempotencyKey, Task, User
from schemas import TaskCreate, TaskPublic, TaskUpdate
from statements import OWNER, Statement, UnownedStatement

MOST_BYTES_CLEARED = 4 * 1024 * 1024
Sort = Literal["created_at", "-created_at", "updated_at", "-updated_at", "title", "-title"]

users: Table = User.__table__  # type: ignore[attr-defined]
tasks: Table = Task.__table__  # type: ignore[attr-defined]
answers: Table = IdempotencyKey.__table__  # type: ignore[attr-defined]


def _bind(name: str, kind: Any = Text) -> ColumnElement[Any]:
    value = bindparam(name, type_=kind)
    # SQLAlchemy casts other kinds by itself; without one, the server can't tell the type of a NULL.
    return cast(value, kind) if kind is Boolean else value


def _time(value: ColumnElement[Any]) -> ColumnElement[str]:
    """RFC 3339 in UTC with six digits of seconds, whatever the session's time zone."""
    return func.to_char(func.timezone(_text("UTC"), value), _text('YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))


def _text(value: str) -> ColumnElement[str]:
    # In the SQL itself: a Python literal would become one more bound value in every request.
    return literal_column(f"'{value}'", Text)


def _public(source: Table | CTE) -> list[ColumnElement[Any]]:
    """The columns of ``TaskPublic``, as they stand in the JSON."""
    shown = {name: source.c[name] for name in TaskPublic.model_fields}
    return [_time(c).label(name) if isinstance(tasks.c[name].type, UTCDateTime) else c for name, c in shown.items()]


def _json(row: CTE) -> ColumnElement[str]:
    return cast(func.row_to_json(row.table_valued()), Text)


def _json_array(row: CTE) -> ColumnElement[str]:
    return func.concat(_text("["), func.string_agg(_json(row), _text(",")), _text("]"))


def _folded(text: ColumnElement[Any]) -> ColumnElement[str]:
    # This collation is the same on every server, and knows letters beyond ASCII.
    return func.lower(text.collate("pg_c_utf8"))


mine = tasks.c.user_id == OWNER
this = mine & (tasks.c.id == _bind("task_id", BigInteger))


def _if_given(value: ColumnElement[Any], condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return or_(value.is_(None), condition)


# Bound by the fields of ``TaskFilter``, and by ids.
_completed, _q = _bind("only_completed", Boolean), _bind("only_q")
_ids = _bind("only_ids", ARRAY(BigInteger))
_contains = or_(
    func.strpos(_folded(tasks.c.title), _folded(_q)) > literal_column("0"),
    func.strpos(_folded(tasks.c.description), _folded(_q)) > literal_column("0"),
)
matching = and_(
    mine,
    _if_given(_completed, tasks.c.completed == _completed),
    _if_given(_q, _contains),
)
chosen = and_(matching, _if_given(_ids, tasks.c.id == any_(_ids)))

_tags = _bind("if_match", ARRAY(Text))
unchanged = _if_given(_tags, _time(tasks.c.updated_at) == any_(_tags))

# Strictly later than before, also when two writers meet within the clock's resolution.
_touched = func.greatest(func.clock_timestamp(), tasks.c.updated_at + literal_column("interval '1 microsecond'"))

_expired = answers.c.created_at < func.now() - literal_column("interval '24 hours'")


def _list(sort: str) -> Select[Any]:
    """One page. Bound: ``page_size``, the filters, ``count``, and the cursor's ``after_id`` and ``after_key``."""
    descending = sort.startswith("-")
    size, after_id, after_key = _bind("page_size", BigInteger), _bind("after_id", BigInteger), _bind("after_key")
    key: list[ColumnElement[Any]]
    position: list[ColumnElement[Any]]
    match sort.removeprefix("-"):
        case "created_at":  # ids are given in order of creation, and the primary key is in their order
            key, position = [tasks.c.id], [tasks.c.id]
            # Not "after_id IS NULL OR …": only a plain comparison lets the index start at the cursor.
            first: ColumnElement[int] = literal_column("9223372036854775807" if descending else "0")
            edge = func.coalesce(after_id, first)
            beyond = tasks.c.id < edge if descending else tasks.c.id > edge
        case "title" | "updated_at" as name:
            value = _folded(tasks.c.title) if name == "title" else tasks.c.updated_at
            bound = after_key.collate("pg_c_utf8") if name == "title" else cast(after_key, UTCDateTime)
            key = [value, tasks.c.id]
            position = [tasks.c.id, value if name == "title" else _time(value)]
            left, right = tuple_(*key), tuple_(bound, after_id)
            beyond = or_(after_id.is_(None), left < right if descending else left > right)
        case _:
            raise ValueError(f"How is a list sorted by {sort}, and what does a cursor hold then?")
    found = (
        select(*_public(tasks), func.json_build_array(*position).label("position"))
        .where(matching, beyond)
        .order_by(*(c.desc() if descending else c for c in key))
        .limit(size + literal_column("1"))
        .cte("found")
    )
    task = select(*(found.c[name] for name in TaskPublic.model_fields)).limit(size).cte("task")
    more = select(func.count()).select_from(found).scalar_subquery() > size
    last = select(cast(found.c.position, Text)).offset(size - literal_column("1")).limit(literal_column("1"))
    count = select(func.count()).select_from(tasks).where(matching)
    return select(
        select(_json_array(task)).scalar_subquery().label("body"),
        case((more, last.scalar_subquery())).label("next"),
        case((_bind("count", Boolean), count.scalar_subquery())).label("total"),
    )


def _draft() -> tuple[CTE, CTE, CTE]:
    """The array of tasks bound as JSON in ``new_tasks``: as rows, as shown, and their owner's row, which is made."""
    names = list(TaskCreate.model_fields)
    sent = func.json_to_recordset(cast(_bind("new_tasks"), JSON))
    rows = sent.table_valued(*(column(name, tasks.c[name].type) for name in names)).render_derived(with_types=True)
    now, fresh = func.now(), func.nextval(_text("tasks_id_seq"))
    draft = select(
        OWNER.label("user_id"), fresh.label("id"), *rows.c, now.label("created_at"), now.label("updated_at")
    ).cte("draft")
    joined = upsert(users).values(id=OWNER).on_conflict_do_nothing().cte("joined")
    return draft, select(*_public(draft)).cte("task"), joined


def _create() -> Select[Any]:
    """Insert the tasks in ``new_tasks``."""
    draft, task, joined = _draft()
    made = insert(tasks).from_select(list(draft.c.keys()), select(draft)).cte("made")
    return select(_json_array(task).label("body")).add_cte(joined, made)


def _create_once() -> Select[Any]:
    """Insert the tasks in ``new_tasks`` if nobody has claimed ``idempotency_key``. Bound too: ``fingerprint``."""
    draft, task, joined = _draft()
    key, print_ = _bind("idempotency_key"), _bind("fingerprint")
    answer = select(
        OWNER.label("user_id"),
        key.label("key"),
        print_.label("fingerprint"),
        _json_array(task).label("response"),
        func.now().label("created_at"),
    )
    claimed = upsert(answers).from_select(answer.selected_columns.keys(), answer)
    claim = (
        claimed.on_conflict_do_update(
            index_elements=answers.primary_key.columns,
            set_={c: claimed.excluded[c] for c in ("fingerprint", "response", "created_at")},
            where=_expired,
        )
        .returning(answers.c.response)
        .cte("claim")
    )
    drafted = select(draft).where(exists(select(claim.c.response)))
    made = insert(tasks).from_select(list(draft.c.keys()), drafted).cte("made")
    earlier = (
        select(answers.c.response, answers.c.fingerprint)
        .where(answers.c.user_id == OWNER, answers.c.key == key, ~_expired)
        .cte("earlier")
    )
    return select(
        select(claim.c.response).scalar_subquery().label("body"),
        select(earlier.c.response).scalar_subquery().label("replay"),
        select(earlier.c.fingerprint == print_).scalar_subquery().label("same"),
    ).add_cte(joined, made)


def _change(values: dict[str, ColumnElement[Any]]) -> Select[Any]:
    """Change the task ``task_id``, if it has one of the tags in ``if_match``."""
    changed = update(tasks).where(this, unchanged).values(**values, updated_at=_touched)
    task = changed.returning(*_public(tasks)).cte("task")
    return select(select(_json(task)).scalar_subquery().label("body"), exists().where(this).label("found"))


def _sent_fields() -> dict[str, ColumnElement[Any]]:
    """For each field of ``TaskUpdate``: its value where the JSON in ``changes`` has it, else as it is."""
    changes = cast(_bind("changes"), JSONB)
    return {
        name: case(
            (func.jsonb_exists(changes, _text(name)), cast(func.jsonb_extract_path_text(changes, _text(name)), c.type)),
            else_=c,
        )
        for name, c in ((name, tasks.c[name]) for name in TaskUpdate.model_fields)
    }


class Page(NamedTuple):
    """``next`` is the cursor's position as JSON, where there is more; ``total`` is there if ``count`` was true."""

    body: str
    next: str | None
    total: int | None


class Found(NamedTuple):
    """``body`` is None where there is no such task."""

    body: str | None


class Created(NamedTuple):
    """``body`` is the array of the tasks made."""

    body: str


class CreatedOnce(NamedTuple):
    """``body`` as in ``Created``, or None where the key was taken: then ``replay`` is the first answer to it, and
    ``same`` whether ``fingerprint`` is as it was. All are None where the key is being claimed at this moment: run
    the statement again."""

    body: str | None
    replay: str | None
    same: bool | None


class Changed(NamedTuple):
    """``body`` is None where nothing matched; ``found`` says whether the task exists."""

    body: str | None
    found: bool


class Deleted(NamedTuple):
    """``found`` says whether the task existed."""

    done: bool
    found: bool


class Count(NamedTuple):
    """How many rows were touched."""

    number: int


_one = select(*_public(tasks)).where(this).cte("task")
_gone = delete(tasks).where(this, unchanged).returning(tasks.c.id).cte("gone")
_all_changed = update(tasks).where(chosen).values(completed=_bind("wanted", Boolean), updated_at=_touched)
_all_gone = delete(tasks).where(chosen)


def _number(rows: CTE) -> Select[Any]:
    return select(func.count().label("number")).select_from(rows)


LIST = {sort: Statement(_list(sort), Page) for sort in get_args(Sort)}
GET = Statement(select(select(_json(_one)).scalar_subquery().label("body")), Found)
JOIN = Statement(
    _number(upsert(users).values(id=OWNER).on_conflict_do_nothing().returning(users.c.id).cte("joined")), Count
)
CREATE = Statement(_create(), Created)
CREATE_ONCE = Statement(_create_once(), CreatedOnce)
UPDATE = Statement(_change(_sent_fields()), Changed)
COMPLETE = Statement(_change({"completed": func.coalesce(_bind("wanted", Boolean), ~tasks.c.completed)}), Changed)
DELETE = Statement(
    select(exists(select(_gone.c.id)).label("done"), exists().where(this).label("found")),
    Deleted,
)
UPDATE_ALL = Statement(_number(_all_changed.returning(tasks.c.id).cte("changed")), Count)
DELETE_ALL = Statement(_number(_all_gone.returning(tasks.c.id).cte("gone")), Count)

# ---- Of no owner: only ``Database`` runs these. ----

READY = UnownedStatement(select(literal_column("1", BigInteger).label("number")), Count)

# A few at a time, by number and by bytes, so that it never takes long or holds many locks.
_stored = func.pg_column_size(answers.c.response).label("bytes")
_expired_keys = select(answers.c.user_id, answers.c.key, _stored).where(_expired).limit(1000)
_old = _expired_keys.with_for_update(skip_locked=True).cte("old")
_sizes = select(_old, func.sum(_old.c.bytes).over(rows=(None, -1)).label("before")).cte("sizes")
_few = select(_sizes.c.user_id, _sizes.c.key).where(func.coalesce(_sizes.c.before, 0) < MOST_BYTES_CLEARED)
_cleared = delete(answers).where(tuple_(answers.c.user_id, answers.c.key).in_(_few)).returning(answers.c.key)
CLEAR_EXPIRED_KEYS = UnownedStatement(_number(_cleared.cte("cleared")), Count)
