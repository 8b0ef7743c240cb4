"""What the owner's session writes takes part in the feed, as what the statements of ``queries`` write.

It takes and stamps the owner's row before it writes, and keeps it until the transaction's end.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import ORMExecuteState
from sqlmodel import UTCDateTime, select

from models import Task
from problems import Problem
from queries.parts import bind, deletions, mine, tasks, users
from queries.stamps import me, welcome
from statements import OWNER

if TYPE_CHECKING:
    from auth.scope import OwnerBoundSession

ANY_NUMBER = 2**63 - 1

_TAKE = welcome(bind("number", sa.BigInteger))
_gone = sa.select(OWNER, bind("moment", UTCDateTime), tasks.c.id).where(
    mine, tasks.c.id == sa.any_(bind("ids", ARRAY(sa.BigInteger)))
)
_BURY = sa.insert(deletions).from_select(["user_id", "deleted_at", "id"], _gone).returning(deletions.c.id)
_FEWER = sa.update(users).where(me).values(task_count=users.c.task_count - bind("number", sa.BigInteger))


def stamp_objects(session: "OwnerBoundSession") -> None:
    """Give what is about to be flushed its moment. The owner's row is made, too: every other row refers to it."""
    made = [item for item in session.new if isinstance(item, Task)]
    changed = [item for item in session.dirty if isinstance(item, Task) and session.is_modified(item)]
    gone = [item.id for item in session.deleted if isinstance(item, Task)]
    if session.new or changed or gone:
        moment = _take(session, len(made))
        for item in (*made, *changed):
            item.updated_at = moment
        _bury(session, moment, gone)


def stamp_statement(state: ORMExecuteState) -> None:
    """Give ``update(Task)`` and ``delete(Task)`` their moment."""
    session: Any = state.session
    statement: Any = state.statement
    if state.is_update:
        state.statement = statement.values(updated_at=_take(session))
    if state.is_delete:
        moment = _take(session)  # from here on, nobody else adds or removes what is selected
        conditions = () if statement.whereclause is None else (statement.whereclause,)
        _bury(session, moment, session.scalars(select(Task.id).where(*conditions)).all())


def _take(session: "OwnerBoundSession", number: int = 0) -> datetime:
    """Take the owner's row for so many new tasks, and return the moment of what is written next."""
    most = session.max_tasks if number else ANY_NUMBER
    row = session.run(_TAKE, number=number, most_tasks=most).one_or_none()
    if row is None:
        raise Problem(403, f"A user may have at most {most} tasks.")
    moment: datetime = row.changed_at
    return moment


def _bury(session: "OwnerBoundSession", moment: datetime, ids: Sequence[int]) -> None:
    if ids:
        buried = session.run(_BURY, ids=ids, moment=moment).all()
        session.run(_FEWER, number=len(buried))
