"""The tokens of ``/changes``: how far a client is, sealed for its owner."""

import json
from typing import Any, NamedTuple

from problems import bad_request
from routes.http.opaque import is_id, moment_of, seal, unseal
from schemas import LARGEST_ID

LONGEST = 512


class Place(NamedTuple):
    """A client has all changes up to ``since`` (None: there was none), and those of that moment up to ``after_id``.

    In a ``snapshot``, it has the tasks up to ``after_id``, and what has changed after ``since`` it may have or not.
    """

    since: str | None
    after_id: int
    snapshot: bool


START = Place(None, 0, snapshot=True)


def encode_token(place: Place, owner: str) -> str:
    return seal(json.dumps(place, separators=(",", ":")), belongs_to(owner))


def decode_token(token: str | None, owner: str, pointer: str) -> Place:
    """Where ``token`` points, or the start where there is none.

    Raises:
        Problem: 400, the token is damaged or another's.
    """
    if token is None:
        return START
    try:
        if len(token) > LONGEST:
            raise ValueError
        place = _checked(*json.loads(unseal(token, belongs_to(owner))))
    except (ValueError, TypeError, RecursionError):
        raise bad_request(pointer, "This token is damaged, or another's. Start again without it.") from None
    return place


def belongs_to(owner: str) -> str:
    return json.dumps(["changes", owner])


def _checked(since: Any, after_id: Any, snapshot: Any) -> Place:
    # The checksum is no secret: what a client could have made up must not reach the database.
    nothing = since is None and after_id == LARGEST_ID and snapshot is False
    if not is_id(after_id) or type(snapshot) is not bool or not (nothing or moment_of(since)):
        raise ValueError
    return Place(since, after_id, snapshot)
