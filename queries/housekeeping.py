"""Statements of no owner: only ``Database`` runs these."""

from sqlalchemy import BigInteger, delete, func, literal_column, select, tuple_, update

from queries.parts import Query, answers, deletions, number_of, users
from queries.writing import Count, expired
from statements import UnownedStatement

MOST_BYTES_CLEARED = 4 * 1024 * 1024

READY = UnownedStatement(select(literal_column("1", BigInteger).label("number")), Count)

# A few at a time, by number and by bytes, so that it never takes long or holds many locks. A key that is taken again
# meanwhile is no longer expired.
_stored = func.pg_column_size(answers.c.response).label("bytes")
_old = select(answers.c.user_id, answers.c.key, _stored).where(expired).limit(1000).cte("old")
_sizes = select(_old, func.sum(_old.c.bytes).over(rows=(None, -1)).label("before")).cte("sizes")
_small = func.coalesce(_sizes.c.before, 0) < MOST_BYTES_CLEARED
_few = select(_sizes.c.user_id, _sizes.c.key).where(_small).cte("few")
_cleared = delete(answers).where(expired, answers.c.user_id == _few.c.user_id, answers.c.key == _few.c.key)
CLEAR_EXPIRED_KEYS = UnownedStatement(number_of(_cleared.returning(answers.c.key).cte("cleared")), Count)


def _forget_deletions(*, on_citus: bool = False) -> Query:
    """A thousand at a time; owners who are writing are left for the next time, except on Citus, which can't lock across
    its nodes. What is forgotten raises known_since in the same statement, so that no feed goes on without it.
    """
    aged = (
        select(deletions.c.user_id, deletions.c.deleted_at, deletions.c.id)
        .where(deletions.c.deleted_at < func.now() - literal_column("interval '30 days'"))
        .limit(1000)
        .cte("aged")
    )
    newest = select(aged.c.user_id, func.max(aged.c.deleted_at).label("moment")).group_by(aged.c.user_id).cte("newest")
    owners = select(users.c.id).where(users.c.id.in_(select(newest.c.user_id)))
    if not on_citus:
        owners = owners.with_for_update(key_share=True, skip_locked=True)
    raised = (
        update(users)
        .where(users.c.id == newest.c.user_id, users.c.id.in_(select(owners.cte("taken").c.id)))
        .values(known_since=func.greatest(users.c.known_since, newest.c.moment))
        .returning(users.c.id)
        .cte("raised")
    )
    forgotten = (
        delete(deletions)
        .where(
            deletions.c.user_id.in_(select(raised.c.id)),
            tuple_(deletions.c.user_id, deletions.c.deleted_at, deletions.c.id).in_(select(aged)),
        )
        .returning(deletions.c.id)
    )
    return number_of(forgotten.cte("forgotten"))


FORGET_DELETIONS = UnownedStatement(_forget_deletions(), Count, on_citus=_forget_deletions(on_citus=True))
