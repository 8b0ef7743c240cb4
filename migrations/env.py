"""Run by Alembic with the connection that ``upgrade.alembic_config`` gives it."""

from typing import Any, Literal

from alembic import context
from sqlmodel import AutoString, SQLModel, UTCDateTime

from models import ACCOUNT_COLUMN


def own(name: str | None, kind: str, _parents: Any) -> bool:
    """Autogenerate leaves Better Auth's tables alone, and the reference to them."""
    if kind in {"column", "index", "foreign_key_constraint"}:
        return name is None or ACCOUNT_COLUMN not in name
    return kind != "table" or name in SQLModel.metadata.tables


def plain_type(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write SQLModel's own types as SQLAlchemy's, so that old migrations don't depend on SQLModel."""
    if kind == "type" and isinstance(item, AutoString):
        return "sa.String()"
    if kind == "type" and isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    include_name=own,
    render_item=plain_type,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
