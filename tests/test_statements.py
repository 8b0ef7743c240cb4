"""What reaches the database: one statement a request, each bound to the owner."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx2
import pytest
import sqlalchemy as sa
from sqlalchemy import (
    Column,
    MetaData,
    Table,
    bindparam,
    delete,
    insert,
    literal,
    literal_column,
    or_,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

import queries
from routes.http.parameters import TaskFilter
from statements import OWNER, Statement, UnscopedStatementError
from tests.support.operations import OPERATIONS, Operation, Request, address, ask, each_request
from tests.support.plans import STATEMENTS
from tests.support.proxy import Message, Watched
from tests.support.service import User

# Bind, describe, execute, sync: a prepared statement in one round trip. Or a transaction of the owner's session,
# BEGIN to COMMIT; after a ROLLBACK, psycopg forgets what was prepared on the connection.
ONE_STATEMENT = re.compile(r"BDES|Q((PS)?BDES)+QQ?")


def said_for(watched: Watched, send: Callable[[User, str], httpx2.Response], path: str) -> list[Message]:
    """What goes to the database for a request, which is made for an owner of its own each time."""
    for _ in range(3):  # until the connection has prepared the statement
        user = User(watched.client)
        where = address(path, user)
        watched.proxy.messages.clear()
        response = send(user, where)
        said = list(watched.proxy.messages)
    if not all(user.id.encode() in message.body for message in said if message.kind == "B"):
        advice = "let statements be run by the session alone (session: OwnSession)."
        pytest.fail(f"{path}: a statement reached the database without its owner: {advice}", pytrace=False)
    assert said or response.status_code == 400, "Nothing was asked of the database."
    return said


@each_request(OPERATIONS)
def test_an_operation_is_one_statement_and_one_round_trip(
    watched: Watched, operation: Operation, sent: Request
) -> None:
    said = said_for(watched, lambda user, where: ask(user, operation, where, sent), operation.path)
    spelt = "".join(message.kind for message in said)
    if spelt and not ONE_STATEMENT.fullmatch(spelt):
        pytest.fail(
            f"{sent.name} takes more than one round trip to the database ({spelt}): make it one statement in "
            "queries (a CTE joins several), or one transaction of the session.",
            pytrace=False,
        )


SPECIAL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "list with everything": ("GET", "", {"params": "completed=false&q=milk&sort=-title&limit=2&count=true"}),
    "read what is not there": ("GET", "/99999999", {}),
    "create many": ("POST", "/batch", {"json": [{"title": "x"}, {"title": "y"}]}),
    "patch a changed task": ("PATCH", "/{task_id}", {"json": {"title": "y"}, "headers": {"If-Match": '"old"'}}),
    "patch what is not there": ("PATCH", "/99999999", {"json": {"title": "y"}, "headers": {"If-Match": '"old"'}}),
    "a list that is known": ("GET", "", {"headers": {"If-None-Match": "*"}}),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_what_is_refused_or_combined_is_one_statement_too(name: str, watched: Watched) -> None:
    method, path, options = SPECIAL[name]
    said = said_for(watched, lambda user, where: user.send(method, where, **options), f"/api/{{user_id}}/tasks{path}")
    assert [message.kind for message in said] == list("BDES")


def test_a_replay_is_one_statement_too(watched: Watched) -> None:
    user = User(watched.client)
    for _ in range(3):
        watched.proxy.messages.clear()
        response = user.send("POST", json={"title": "x"}, headers={"Idempotency-Key": "same"})
    assert response.headers["Idempotency-Replayed"] == "true"
    assert [message.kind for message in watched.proxy.messages] == list("BDES")


def test_health_asks_the_database_nothing(watched: Watched) -> None:
    watched.proxy.messages.clear()
    assert watched.client.get("/health").status_code == 200
    assert watched.proxy.messages == []


tasks, users, answers = queries.tasks, queries.users, queries.answers
MINE = tasks.c.user_id == OWNER
_unstamped = update(tasks).where(MINE).values(title="x").returning(tasks.c.id).cte("changed")
_everybody = update(users).values(task_count=users.c.task_count).returning(users.c.id).cte("stamp")
_by_everybody = update(tasks).where(MINE, tasks.c.user_id == _everybody.c.id).values(title="x").returning(tasks.c.id)

_titles = select(sa.func.max(tasks.c.title).label("title"))
_two = union_all(select(OWNER.label("owner"), literal("x").label("key")), select(literal("mallory"), literal("y")))
_two_again = _two.cte("two")
_misnamed = select(answers.c.key.label("user_id")).where(answers.c.user_id == OWNER).cte("misnamed")


def _answering(source: Any) -> Any:
    """An update of the owner's, and a condition about that source, which it names by a column alone."""
    own = answers.c.user_id == OWNER
    changed = update(answers).where(own, answers.c.key == source.c.title).values(response="x")
    return changed.returning(answers.c.key.label("id"))


def _inserting(rows: Any) -> Any:
    return insert(answers).from_select(["user_id", "key"], rows).returning(answers.c.key.label("id"))


UNSCOPED: dict[str, Any] = {
    "a lateral beside an update": _answering(_titles.lateral("beside")),
    "an alias of a subquery beside an update": _answering(_titles.subquery("inner").alias("beside")),
    "a function's rows beside an update": _answering(
        sa.func.json_each(_titles.scalar_subquery()).table_valued("title").alias("beside")
    ),
    "values that are read": select(
        sa.values(sa.column("id"), name="beside").data([(_titles.scalar_subquery(),)]).c.id.label("id")
    ),
    "an insert from a union": _inserting(_two),
    "an insert from a CTE of a union": _inserting(select(_two_again.c.owner, _two_again.c.key)),
    "an insert of what is only called the owner": _inserting(select(_misnamed.c.user_id, literal("x"))),
    "a change that the feed would miss": select(_unstamped.c.id),
    "what is named by a column alone": select(_by_everybody.cte("changed").c.id),
    "no owner": select(tasks.c.id),
    "another's owner": select(users.c.id, tasks.c.title).where(users.c.id == OWNER),
    "any owner but this": select(tasks.c.id).where(tasks.c.user_id != OWNER),
    "this owner or another condition": select(tasks.c.id).where(or_(MINE, tasks.c.completed)),
    "not this owner": select(tasks.c.id).where(~MINE),
    "an owner that is bound by another name": select(tasks.c.id).where(tasks.c.user_id == bindparam("somebody")),
    "a join": select(users.c.id).select_from(users.join(tasks, tasks.c.id > 0)).where(users.c.id == OWNER),
    "an alias": select(tasks.alias().c.id).where(MINE),
    "a subquery": select(select(tasks.c.id).scalar_subquery().label("id")).where(OWNER.is_not(None)),
    "a union": union_all(select(tasks.c.id).where(MINE), select(tasks.c.id)),
    "a delete in a CTE": select(delete(tasks).returning(tasks.c.id).cte("gone")),
    "an update": update(tasks).where(tasks.c.id == 1).values(title="x").returning(tasks.c.id),
    "an update that gives rows away": update(tasks).where(MINE).values(user_id="mallory").returning(tasks.c.id),
    "an update that reads another table": update(tasks)
    .values(title=answers.c.response)
    .where(MINE)
    .returning(tasks.c.id),
    "a delete that reads another table": delete(tasks)
    .where(MINE, answers.c.key == tasks.c.title)
    .returning(tasks.c.id),
    "a sample of a table": select(tasks.tablesample(100).c.id),
    "a table by its name": select(sa.table("tasks", sa.column("id")).c.id),
    "a conflict that gives rows away": upsert(tasks)
    .values(user_id=OWNER, title="x")
    .on_conflict_do_update(index_elements=["user_id", "id"], set_={"user_id": "mallory"})
    .returning(tasks.c.id),
    "a conflict with another's row": upsert(tasks)
    .values(user_id=OWNER, title="x")
    .on_conflict_do_update(index_elements=["id"], set_={"title": "x"})
    .returning(tasks.c.id),
    "an insert for another": insert(tasks).values(user_id="mallory", title="x").returning(tasks.c.id),
    "an insert for nobody": insert(tasks).values(title="x").returning(tasks.c.id),
    "an insert of several": insert(tasks).values([{"user_id": "mallory"}]).returning(tasks.c.id),
    "an insert from a select": insert(tasks).from_select(["user_id"], select(literal("mallory"))).returning(tasks.c.id),
    "an insert from another's row": insert(tasks)
    .from_select(["user_id"], select(users.c.id).where(users.c.id > OWNER))
    .returning(tasks.c.id),
    "an insert of what is no owner": insert(tasks)
    .from_select(["user_id"], select(tasks.c.title).where(MINE))
    .returning(tasks.c.id),
    "a table without owners": select(Table("plans", MetaData(), Column("id")).c.id),
    "an operator that widens the condition": select(tasks.c.id).where(MINE, tasks.c.title.op("= '' OR true OR")("x")),
    "text": select(text("id FROM tasks")).where(OWNER.is_not(None)),
    "a literal that reads": select(literal_column("(SELECT id FROM tasks LIMIT 1)").label("id")),
}


class Id(NamedTuple):
    id: int


@pytest.mark.parametrize("name", UNSCOPED)
def test_a_statement_without_its_owner_can_t_be_built(name: str) -> None:
    with pytest.raises(UnscopedStatementError, match=r"OWNER|owner|checked|user_id must"):
        Statement(UNSCOPED[name], Id)


def test_a_statement_with_its_owner_can() -> None:
    assert b"%(owner)s" in Statement(select(tasks.c.id).where(MINE, tasks.c.completed), Id).sql


def test_a_list_of_literals_is_refused_before_it_fails() -> None:
    with pytest.raises(TypeError, match="any_"):
        Statement(select(tasks.c.id).where(MINE, tasks.c.title.in_(["x", "y"])), Id)


def test_a_statement_s_columns_are_its_row_s() -> None:
    with pytest.raises(TypeError, match="other columns"):
        Statement(select(tasks.c.title).where(MINE), Id)


@pytest.mark.parametrize("field", TaskFilter.model_fields)
def test_a_filter_filters_wherever_one_is_taken(field: str) -> None:
    filtering = {name: sql for name, statement in STATEMENTS.items() if "%(only_" in (sql := statement.sql.decode())}
    assert {"UPDATE_ALL", "DELETE_ALL", "LIST[created_at]"} <= filtering.keys()
    for name, sql in filtering.items():
        assert f"%(only_{field})s" in sql, (
            f"{name} doesn't know the filter {field}, and would touch all tasks: "
            f'bind "only_{field}" in queries/filters.py, and add its condition to ``matching``.'
        )
