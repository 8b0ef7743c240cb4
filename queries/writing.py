"""Creating, changing and deleting tasks: each statement takes the owner's row first (see ``stamps``)."""

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    case,
    cast,
    column,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB
from sqlalchemy.dialects.postgresql import insert as upsert

from queries.filters import chosen, unchanged
from queries.parts import (
    Query,
    answers,
    bind,
    columns_shown,
    deletions,
    json_array,
    json_of,
    number_of,
    public,
    tasks,
    text_of,
    this,
    users,
)
from queries.stamps import beside_owner, later, me, stamp, taken, welcome
from schemas import TaskCreate, TaskUpdate
from statements import OWNER, Statement


class Created(NamedTuple):
    """``body`` is the array of the tasks made, or None where the owner would have more than ``most_tasks``."""

    body: str | None


class CreatedOnce(NamedTuple):
    """``body`` as in ``Created``, or None where the key was taken, too: then ``replay`` is the first answer to it, and
    ``same`` whether ``fingerprint`` is as it was."""

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


_new = cast(bind("new_tasks"), JSON)
_number = func.json_array_length(_new)
_expiry: ColumnElement[Any] = literal_column("interval '24 hours'")
expired = answers.c.created_at < func.now() - _expiry


def _drafted(stamped: CTE) -> Query:
    """The array of tasks bound as JSON in ``new_tasks``, as rows."""
    names = list(TaskCreate.model_fields)
    rows = func.json_to_recordset(_new).table_valued(*(column(name, tasks.c[name].type) for name in names))
    sent, moment = rows.render_derived(with_types=True), stamped.c.changed_at
    return select(
        OWNER.label("user_id"),
        func.nextval(text_of("tasks_id_seq")).label("id"),
        *sent.c,
        moment.label("created_at"),
        moment.label("updated_at"),
    ).select_from(stamped.join(sent, literal_column("true")))


def _create(*, on_citus: bool = False) -> Query:
    """Insert the tasks in ``new_tasks``."""
    draft = _drafted(welcome(_number).cte("stamp"))
    if on_citus:
        draft = beside_owner(draft.cte("draft"))
    made = insert(tasks).from_select(draft.selected_columns.keys(), draft).returning(*columns_shown(tasks)).cte("made")
    task = select(*public(made)).order_by(made.c.id).cte("task")
    return select(func.nullif(json_array(task), text_of("[]")).label("body"))


def _create_once(*, on_citus: bool = False) -> Query:
    """Insert the tasks in ``new_tasks`` if nobody has claimed ``idempotency_key``. Bound too: ``fingerprint``."""
    key, print_ = bind("idempotency_key"), bind("fingerprint")
    first_answer = select(answers.c.response, answers.c.fingerprint)
    first_answer = first_answer.where(answers.c.user_id == OWNER, answers.c.key == key, ~expired)
    earlier = first_answer.cte("earlier")
    taken_already = exists(first_answer if on_citus else select(earlier.c.response))
    draft = _drafted(welcome(_number, ~taken_already).cte("stamp")).cte("draft")
    task = select(*public(draft)).cte("task")
    answer = select(
        OWNER.label("user_id"),
        key.label("key"),
        print_.label("fingerprint"),
        json_array(task).label("response"),
        func.now().label("created_at"),
    ).having(func.count() > literal_column("0"))
    drafted = select(draft)
    if on_citus:
        answer, drafted = beside_owner(answer.cte("answer")), beside_owner(draft)
    claimed = upsert(answers).from_select(answer.selected_columns.keys(), answer)
    sent = claimed.excluded
    # Of two with the same key at once, the second has waited for the owner's row, and counted its tasks there. A NULL
    # where none may be undoes the whole statement, and Database runs it again: it finds the first one's answer then.
    free = sent.created_at - answers.c.created_at > _expiry
    claim = (
        claimed.on_conflict_do_update(
            index_elements=answers.primary_key.columns,
            set_={
                "fingerprint": case((free, sent.fingerprint)),
                "response": sent.response,
                "created_at": sent.created_at,
            },
        )
        .returning(answers.c.response)
        .cte("claim")
    )
    made = insert(tasks).from_select(list(draft.c.keys()), drafted).cte("made")
    return select(
        select(claim.c.response).scalar_subquery().label("body"),
        select(earlier.c.response).scalar_subquery().label("replay"),
        select(earlier.c.fingerprint == print_).scalar_subquery().label("same"),
    ).add_cte(made)


def _change(values: dict[str, ColumnElement[Any]]) -> Query:
    """Change the task ``task_id``, if it is of one of the moments in ``if_match``."""
    stamped = stamp(this & unchanged)
    changed = update(tasks).where(this, unchanged, tasks.c.user_id == stamped.c.id)
    changed = changed.values(**values, updated_at=stamped.c.changed_at)
    # Written as JSON outside of RETURNING, where a sharded server wants functions that are IMMUTABLE.
    task = select(*public(changed.returning(*columns_shown(tasks)).cte("changed"))).cte("task")
    return select(select(json_of(task)).scalar_subquery().label("body"), exists().where(this).label("found"))


def _sent_fields() -> dict[str, ColumnElement[Any]]:
    """For each field of ``TaskUpdate``: its value where the JSON in ``changes`` has it, else as it is."""
    changes = cast(bind("changes"), JSONB)
    return {
        name: case(
            (
                func.jsonb_exists(changes, text_of(name)),
                cast(func.jsonb_extract_path_text(changes, text_of(name)), c.type),
            ),
            else_=c,
        )
        for name, c in ((name, tasks.c[name]) for name in TaskUpdate.model_fields)
    }


def _change_all() -> Query:
    stamped = stamp(chosen)
    changed = update(tasks).where(chosen, tasks.c.user_id == stamped.c.id)
    changed = changed.values(completed=bind("wanted", Boolean), updated_at=stamped.c.changed_at)
    return number_of(changed.returning(tasks.c.id).cte("changed"))


def _delete(which: ColumnElement[bool], answer: Callable[[CTE], Any], *, on_citus: bool = False) -> Any:
    """Delete such tasks; ``answer`` is made of those that are gone."""
    owner = taken(which)
    gone = delete(tasks).where(which, tasks.c.user_id == owner.c.id).returning(tasks.c.user_id, tasks.c.id).cte("gone")
    fewer = users.c.task_count - select(func.count()).select_from(gone).scalar_subquery()
    stamped = (
        update(users)
        .where(me, exists(select(gone.c.id)))
        .values(changed_at=later, task_count=fewer)
        .returning(users.c.id, users.c.changed_at)
        .cte("stamp")
    )
    kept = select(OWNER.label("user_id"), stamped.c.changed_at, gone.c.id).join(stamped, stamped.c.id == gone.c.user_id)
    if on_citus:
        kept = beside_owner(kept.cte("buried"))
    return answer(gone).add_cte(insert(deletions).from_select(["user_id", "deleted_at", "id"], kept).cte("kept"))


def _done(gone: CTE) -> Any:
    return select(exists(select(gone.c.id)).label("done"), exists().where(this).label("found"))


CREATE = Statement(_create(), Created, on_citus=_create(on_citus=True))
CREATE_ONCE = Statement(_create_once(), CreatedOnce, on_citus=_create_once(on_citus=True))
UPDATE = Statement(_change(_sent_fields()), Changed)
COMPLETE = Statement(_change({"completed": func.coalesce(bind("wanted", Boolean), ~tasks.c.completed)}), Changed)
DELETE = Statement(_delete(this & unchanged, _done), Deleted, on_citus=_delete(this & unchanged, _done, on_citus=True))
UPDATE_ALL = Statement(_change_all(), Count)
DELETE_ALL = Statement(_delete(chosen, number_of), Count, on_citus=_delete(chosen, number_of, on_citus=True))
JOIN = Statement(
    number_of(upsert(users).values(id=OWNER).on_conflict_do_nothing().returning(users.c.id).cte("joined")), Count
)
