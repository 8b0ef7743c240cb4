"""Citus: an owner's rows on one node, where the database has the extension"""

import sqlalchemy as sa
from alembic import op

revision = "c1705d2a9e40"
down_revision = "5f0c6d2be913"
branch_labels = None
depends_on = None

DISTRIBUTE = """
SELECT create_distributed_table('users', 'id');
SELECT create_distributed_table('tasks', 'user_id', colocate_with => 'users');
SELECT create_distributed_table('idempotency_keys', 'user_id', colocate_with => 'users');
SELECT create_distributed_table('deletions', 'user_id', colocate_with => 'users');
"""


def upgrade() -> None:
    if op.get_bind().scalar(sa.text("SELECT count(*) FROM pg_extension WHERE extname = 'citus'")):
        for statement in DISTRIBUTE.strip().splitlines():
            op.execute(statement)


def downgrade() -> None:
    """Nothing: what is distributed may stay so."""
