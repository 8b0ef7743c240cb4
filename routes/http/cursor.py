"""Opaque cursors: a position in a list, tied to the sort and filters it was made for."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import queries
from problems import bad_request
from routes.http.opaque import is_id, moment_of, seal, unseal
from routes.http.parameters import ListParameters

# By the kind of a sort's key: whether a text could be one.
COULD_BE: dict[type, Callable[[str], object]] = {
    str: re.compile("[^\0\ud800-\udfff]*").fullmatch,  # what PostgreSQL can hold
    int: re.compile("-?[0-9]{1,18}").fullmatch,  # within 64 bits
    datetime: moment_of,
}


class Position(NamedTuple):
    """The last row of a page: its id, and its sort key where that is not the id."""

    after_id: int | None = None
    after_key: str | None = None


def encode_cursor(given: ListParameters, position: str) -> str:
    """``position`` is the JSON that the list statement returns as ``next``."""
    return seal(position, _belongs_to(given))


def decode_cursor(given: ListParameters) -> Position:
    """Where ``given.cursor`` points, or the list's start where there is none.

    Raises:
        Problem: 400, the cursor is damaged or was made for another sort or filter.
    """
    if given.cursor is None:
        return Position()
    try:
        position = Position(*json.loads(unseal(given.cursor, _belongs_to(given))))
        _check(given.sort, position)
    except (ValueError, TypeError, RecursionError):
        detail = "This cursor is damaged, or belongs to another sort or filter. Start again without it."
        raise bad_request("/query/cursor", detail) from None
    return position


def _belongs_to(given: ListParameters) -> str:
    return given.model_dump_json(exclude={"limit", "cursor", "count"})


def _check(sort: str, position: Position) -> None:
    # The checksum is no secret: what a client could have made up must not reach the database.
    after_id, after_key = position
    if not is_id(after_id):
        raise ValueError
    if sort.removeprefix("-") == "created_at":
        return
    kind = queries.KEYS[sort.removeprefix("-")].kind
    if not isinstance(after_key, str) or not COULD_BE[kind](after_key):
        raise ValueError
