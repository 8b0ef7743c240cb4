"""Every SQL statement of the service, built once, each bound to one owner.

A statement returns the response body as text: PostgreSQL writes the JSON of exactly the columns of
``TaskPublic``. Values are bound by name; ``owner`` is bound by ``OwnerScope.fetch`` alone. Names of
bound values differ from column names, since SQLAlchemy would add such a value to an UPDATE's SET.
"""

from typing import Any, Literal, get_args

from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    ColumnElement,
    Executable,
    Select,
    Table,
    Text,
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

Sort = Literal["created_at", "-created_at", "updated_at", "-updated_at", "title", "-title"]

users: Table = User.__table__  # type: ignore[attr-defined]
tasks: Table = Task.__table__  # type: ignore[attr-defined]
keys: Table = IdempotencyKey.__table__  # type: ignore[attr-defined]


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


OWNER = _bind("owner")
mine = tasks.c.user_id == OWNER
this = mine & (tasks.c.id == _bind("task_id", BigInteger))

_q = _bind("q")
_only_completed = _bind("only_completed", Boolean)
_only_ids = _bind("only_ids", ARRAY(BigInteger))
_contains = or_(
    func.strpos(_folded(tasks.c.title), _folded(_q)) > literal_column("0"),
    func.strpos(_folded(tasks.c.description), _folded(_q)) > literal_column("0"),
)
matching = mine & or_(_only_completed.is_(None), tasks.c.completed == _only_completed) & or_(_q.is_(None), _contains)
chosen = matching & or_(_only_ids.is_(None), tasks.c.id == any_(_only_ids))

_tags = _bind("if_match", ARRAY(Text))
unchanged = or_(_tags.is_(None), _time(tasks.c.updated_at) == any_(_tags))

# Strictly later than before, also when two writers meet within the clock's resolution.
_touched = func.greatest(func.clock_timestamp(), tasks.c.updated_at + literal_column("interval '1 microsecond'"))

_expired = keys.c.created_at < func.now() - literal_column("interval '24 hours'")


def _list(sort: str) -> Select[Any]:
    """One page. Bound: ``page_size``, the filters, and the cursor's ``after_id`` and ``after_key``.

    Row: ``body``; ``next``, the cursor's position as JSON, where there is more; ``total`` if ``count``.
    """
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
        case name:
            value = _folded(tasks.c.title) if name == "title" else tasks.c.updated_at
            bound = after_key.collate("pg_c_utf8") if name == "title" else cast(after_key, UTCDateTime)
            key = [value, tasks.c.id]
            position = [tasks.c.id, value if name == "title" else _time(value)]
            left, right = tuple_(*key), tuple_(bound, after_id)
            beyond = or_(after_id.is_(None), left < right if descending else left > right)
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


def _create(once: bool) -> Select[Any]:
    """Insert the array of tasks bound as JSON in ``new_tasks``. Row: ``body``, their JSON array.

    With ``once`` the request also claims ``idempotency_key``: ``body`` is NULL where that was taken,
    and then ``replay`` is the first answer and ``same`` whether ``fingerprint`` is as it was. All
    three are NULL where the same key is being claimed at this moment: run the statement again.
    """
    names = list(TaskCreate.model_fields)
    sent = func.json_to_recordset(cast(_bind("new_tasks"), JSON))
    rows = sent.table_valued(*(column(name, tasks.c[name].type) for name in names)).render_derived(with_types=True)
    now, fresh = func.now(), func.nextval(_text("tasks_id_seq"))
    draft = select(
        OWNER.label("user_id"), fresh.label("id"), *rows.c, now.label("created_at"), now.label("updated_at")
    ).cte("draft")
    task = select(*_public(draft)).cte("task")
    joined = upsert(users).values(id=OWNER).on_conflict_do_nothing().cte("joined")
    drafted = select(draft)
    if not once:
        made = insert(tasks).from_select(list(draft.c.keys()), drafted).cte("made")
        return select(_json_array(task).label("body")).add_cte(joined, made)
    name, print_ = _bind("idempotency_key"), _bind("fingerprint")
    answer = select(OWNER, name, print_, _json_array(task).label("response"), now)
    claimed = upsert(keys).from_select(["user_id", "key", "fingerprint", "response", "created_at"], answer)
    claim = (
        claimed.on_conflict_do_update(
            index_elements=keys.primary_key.columns,
            set_={c: claimed.excluded[c] for c in ("fingerprint", "response", "created_at")},
            where=_expired,
        )
        .returning(keys.c.response)
        .cte("claim")
    )
    drafted = drafted.where(exists(select(claim.c.response)))
    made = insert(tasks).from_select(list(draft.c.keys()), drafted).cte("made")
    old = select(keys.c.response, keys.c.fingerprint).where(keys.c.user_id == OWNER, keys.c.key == name, ~_expired)
    earlier = old.cte("earlier")
    return select(
        select(claim.c.response).scalar_subquery().label("body"),
        select(earlier.c.response).scalar_subquery().label("replay"),
        select(earlier.c.fingerprint == print_).scalar_subquery().label("same"),
    ).add_cte(joined, made)


def _change(values: dict[str, ColumnElement[Any]]) -> Select[Any]:
    """Change one task. Row: ``body``, NULL where nothing matched; ``found``, whether the task exists."""
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


_one = select(*_public(tasks)).where(this).cte("task")
_gone = delete(tasks).where(this, unchanged).returning(tasks.c.id).cte("gone")
_all_changed = update(tasks).where(chosen).values(completed=_bind("wanted", Boolean), updated_at=_touched)
_all_gone = delete(tasks).where(chosen)

LIST: dict[str, Executable] = {sort: _list(sort) for sort in get_args(Sort)}
GET: Executable = select(select(_json(_one)).scalar_subquery().label("body"))
CREATE: Executable = _create(once=False)
CREATE_ONCE: Executable = _create(once=True)
UPDATE: Executable = _change(_sent_fields())
COMPLETE: Executable = _change({"completed": func.coalesce(_bind("wanted", Boolean), ~tasks.c.completed)})
DELETE: Executable = select(exists(select(_gone.c.id)).label("done"), exists().where(this).label("found"))
UPDATE_ALL: Executable = select(func.count()).select_from(_all_changed.returning(tasks.c.id).cte("changed"))
DELETE_ALL: Executable = select(func.count()).select_from(_all_gone.returning(tasks.c.id).cte("gone"))
