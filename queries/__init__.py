"""Every SQL statement of the service, built once, each bound to one owner.

A statement returns the response body as text: PostgreSQL writes the JSON of exactly the columns of
``TaskPublic``. Values are bound by name; ``owner`` is bound by ``OwnerSession.fetch`` alone.
"""

from queries.feed import CHANGES, SNAPSHOT, VERSIONS
from queries.housekeeping import CLEAR_EXPIRED_KEYS, FORGET_DELETIONS, READY
from queries.parts import answers, tasks, users
from queries.reading import GET, KEYS, LIST, Sort
from queries.writing import (
    COMPLETE,
    CREATE,
    CREATE_ONCE,
    DELETE,
    DELETE_ALL,
    JOIN,
    UPDATE,
    UPDATE_ALL,
    Changed,
)

__all__ = [
    "CHANGES",
    "CLEAR_EXPIRED_KEYS",
    "COMPLETE",
    "CREATE",
    "CREATE_ONCE",
    "DELETE",
    "DELETE_ALL",
    "FORGET_DELETIONS",
    "GET",
    "JOIN",
    "KEYS",
    "LIST",
    "READY",
    "SNAPSHOT",
    "UPDATE",
    "UPDATE_ALL",
    "VERSIONS",
    "Changed",
    "Sort",
    "answers",
    "tasks",
    "users",
]
