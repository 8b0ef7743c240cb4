"""changes"""

import sqlalchemy as sa
from alembic import op

revision = "5f0c6d2be913"
down_revision = "a16e261fb28a"
branch_labels = None
depends_on = None

# Not before any change there was.
STAMP = """
    UPDATE users SET changed_at = greatest(now(), newest), known_since = greatest(now(), newest), task_count = number
    FROM (SELECT user_id, max(updated_at) AS newest, count(*) AS number FROM tasks GROUP BY user_id) AS counted
    WHERE user_id = users.id
"""


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    # Defaults that are evaluated once: no table is rewritten.
    op.add_column("users", sa.Column("changed_at", moment, server_default=sa.text("now()"), nullable=False))
    op.add_column("users", sa.Column("known_since", moment, server_default=sa.text("now()"), nullable=False))
    op.add_column("users", sa.Column("task_count", sa.BigInteger(), server_default="0", nullable=False))
    # Workers of the version before may still write: not between counting and the end.
    op.execute("LOCK TABLE tasks IN SHARE ROW EXCLUSIVE MODE")
    op.execute(STAMP)
    op.create_table(
        "deletions",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("deleted_at", moment, nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "deleted_at", "id"),
    )
    op.create_index("ix_deletions_deleted_at", "deletions", ["deleted_at"], postgresql_using="brin")


def downgrade() -> None:
    op.drop_table("deletions")
    op.drop_column("users", "task_count")
    op.drop_column("users", "known_since")
    op.drop_column("users", "changed_at")
