"""The tables. A change here needs a migration: ``make migration m="what changes"``."""

from datetime import datetime

from sqlalchemy import BigInteger, Identity, func
from sqlmodel import Field, SQLModel


class User(SQLModel, table=True):
    """An owner of tasks. The row is made with their first task; ``id`` is Better Auth's user id."""

    __tablename__ = "users"

    id: str = Field(primary_key=True)


class Task(SQLModel, table=True):
    """A task. The primary key starts with the owner, so one index serves lookup, list and page."""

    __tablename__ = "tasks"

    user_id: str = Field(primary_key=True, foreign_key="users.id", ondelete="CASCADE")
    id: int = Field(primary_key=True, sa_type=BigInteger, sa_column_args=[Identity()])
    title: str
    description: str | None
    completed: bool = Field(sa_column_kwargs={"server_default": "false"})
    created_at: datetime = Field(sa_column_kwargs={"server_default": func.now()})
    updated_at: datetime = Field(sa_column_kwargs={"server_default": func.now()})


class IdempotencyKey(SQLModel, table=True):
    """The first answer to a request that carried an ``Idempotency-Key``."""

    __tablename__ = "idempotency_keys"

    user_id: str = Field(primary_key=True, foreign_key="users.id", ondelete="CASCADE")
    key: str = Field(primary_key=True)
    fingerprint: str
    response: str
    created_at: datetime = Field(index=True, sa_column_kwargs={"server_default": func.now()})
