"""Statements of no owner: only ``Database`` runs these."""

from sqlalchemy import BigInteger, delete, func, literal_column, select, tuple_, update

from queries.parts import answers, deletions, number_of, users
from queries.writing import Count, expired
from statements import UnownedStatement

MOST_BYTES_CLEARED = 4 * 1024 * 1024

READY = UnownedStatement(select(literal_column("1", BigInteger).label("number")), Count)

# A few at a time, by number and by bytes, so that it never takes long or holds many locks.
_stored = func.pg_column_size(answers.c.response).label("bytes")
_expired_keys = select(answers.c.user_id, answers.c.key, _stored).where(expired).limit(1000)
_old = _expired_keys.with_for_update(skip_locked=True).cte("old")
_sizes = select(_old, func.sum(_old.c.bytes).over(rows=(None, -1)).label("before")).cte("sizes")
_few = select(_sizes.c.user_id, _sizes.c.key).where(func.coalesce(_sizes.c.before, 0) < MOST_BYTES_CLEARED)
_cleared = delete(answers).where(tuple_(answers.c.user_id, answers.c.key).in_(_few)).returning(answers.c.key)
CLEAR_EXPIRED_KEYS = UnownedStatement(number_of(_cleared.cte("cleared")), Count)

# A thousand at a time; owners who are writing are left for the next time. What is forgotten raises known_since in
# the same statement, so that no feed goes on without it.
_aged = (
    select(deletions.c.user_id, deletions.c.deleted_at, deletions.c.id)
    .where(deletions.c.deleted_at < func.now() - literal_column("interval '30 days'"))
    .limit(1000)
    .cte("aged")
)
_newest = select(_aged.c.user_id, func.max(_aged.c.deleted_at).label("moment")).group_by(_aged.c.user_id).cte("newest")
_taken = (
    select(users.c.id)
    .where(users.c.id.in_(select(_newest.c.user_id)))
    .with_for_update(key_share=True, skip_locked=True)
    .cte("taken")
)
_raised = (
    update(users)
    .where(users.c.id == _newest.c.user_id, users.c.id.in_(select(_taken.c.id)))
    .values(known_since=func.greatest(users.c.known_since, _newest.c.moment))
    .returning(users.c.id)
    .cte("raised")
)
_forgotten = (
    delete(deletions)
    .where(
        deletions.c.user_id.in_(select(_raised.c.id)),
        tuple_(deletions.c.user_id, deletions.c.deleted_at, deletions.c.id).in_(select(_aged)),
    )
    .returning(deletions.c.id)
)
FORGET_DELETIONS = UnownedStatement(number_of(_forgotten.cte("forgotten")), Count)
