"""Which tasks: the conditions of lists and of changes to many."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, ColumnElement, and_, any_, func, literal_column, or_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import UTCDateTime

from queries.parts import bind, folded, mine, tasks


def _if_given(value: ColumnElement[Any], condition: ColumnElement[bool]) -> ColumnElement[bool]:
    # Not the bare condition: by a generic plan, PostgreSQL would think that an equality finds next to nothing, and sort
    # all tasks for one page. Of this, it expects half of them.
    return or_(value.is_(None), func.coalesce(condition, literal_column("false")))


# Bound by the fields of ``TaskFilter``, and by ids.
_completed, _q = bind("only_completed", Boolean), bind("only_q")
_ids = bind("only_ids", ARRAY(BigInteger))
_contains = or_(
    func.strpos(folded(tasks.c.title), folded(_q)) > literal_column("0"),
    func.strpos(folded(tasks.c.description), folded(_q)) > literal_column("0"),
)
_filters = [
    (_completed, tasks.c.completed == _completed),
    (_q, _contains),
]
matching = and_(mine, *(_if_given(value, condition) for value, condition in _filters))
unfiltered = and_(*(value.is_(None) for value, _ in _filters))
chosen = and_(matching, _if_given(_ids, tasks.c.id == any_(_ids)))

_tags = bind("if_match", ARRAY(UTCDateTime))
unchanged = _if_given(_tags, tasks.c.updated_at == any_(_tags))
