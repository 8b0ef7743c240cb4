"""The owner's session is a SQLModel session of one owner's rows, and of no other: what it is asked for."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import delete, exists, func, insert, literal_column, text, update
from sqlalchemy.orm import aliased, registry
from sqlmodel import Field as SQLField
from sqlmodel import SQLModel, select

from auth.owner import OwnerSession
from auth.scope import ForbiddenError
from config import Settings
from models import IdempotencyKey, Task, User
from queries import tasks
from tests.support.service import User as Caller
from tests.support.session import play

Other: Any = aliased(Task)
ids: Any = Task.id
titles: Any = Task.title
completed: Any = Task.completed


READS: dict[str, tuple[Any, list[Any] | None]] = {
    "entities": (select(Task.title, Task.user_id), ["one", "two"]),
    "a condition": (select(Task.title).where(Task.title == "two"), ["two"]),
    "a count": (select(func.count()).select_from(Task), [2]),
    "a count by condition alone": (select(func.count()).where(titles != ""), [2]),
    "a count of a column": (select(func.count(ids)), [2]),
    "an alias": (select(Other.title), ["one", "two"]),
    "a join of an alias": (select(Task.title).join(Other, Other.title == Task.title), ["one", "two"]),
    "an outer join": (select(Other.user_id).select_from(Task).outerjoin(Other, Other.title != Task.title), None),
    "two sources": (select(Task.title).where(Other.title == Task.title), ["one", "two"]),
    "a subquery": (select(Task.title).where(ids.in_(select(Other.id))), ["one", "two"]),
    "a scalar subquery": (select(select(func.count(ids)).scalar_subquery()), [2]),
    "exists": (select(Task.title).where(exists().where(Other.title == Task.title, Other.id != Task.id)), []),
    "a common table expression": (select(func.count()).select_from(select(Task).cte("mine")), [2]),
    "a union": (select(Task.title).union_all(select(Other.title)), ["one", "one", "two", "two"]),
    "the keys": (select(IdempotencyKey.key), []),
}


@pytest.mark.parametrize("name", READS)
def test_what_is_read_is_the_owner_s(settings: Settings, pair: tuple[Caller, Caller], name: str) -> None:
    statement, expected = READS[name]

    async def scene(session: OwnerSession) -> list[Any]:
        rows: Any = (await session.exec(statement)).all()
        return [row if isinstance(row, str | int) else row[0] for row in rows]

    for caller in pair:  # the same statement, since SQLAlchemy remembers how it was compiled
        found = play(settings, caller.id, scene)
        assert set(found) == {caller.id} if expected is None else sorted(found) == expected


def test_a_task_of_another_can_t_be_got_by_its_key(settings: Settings, pair: tuple[Caller, Caller]) -> None:
    mine, theirs = (caller.tasks()[0]["id"] for caller in pair)

    async def scene(session: OwnerSession) -> list[Task | None]:
        keys = [(pair[0].id, mine), (pair[1].id, theirs)]
        return [await session.get(Task, key) for key in keys]

    got = play(settings, pair[0].id, scene)
    assert got[0] is not None
    assert got[1] is None


def test_what_is_added_changed_and_deleted_is_the_owner_s(settings: Settings, pair: tuple[Caller, Caller]) -> None:
    user, stranger = pair

    async def scene(session: OwnerSession) -> None:
        session.add(Task(title="three", description=None))  # type: ignore[call-arg]
        await session.commit()
        two = (await session.exec(select(Task).where(Task.title == "two"))).one()
        two.completed = True
        await session.flush()
        await session.refresh(two)
        await session.delete((await session.exec(select(Task).where(Task.title == "one"))).one())
        await session.exec(update(Task).where(titles == "three").values(description="changed"))
        await session.commit()

    before, version = stranger.tasks(), user.tasks()[1]["updated_at"]
    play(settings, user.id, scene)
    assert user.tasks()[0]["updated_at"] > version
    assert [(task["title"], task["completed"], task["description"]) for task in user.tasks()] == [
        ("two", True, None),
        ("three", False, "changed"),
    ]
    assert stranger.tasks() == before


def test_the_first_task_makes_the_owner(settings: Settings, user: Caller) -> None:
    async def scene(session: OwnerSession) -> None:
        session.add(Task(title="first", description=None))  # type: ignore[call-arg]
        await session.commit()

    play(settings, user.id, scene)
    [task] = user.tasks()
    assert task["title"] == "first"
    assert task["created_at"] == task["updated_at"]


def test_what_is_not_committed_is_rolled_back(settings: Settings, user: Caller) -> None:
    async def scene(session: OwnerSession) -> None:
        session.add(Task(title="never", description=None))  # type: ignore[call-arg]
        await session.flush()

    play(settings, user.id, scene)
    assert user.tasks() == []


def test_changes_to_many_touch_the_owner_s_alone(settings: Settings, pair: tuple[Caller, Caller]) -> None:
    user, stranger = pair
    before = stranger.tasks()

    async def scene(session: OwnerSession) -> None:
        await session.exec(update(Task).values(completed=True))
        await session.exec(delete(Task).where(ids.in_(select(Other.id).where(Other.title == "one"))))
        await session.commit()

    play(settings, user.id, scene)
    assert [(task["title"], task["completed"]) for task in user.tasks()] == [("two", True)]
    assert stranger.tasks() == before


class Apart(SQLModel, registry=registry()):
    """Keeps what follows out of the migrations."""


class Note(Apart, table=True):
    """Somebody forgot to make it Owned. It never gets a table."""

    user_id: str = SQLField(primary_key=True)
    text: str


REFUSED: dict[str, Any] = {
    "an entity with owners that is not Owned": select(Note.text),
    "an update of an entity that is not Owned": update(Note).values(text="x"),
    "a table's column": select(Task.title).where(tasks.c.title == "x"),
    "a table's column beside an entity in the order": select(tasks.c.title).order_by(ids),
    "a table's column beside an entity in the groups": select(tasks.c.title).group_by(ids, tasks.c.title),
    "a table's column ordered by the entity": select(tasks.c.title).order_by(sa.inspect(Task).selectable.c.id),
    "a sample of a table": select(Task.id, tasks.tablesample(100).c.title),
    "a table by its name": select(Task).where(ids.in_(select(sa.table("tasks", sa.column("id")).c.id))),
    "a filtered count within": select(Task.id, select(func.count().filter(titles != "")).scalar_subquery()),
    "a filtered aggregate within": select(
        Task.id, select(func.string_agg(titles, ",").filter(titles != "")).scalar_subquery()
    ),
    "an ordered aggregate within": select(
        Task.id, select(func.percentile_disc(0.5).within_group(titles)).scalar_subquery()
    ),
    "a window within": select(Task.id, select(func.count().over(order_by=ids)).scalar_subquery()),
    "a negation within": select(Task.id, select(func.count(~completed)).scalar_subquery()),
    "a table": select(tasks),
    "a table in a subquery": select(Task).where(ids.in_(select(tasks.c.id))),
    "a table in exists": select(Task).where(exists(select(tasks.c.id))),
    "a table that is joined": select(Task).join(tasks.alias(), literal_column("true")),
    "a table in a subquery of nothing else": select(Task).where(exists(select(literal_column("1")).select_from(tasks))),
    "a table beside an entity in a subquery": select(Task).select_from(tasks.alias()).where(ids.in_(select(Other.id))),
    "a union with a table": select(Task.id).union(select(tasks.c.id)),
    "text": text("SELECT 1"),
    "text in a condition": select(Task).where(text("true")),
    "text as entities": select(Task).from_statement(text("SELECT * FROM tasks")),
    "a literal": select(Task.id, literal_column("(SELECT max(title) FROM tasks)")),
    "an update within a query": select(update(Task).values(title="x").returning(ids).cte("changed")),
    "a delete within a query": select(func.count()).select_from(delete(Task).returning(ids).cte("gone")),
    "an insert": insert(Task).values(user_id="mallory", title="x"),
    "an insert into a table": insert(tasks).values(user_id="mallory", title="x"),
    "a delete by an alias": delete(Other),
    "an update by an alias": update(Other).values(title="x"),
    "a delete from a table beside an entity": delete(tasks).where(ids > 0),
    "an update of a table beside an entity": update(tasks).where(ids > 0).values(title="x"),
    "a way of writing that has no owner": delete(Task).execution_options(dml_strategy="core_only"),
    "the owner as a parameter": select(Task.title).params(owner_1="mallory"),
    "a suffix": select(Task.title).suffix_with("UNION ALL SELECT title FROM tasks"),
    "a hint": select(Task.title).with_statement_hint("OR true"),
    "an operator that widens the condition": select(Task.title).where(titles.op("= '' OR true OR '' =")("x")),
    "an operator that is more": select(ids.op("+ (SELECT max(id) FROM tasks) +")(0)),
    "an update that gives tasks away": update(Task).values(user_id="mallory"),
    "an update that gives tasks away by their column": update(Task).values({Task.user_id: "mallory"}),
    "an update that reads a second entity": update(Task).where(Other.title == Task.title).values(title=Other.title),
    "a delete that reads a second entity": delete(Task).where(Other.title == Task.title),
    "the users, who belong to nobody": select(User),
    "the users beside tasks": select(Task).join(User),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_t_be_bound_to_the_owner_is_refused(
    settings: Settings, pair: tuple[Caller, Caller], name: str
) -> None:
    async def scene(session: OwnerSession) -> None:
        with pytest.raises(ForbiddenError):
            await session.exec(REFUSED[name])

    before = [caller.tasks() for caller in pair]
    play(settings, pair[0].id, scene)
    assert [caller.tasks() for caller in pair] == before
