"""Opaque cursors: a position in a list, tied by a checksum to the sort and filters it was made for."""

import base64
import binascii
import hashlib
import json
import re
from datetime import datetime
from typing import NamedTuple

from problems import bad_request
from routes.http.parameters import ListParameters

CHECKSUM_BYTES = 8
STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")  # as queries._time has it


class Position(NamedTuple):
    """The last row of a page: its id, and its sort key where that is not the id."""

    after_id: int | None = None
    after_key: str | None = None


def encode_cursor(given: ListParameters, position: str) -> str:
    """``position`` is the JSON that the list statement returns as ``next``."""
    payload = position.encode()
    return base64.urlsafe_b64encode(_checksum(given, payload) + payload).decode().rstrip("=")


def decode_cursor(given: ListParameters) -> Position:
    """Where ``given.cursor`` points, or the list's start where there is none.

    Raises:
        Problem: 400, the cursor is damaged or was made for another sort or filter.
    """
    if (cursor := given.cursor) is None:
        return Position()
    try:
        decoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        checksum, payload = decoded[:CHECKSUM_BYTES], decoded[CHECKSUM_BYTES:]
        if checksum != _checksum(given, payload) or encode_cursor(given, payload.decode()) != cursor:
            raise ValueError
        position = Position(*json.loads(payload))
        _check(given.sort, position)
    except (ValueError, TypeError, RecursionError, binascii.Error):
        detail = "This cursor is damaged, or belongs to another sort or filter. Start again without it."
        raise bad_request("/query/cursor", detail) from None
    return position


def _checksum(given: ListParameters, payload: bytes) -> bytes:
    belongs_to = given.model_dump_json(exclude={"limit", "cursor", "count"})
    return hashlib.sha256(belongs_to.encode() + payload).digest()[:CHECKSUM_BYTES]


def _check(sort: str, position: Position) -> None:
    # The checksum is no secret: what a client could have made up must not reach the database.
    after_id, after_key = position
    if type(after_id) is not int or not 0 < after_id < 2**63:
        raise ValueError
    if sort.removeprefix("-") == "created_at":
        return
    if not isinstance(after_key, str) or "\0" in after_key:
        raise ValueError
    after_key.encode()
    if sort.removeprefix("-") == "updated_at":
        if not STAMP.fullmatch(after_key):
            raise ValueError
        datetime.fromisoformat(after_key)  # refuses what no calendar has
