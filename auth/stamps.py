"""What the owner's session writes takes part in the feed, as what the statements of ``queries`` write.

It takes and stamps the owner's row before it writes, and keeps it until the transaction's end.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import ORMExecuteState
from sqlmodel import UTCDateTime, col, select

from models import Task
from problems import too_many_tasks
from queries.parts import bind, deletions, mine, tasks, users
from queries.stamps import me, welcome
from schemas import LARGEST_ID
from statements import OWNER

if TYPE_CHECKING:
    from auth.scope import OwnerBoundSession

_OWNER = sa.select(users.c.id).where(me).with_for_update(key_share=True)
# As a CTE, in which Citus sees values: a node of it can't tell the type of a parameter that isn't used there.
_STAMP = sa.select(welcome(bind("number", sa.BigInteger)).cte("stamp"))
_gone = sa.select(OWNER, bind("moment", UTCDateTime), tasks.c.id).where(
    mine, tasks.c.id == sa.any_(bind("ids", ARRAY(sa.BigInteger)))
)
_BURY = sa.insert(deletions).from_select(["user_id", "deleted_at", "id"], _gone).returning(deletions.c.id)
_FEWER = sa.update(users).where(me).values(task_count=users.c.task_count - bind("number", sa.BigInteger))


def take(session: "OwnerBoundSession") -> None:
    """Take the owner's row before anything else of theirs, as every writer does: so none waits for another in turn."""
    session.run(_OWNER)


def stamp_objects(session: "OwnerBoundSession") -> None:
    """Give what is about to be flushed its moment. The owner's row is made, too: every other row refers to it."""
    made = [item for item in session.new if isinstance(item, Task)]
    changed = [item for item in session.dirty if isinstance(item, Task) and session.is_modified(item)]
    if gone := [item.id for item in session.deleted if isinstance(item, Task)]:
        _bury(session, _stamp(session), gone)
    if session.new or changed:
        moment = _stamp(session, len(made))
        for item in (*made, *changed):
            item.updated_at = moment
        for item in made:
            item.created_at = getattr(item, "created_at", None) or moment
    elif not gone:
        take(session)


def stamp_statement(session: "OwnerBoundSession", state: ORMExecuteState) -> None:
    """Give ``update(Task)`` and ``delete(Task)`` their moment."""
    statement: Any = state.statement
    moment = _stamp(session)  # from here on, nobody else adds, changes or removes what is selected
    if state.is_update:
        state.statement = statement.values(updated_at=moment)
        return
    conditions = () if statement.whereclause is None else (statement.whereclause,)
    ids = session.scalars(select(Task.id).where(*conditions), state.parameters).all()
    _bury(session, moment, ids)
    # Not by its own condition, which may be another one each time, as random() is.
    these = sa.delete(Task).where(col(Task.id) == sa.any_(sa.literal(ids, ARRAY(sa.BigInteger))))
    state.statement = these.returning(*statement._returning).execution_options(**statement.get_execution_options())


def _stamp(session: "OwnerBoundSession", number: int = 0) -> datetime:
    """Take the owner's row for so many new tasks, and return the moment of what is written next."""
    most = session.max_tasks if number else LARGEST_ID
    row = session.run(_STAMP, number=number, most_tasks=most).one_or_none()
    if row is None:
        raise too_many_tasks(most)
    moment: datetime = row.changed_at
    return moment


def _bury(session: "OwnerBoundSession", moment: datetime, ids: Sequence[int]) -> None:
    if ids:
        buried = session.run(_BURY, ids=ids, moment=moment).all()
        session.run(_FEWER, number=len(buried))
