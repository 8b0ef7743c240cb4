"""Statements of no owner: only ``Database`` runs these."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    cast,
    column,
    delete,
    func,
    literal_column,
    null,
    select,
    table,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import REGCLASS

from models import ACCOUNT_COLUMN
from queries.parts import answers, bind, deletions, number_of, text_of, users
from queries.writing import Count, expired
from statements import UnownedStatement

READY = UnownedStatement(select(literal_column("1", BigInteger).label("number")), Count)

# A thousand at a time, so that it never holds many locks.
_old = select(answers.c.user_id, answers.c.key).where(expired).limit(1000).with_for_update(skip_locked=True)
_cleared = delete(answers).where(tuple_(answers.c.user_id, answers.c.key).in_(_old)).returning(answers.c.key)
CLEAR_EXPIRED_KEYS = UnownedStatement(number_of(_cleared.cte("cleared")), Count)

# A thousand at a time, too; owners who are writing are left for the next time. What is forgotten raises known_since in
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

_attributes = table("pg_attribute", column("attrelid"), column("attname"), column("atttypid"))
_account_type = func.format_type(_attributes.c.atttypid, null())
# Whether BETTER_AUTH_USER_TABLE's type of id, such as uuid, can't hold ``user_id``. At most one row.
NO_ACCOUNT_ID = UnownedStatement(
    select(func.count().label("number")).where(
        _attributes.c.attrelid == cast(text_of("users"), REGCLASS),
        _attributes.c.attname == text_of(ACCOUNT_COLUMN),
        ~func.pg_input_is_valid(bind("user_id"), _account_type, type_=Boolean),
    ),
    Count,
)
