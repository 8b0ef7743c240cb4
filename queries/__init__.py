"""Every SQL statement of the service, built once, each bound to one owner.

A statement returns the response body as text: PostgreSQL writes the JSON of exactly the columns of
``TaskPublic``. Values are bound by name; ``owner`` is bound by ``OwnerSession.fetch`` alone.
"""

from queries.feed import CHANGES, SNAPSHOT, VERSIONS, Changes, Versions
from queries.housekeeping import CLEAR_EXPIRED_KEYS, FORGET_DELETIONS, MOST_BYTES_CLEARED, READY
from queries.parts import answers, deletions, tasks, users
from queries.reading import GET, KEYS, LIST, Found, Page, Sort
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
    Count,
    Created,
    CreatedOnce,
    Deleted,
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
    "MOST_BYTES_CLEARED",
    "READY",
    "SNAPSHOT",
    "UPDATE",
    "UPDATE_ALL",
    "VERSIONS",
    "Changed",
    "Changes",
    "Count",
    "Created",
    "CreatedOnce",
    "Deleted",
    "Found",
    "Page",
    "Sort",
    "Versions",
    "answers",
    "deletions",
    "tasks",
    "users",
]
