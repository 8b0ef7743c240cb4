"""Every SQL statement of the service, built once, each bound to one owner.

A statement returns the response body as text: PostgreSQL writes the JSON of exactly the columns of
``TaskPublic``. Values are bound by name; ``owner`` is bound by ``OwnerSession.fetch`` alone.
"""

from queries.housekeeping import CLEAR_EXPIRED_KEYS, NO_ACCOUNT_ID, READY
from queries.parts import answers, deletions, tasks, users
from queries.reading import GET, LIST, Found, Page, Sort
from queries.writing import (
    COMPLETE,
    CREATE,
    CREATE_ONCE,
    DELETE,
    DELETE_ALL,
    UPDATE,
    UPDATE_ALL,
    Changed,
    Count,
    Created,
    CreatedOnce,
    Deleted,
)

__all__ = [
    "CLEAR_EXPIRED_KEYS",
    "COMPLETE",
    "CREATE",
    "CREATE_ONCE",
    "DELETE",
    "DELETE_ALL",
    "GET",
    "LIST",
    "NO_ACCOUNT_ID",
    "READY",
    "UPDATE",
    "UPDATE_ALL",
    "Changed",
    "Count",
    "Created",
    "CreatedOnce",
    "Deleted",
    "Found",
    "Page",
    "Sort",
    "answers",
    "deletions",
    "tasks",
    "users",
]
