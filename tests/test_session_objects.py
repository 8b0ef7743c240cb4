"""The owner's session is a SQLModel session of one owner's rows, and of no other: the objects in it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import delete, func, update
from sqlalchemy.orm import attributes, make_transient_to_detached
from sqlmodel import select

from auth.owner import OwnerSession
from auth.scope import ForbiddenError
from config import Settings
from models import Task, User
from queries import tasks
from tests.support.service import User as Caller
from tests.support.session import play

ids: Any = Task.id
titles: Any = Task.title


async def _take_over(session: OwnerSession, theirs: Task) -> None:
    session.add(theirs)
    theirs.title = "mine now"
    await session.commit()


async def _give_away(session: OwnerSession, theirs: Task) -> None:
    mine = (await session.exec(select(Task).where(Task.title == "one"))).one()
    mine.user_id = theirs.user_id
    await session.commit()


async def _add_for_another(session: OwnerSession, theirs: Task) -> None:
    session.add(Task(user_id=theirs.user_id, title="x", description=None))  # type: ignore[call-arg]
    await session.commit()


async def _delete(session: OwnerSession, theirs: Task) -> None:
    await session.delete(theirs)
    await session.commit()


async def _merge(session: OwnerSession, theirs: Task) -> None:
    merged = await session.merge(theirs)
    merged.title = "mine now"
    await session.commit()


async def _merge_without_loading(session: OwnerSession, theirs: Task) -> None:
    merged = await session.merge(theirs, load=False)
    merged.title = "mine now"
    await session.commit()


async def _refresh_what_was_never_loaded(session: OwnerSession, theirs: Task) -> None:
    stub = Task(user_id=theirs.user_id, id=theirs.id)  # type: ignore[call-arg]
    make_transient_to_detached(stub)
    session.add(stub)
    await session.refresh(stub)


async def _delete_by_a_false_key(session: OwnerSession, theirs: Task) -> None:
    mine = (await session.exec(select(Task).where(Task.title == "one"))).one()
    attributes.set_committed_value(mine, "user_id", theirs.user_id)
    attributes.set_committed_value(mine, "id", theirs.id)
    await session.delete(mine)
    await session.commit()


async def _bind_another_owner(session: OwnerSession, theirs: Task) -> None:
    await session.exec(delete(Task), params={"owner_1": theirs.user_id})


async def _add_a_user(session: OwnerSession, _theirs: Task) -> None:
    session.add(User(id="mallory"))  # type: ignore[call-arg]
    await session.commit()


async def _take_the_connection(session: OwnerSession, _theirs: Task) -> None:
    await session.connection()


async def _insert_in_bulk(session: OwnerSession, theirs: Task) -> None:
    rows = [{"user_id": theirs.user_id, "title": "x"}]
    await session.run_sync(lambda sync: sync.bulk_insert_mappings(Task, rows))


async def _update_by_key(session: OwnerSession, theirs: Task) -> None:
    rows = [{"user_id": theirs.user_id, "id": theirs.id, "title": "x"}]
    await session.exec(update(Task), params=rows)


async def _update_by_parameters(session: OwnerSession, theirs: Task) -> None:
    await session.exec(update(Task), params={"user_id": theirs.user_id})


async def _write_what_another_has(session: OwnerSession, theirs: Task) -> None:
    mine = (await session.exec(select(Task).where(Task.title == "one"))).one()
    mine.title = sa.select(tasks.c.title).where(tasks.c.user_id == theirs.user_id).limit(1).scalar_subquery()  # type: ignore[assignment]
    await session.commit()


async def _add_what_all_have(session: OwnerSession, _theirs: Task) -> None:
    session.add(Task(title=select(func.max(titles)).scalar_subquery(), description=None))  # type: ignore[call-arg, arg-type]
    await session.commit()


async def _bring_back_an_id(session: OwnerSession, _theirs: Task) -> None:
    session.add(Task(id=1, title="x", description=None))  # type: ignore[call-arg]
    await session.commit()


async def _change_a_key(session: OwnerSession, _theirs: Task) -> None:
    mine = (await session.exec(select(Task).where(Task.title == "one"))).one()
    mine.id += 1
    await session.commit()


async def _change_keys(session: OwnerSession, _theirs: Task) -> None:
    await session.exec(update(Task).values(id=1))


async def _change_keys_by_parameters(session: OwnerSession, _theirs: Task) -> None:
    await session.exec(update(Task), params={"id": 1})


async def _choose_the_moment(session: OwnerSession, _theirs: Task) -> None:
    await session.exec(update(Task).values(updated_at=func.now()))


ATTEMPTS = [
    _bring_back_an_id,
    _change_a_key,
    _change_keys,
    _change_keys_by_parameters,
    _choose_the_moment,
    _write_what_another_has,
    _add_what_all_have,
    _take_over,
    _give_away,
    _add_for_another,
    _delete,
    _merge,
    _merge_without_loading,
    _refresh_what_was_never_loaded,
    _delete_by_a_false_key,
    _bind_another_owner,
    _add_a_user,
    _take_the_connection,
    _insert_in_bulk,
    _update_by_key,
    _update_by_parameters,
]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__)
def test_another_s_task_can_t_be_changed_or_added(
    settings: Settings, pair: tuple[Caller, Caller], attempt: Callable[[OwnerSession, Task], Awaitable[None]]
) -> None:
    before = [caller.tasks() for caller in pair]

    async def theirs(session: OwnerSession) -> Task:
        return (await session.exec(select(Task).where(Task.title == "one"))).one()

    task = play(settings, pair[1].id, theirs)

    async def scene(session: OwnerSession) -> None:
        with pytest.raises(ForbiddenError):
            await attempt(session, task)

    play(settings, pair[0].id, scene)
    assert [caller.tasks() for caller in pair] == before
