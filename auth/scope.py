"""What binds a SQLModel session to one owner: all that it reads, changes, deletes and adds is theirs."""

from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria
from sqlalchemy.sql import visitors
from sqlmodel import Session

from auth import stamps
from connections import Connection
from db import Database
from models import Owned, Task
from problems import no_account
from sqlstates import NO_ACCOUNT, sqlstate
from statements import OWNER, parts_outside_selects, raw_sql, written_columns

KEPT = {"user_id", "id", "updated_at"}
"""What no UPDATE may write."""


class ForbiddenError(TypeError):
    """The session was asked for something that could touch another owner's rows; the message says what to do."""


class OwnerBoundSession(Session):
    """A SQLModel session for ``owner`` alone."""

    def __init__(self, owner: str, database: Database) -> None:
        # Not expired by a commit: what is read again then, without an await, can't be in asyncio.
        super().__init__(database.engine.sync_engine, expire_on_commit=False, close_resets_only=False)
        self.owner = owner
        self.max_tasks = database.max_tasks
        self.tell = database.written
        self.only_reads = True
        self.is_writing = False

    def run(self, statement: sa.Executable, **values: Any) -> sa.CursorResult[Any]:
        """Run what is made as the statements of ``queries`` are, with its owner in it."""
        try:
            return super().connection().execute(statement, {OWNER.key: self.owner, **values})
        except DBAPIError as error:
            if sqlstate(error) in NO_ACCOUNT:
                raise no_account() from None
            raise

    def driver_connection(self) -> Connection:
        """The connection of its transaction, as the driver has it."""
        connection: Connection = super().connection().connection.driver_connection  # type: ignore[assignment]
        return connection

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise ForbiddenError("Connections and bulk operations know no owner: use exec with entities, add and delete.")

    connection = bulk_save_objects = bulk_insert_mappings = bulk_update_mappings = _refuse


def _entities() -> list[type[Owned]]:
    return [mapper.class_ for mapper in Owned._sa_registry.mappers if issubclass(mapper.class_, Owned)]


@sa.event.listens_for(OwnerBoundSession, "do_orm_execute")
def _bind_statement(state: ORMExecuteState) -> sa.Result[Any] | None:
    session: OwnerBoundSession = state.session  # type: ignore[assignment]
    if session.is_writing:  # what SQLAlchemy asks by itself, with the same criteria
        return None
    if not state.is_orm_statement or state.is_executemany:
        raise ForbiddenError("Use entities, as in select(Task), update(Task) and add(Task(…)): they have an owner.")
    check(state.statement)
    given = {**(state.parameters or {}), **(getattr(state.statement, "_params", None) or {})}  # type: ignore[dict-item]
    kept = KEPT if state.is_update else {"user_id"}
    if any(name in kept or name.startswith("owner") for name in given):
        raise ForbiddenError("The owner, the key and the moment are the session's: name your parameters otherwise.")
    if state.execution_options.get("dml_strategy", "auto") != "auto":
        raise ForbiddenError("Leave dml_strategy as it is: another binds no owner.")
    if not state.is_select and state.bind_mapper is sa.inspect(Task):
        stamps.stamp_statement(session, state)
    elif not state.is_select or getattr(state.statement, "_for_update_arg", None) is not None:
        stamps.take(session)
    owner = session.owner
    for entity in _entities():
        # For Owned itself it can't be said: SQLModel keeps the fields of a class without a table from SQLAlchemy.
        # A function, of which SQLAlchemy makes a bound value of ``owner`` that is not remembered with the statement.
        mine = with_loader_criteria(entity, lambda of: of.user_id == owner, include_aliases=True)
        state.statement = state.statement.options(mine)
    if state.is_select:
        return None
    session.only_reads, session.is_writing = False, True
    try:
        return state.invoke_statement()
    finally:
        session.is_writing = False


@sa.event.listens_for(OwnerBoundSession, "before_attach")
def _check_attached(session: OwnerBoundSession, item: object) -> None:
    # Before it is added, since SQLAlchemy refreshes what is in a session by its key alone.
    identity = sa.inspect(item, raiseerr=True).identity
    if not isinstance(item, Owned) or (identity and identity[0] != session.owner):
        raise ForbiddenError("This belongs to another owner, or to none.")


@sa.event.listens_for(OwnerBoundSession, "before_flush")
def _bind_objects(session: OwnerBoundSession, *_: object) -> None:
    session.only_reads = False
    for item in session.new:
        if not item.user_id:
            item.user_id = session.owner
        if isinstance(item, Task) and item.id is not None:
            raise ForbiddenError("A task gets its id from the server, and never one that another had: leave it out.")
    for item in (*session.new, *session.dirty, *session.deleted):
        if item.user_id != session.owner:
            raise ForbiddenError("This belongs to another owner.")
        known = sa.inspect(item, raiseerr=True)
        if known.identity and known.identity != tuple(known.mapper.primary_key_from_instance(item)):
            raise ForbiddenError("A row keeps its key: add another, and delete this one.")
        if any(
            hasattr(value, "__clause_element__") or isinstance(value, sa.ClauseElement) for value in vars(item).values()
        ):
            raise ForbiddenError(
                "A value can't be an expression, which nothing would bind to the owner: read it first."
            )
    stamps.stamp_objects(session)


@sa.event.listens_for(OwnerBoundSession, "after_commit")
def _tell(session: OwnerBoundSession) -> None:
    if not session.only_reads:
        session.tell(session.owner)


def check(statement: Any) -> None:
    """Refuse what loader criteria don't reach.

    Raises:
        ForbiddenError: the message says what to use instead.
    """
    owned = {sa.inspect(entity).local_table for entity in _entities()}
    for part in visitors.iterate(statement):
        if sql := raw_sql(part):
            raise ForbiddenError(f"{sql} can't be bound to the owner: use entities, as in select(Task).")
        match part:
            case sa.ColumnClause(is_literal=True) if part.name != "*":
                raise ForbiddenError("literal_column() can't be bound to the owner: use entities, as in select(Task).")
            case sa.Update() | sa.Delete() if part is not statement:
                raise ForbiddenError("UPDATE and DELETE can't stand in another statement: run them by themselves.")
            case sa.Insert():
                raise ForbiddenError("insert() can't be bound to the owner: use add(Task(…)).")
            case sa.Select() | sa.Update() | sa.Delete():
                _check_sources(part, owned)


def _check_sources(part: Any, owned: set[Any]) -> None:
    inner = list(parts_outside_selects(part))
    columns = [column for column in inner if isinstance(column, sa.Column)]
    sources: set[Any] = {source for source in inner if isinstance(source, sa.TableClause | sa.Alias | sa.TableSample)}
    # SQLAlchemy marks what comes from an entity by a subclass of its own.
    entities = {source for source in sources if type(source) not in (sa.Table, sa.Alias)}
    of_entities = entities | {column.table for column in columns if type(column) is not sa.Column}
    if any(type(column) is sa.Column and column.table not in entities for column in columns):
        raise ForbiddenError("A table's column can't be bound to the owner: use its entity's, as Task.title.")
    if not sources <= of_entities:
        raise ForbiddenError("A table can't be bound to the owner: use its entity, as in select(Task).")
    if any(_table_of(source) not in owned for source in of_entities):
        raise ForbiddenError("Only entities that are Owned have an owner.")
    # Where SQLAlchemy doesn't see that a SELECT is about entities, it adds nothing to it.
    if of_entities and part._propagate_attrs.get("compile_state_plugin") != "orm":
        raise ForbiddenError("Name the entity of this SELECT: select(…).select_from(Task).")
    writes = isinstance(part, sa.Update | sa.Delete)
    if writes and (part.table not in entities or isinstance(part.table, sa.Alias) or of_entities != {part.table}):
        raise ForbiddenError("UPDATE and DELETE may name one entity: use a subquery for the others.")
    if isinstance(part, sa.Update) and KEPT & written_columns(part).keys():
        raise ForbiddenError("Rows keep their owner and their key, and get the moment of a change by themselves.")


def _table_of(source: Any) -> Any:
    while isinstance(source, sa.Alias):
        source = source.element
    return source
