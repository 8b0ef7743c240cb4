"""The tables. A change here needs a migration: ``make migration m="what changes"``."""

from datetime import datetime

from sqlalchemy import BigInteger, Identity, Index, func
from sqlmodel import Field, SQLModel

# With BETTER_AUTH_USER_TABLE, ``users`` has this column too, which references the account.
ACCOUNT_COLUMN = "account_id"


class User(SQLModel, table=True):
    """An owner of tasks. The row is made with their first task; ``id`` is Better Auth's user id."""

    __tablename__ = "users"

    id: str = Field(primary_key=True)
    # Of the newest change to their tasks: every writer takes this row first (see queries/stamps.py). Who changes
    # tasks by hand has to write it, too, and an updated_at of the same moment.
    changed_at: datetime = Field(sa_column_kwargs={"server_default": func.now()})
    # Later deletions are all known, earlier ones may be forgotten. Made later than changed_at and all tokens of the
    # feed are void, as they must be after a restore.
    known_since: datetime = Field(sa_column_kwargs={"server_default": func.now()})
    task_count: int = Field(sa_type=BigInteger, sa_column_kwargs={"server_default": "0"})


class Owned(SQLModel):
    """What belongs to an owner. The primary key starts with them, so one index serves lookup, list and page."""

    user_id: str = Field(primary_key=True, foreign_key="users.id", ondelete="CASCADE")


class Task(Owned, table=True):
    """A task."""

    __tablename__ = "tasks"

    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_args=[Identity()])
    title: str
    description: str | None
    completed: bool = Field(sa_column_kwargs={"server_default": "false"})
    created_at: datetime = Field(sa_column_kwargs={"server_default": func.now()})
    updated_at: datetime = Field(sa_column_kwargs={"server_default": func.now()})


class IdempotencyKey(Owned, table=True):
    """The first answer to a request that carried an ``Idempotency-Key``."""

    __tablename__ = "idempotency_keys"

    key: str = Field(primary_key=True)
    fingerprint: str
    response: str
    created_at: datetime = Field(index=True, sa_column_kwargs={"server_default": func.now()})


class Deletion(Owned, table=True):
    """That a task was deleted, and when: nothing else of it is kept, and this for 30 days."""

    __tablename__ = "deletions"
    # They come in the order of time, so the smallest of indexes finds the old ones of all owners.
    __table_args__ = (Index("ix_deletions_deleted_at", "deleted_at", postgresql_using="brin"),)

    deleted_at: datetime = Field(primary_key=True)
    id: int = Field(primary_key=True, sa_type=BigInteger)
