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
)
from sqlalchemy.dialects.postgresql import REGCLASS

from models import ACCOUNT_COLUMN
from queries.parts import answers, bind, number_of, text_of
from queries.writing import Count, expired
from statements import UnownedStatement

READY = UnownedStatement(select(literal_column("1", BigInteger).label("number")), Count)

# A thousand at a time, so that it never holds many locks.
_old = select(answers.c.user_id, answers.c.key).where(expired).limit(1000).with_for_update(skip_locked=True)
_cleared = delete(answers).where(tuple_(answers.c.user_id, answers.c.key).in_(_old)).returning(answers.c.key)
CLEAR_EXPIRED_KEYS = UnownedStatement(number_of(_cleared.cte("cleared")), Count)

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
