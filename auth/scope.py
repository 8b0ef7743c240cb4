"""What binds a SQLModel session to one owner: all that it reads, changes, deletes and adds is theirs."""

from collections.abc import Iterator
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria
from sqlalchemy.sql import visitors
from sqlalchemy.sql.selectable import SelectBase, TextualSelect
from sqlmodel import Session

from auth import stamps
from db import Database
from models import Owned, Task
from problems import no_account
from sqlstates import FOREIGN_KEY, INVALID_VALUE, sqlstate
from statements import OWNER, written_columns


class ForbiddenError(PermissionError):
    """The session was asked for something that could touch another owner's rows."""


class OwnerBoundSession(Session):
    """A SQLModel session for ``owner`` alone."""

    def __init__(self, owner: str, database: Database) -> None:
        super().__init__(database.engine.sync_engine)
        self.owner = owner
        self.database = database

    def run(self, statement: sa.Executable, **values: Any) -> sa.CursorResult[Any]:
        """Run what is made as the statements of ``queries`` are, with its owner in it."""
        try:
            return super().connection().execute(statement, {OWNER.key: self.owner, **values})
        except DBAPIError as error:
            if sqlstate(error) in {FOREIGN_KEY, *INVALID_VALUE}:
                raise no_account() from None
            raise

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise ForbiddenError("Connections and bulk operations know no owner: use exec with entities, add and delete.")

    connection = bulk_save_objects = bulk_insert_mappings = bulk_update_mappings = _refuse


@sa.event.listens_for(OwnerBoundSession, "do_orm_execute")
def _bind_statement(state: ORMExecuteState) -> None:
    if not state.is_orm_statement or state.is_executemany:
        raise ForbiddenError("Use entities, as in select(Task), update(Task) and add(Task(…)): they have an owner.")
    check(state.statement)
    if state.is_update and "user_id" in (state.parameters or {}):
        raise ForbiddenError("Rows can't be given to another owner.")
    owner: str = state.session.owner  # type: ignore[attr-defined]
    for entity in Owned.__subclasses__():
        # A function, so that it holds for aliases too; SQLAlchemy makes a bound value of the variable in it.
        mine = with_loader_criteria(entity, lambda of: of.user_id == owner, include_aliases=True)
        state.statement = state.statement.options(mine)
    if state.bind_mapper is sa.inspect(Task):
        stamps.stamp_statement(state)


@sa.event.listens_for(OwnerBoundSession, "before_attach")
def _check_attached(session: OwnerBoundSession, item: object) -> None:
    # Before it is added, since SQLAlchemy refreshes what is in a session by its key alone.
    identity = sa.inspect(item, raiseerr=True).identity
    if not isinstance(item, Owned) or (identity and identity[0] != session.owner):
        raise ForbiddenError("This belongs to another owner, or to none.")


@sa.event.listens_for(OwnerBoundSession, "before_flush")
def _bind_objects(session: OwnerBoundSession, *_: object) -> None:
    for item in session.new:
        if not item.user_id:
            item.user_id = session.owner
    if any(item.user_id != session.owner for item in (*session.new, *session.dirty)):
        raise ForbiddenError("This belongs to another owner.")
    stamps.stamp_objects(session)


@sa.event.listens_for(OwnerBoundSession, "after_commit")
def _tell(session: OwnerBoundSession) -> None:
    session.database.on_write(session.owner)


def check(statement: Any) -> None:
    """Refuse what loader criteria don't reach.

    Raises:
        ForbiddenError: the message says what to use instead.
    """
    for part in visitors.iterate(statement):
        match part:
            case sa.TextClause() | TextualSelect():
                raise ForbiddenError("text() can't be bound to the owner: use entities, as in select(Task).")
            case sa.ColumnClause(is_literal=True) if part.name != "*":
                raise ForbiddenError("literal_column() can't be bound to the owner: use entities, as in select(Task).")
            case sa.Update() | sa.Delete() if part is not statement:
                raise ForbiddenError("UPDATE and DELETE can't stand in another statement: run them by themselves.")
            case sa.Insert():
                raise ForbiddenError("insert() can't be bound to the owner: use add(Task(…)).")
            case sa.Select() | sa.Update() | sa.Delete():
                _check_sources(part)


def _check_sources(part: sa.Select[Any] | sa.Update | sa.Delete) -> None:
    parts = list(_own_parts(part))
    sources: set[Any] = {inner for inner in parts if isinstance(inner, sa.Table | sa.Alias)}
    # SQLAlchemy marks what comes from an entity by a subclass of its own.
    of_entities = {source for source in sources if type(source) not in (sa.Table, sa.Alias)}
    of_entities |= {inner.table for inner in parts if isinstance(inner, sa.Column) and type(inner) is not sa.Column}
    if not sources <= of_entities:
        raise ForbiddenError("A table can't be bound to the owner: use its entity, as in select(Task).")
    if any("user_id" not in source.c for source in of_entities):
        raise ForbiddenError("Only entities that are Owned have an owner.")
    if isinstance(part, sa.Update | sa.Delete) and not of_entities <= {part.table}:
        raise ForbiddenError("UPDATE and DELETE may name one entity: use a subquery for the others.")
    if isinstance(part, sa.Update) and "user_id" in written_columns(part):
        raise ForbiddenError("Rows can't be given to another owner.")


def _own_parts(part: sa.ClauseElement) -> Iterator[sa.ClauseElement]:
    """The parts of a statement that don't belong to a SELECT within it."""
    waiting = list(part.get_children())
    while waiting:
        inner = waiting.pop()
        yield inner
        if not isinstance(inner, SelectBase | sa.Alias):
            waiting += inner.get_children()
