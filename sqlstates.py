"""What an error of the database means: to be run again, to be told as a 503, or a mistake of ours.

The codes are SQLSTATE (PostgreSQL documentation, appendix A). A connection that can't be opened has none, only
libpq's words: those that are recognised are told in ours, which name no host, user or database.
"""

import psycopg

from problems import Unavailable

# The server rolled the statement back and says so: admin shutdown, deadlock, serialization failure, the NULL by which
# CREATE_ONCE undoes itself where its key was just being taken, and an error within it, which is what Citus calls a
# connection between its nodes that has died.
ROLLED_BACK = {"57P01", "40P01", "40001", "23502", "XX000"}
# What making an owner's row fails with where BETTER_AUTH_USER_TABLE has no account for it, or can't have one: the
# reference finds nothing, or the id is no value of the account's type.
NO_ACCOUNT = {"23503", "22P02", "22003"}

TOO_LONG = "The database took too long to answer."
IN_THE_WAY = "Other requests were in the way of this one."
OUT_OF_REACH = "The database can't be reached."
FULL = "The database has no connection left for this service."
STARTING = "The database is starting or stopping."
UNAVAILABLE = {
    # Also when it was run again.
    "40001": IN_THE_WAY,
    "40P01": IN_THE_WAY,
    "57014": TOO_LONG,  # cancelled by our own time limit, or by the server's
    "55P03": TOO_LONG,  # lock_timeout, where the server has one
    "25006": "The database takes no changes at the moment.",  # a standby, as during a failover
    # A transaction pooler gave the connection to another client meanwhile.
    "26000": "The database needs DATABASE_PREPARE=false.",
    "42P05": "The database needs DATABASE_PREPARE=false.",
    "53100": "The database's disk is full.",
    "53200": "The database is out of memory.",
    "53300": FULL,
    "57P01": STARTING,
    "57P02": STARTING,
    "57P03": STARTING,
    "57P04": "The database is gone.",
    "58030": "The database can't use its disk.",
}
REFUSED = {
    "password authentication failed": "The database refuses the password.",
    "no password supplied": "The database asks for a password.",
    "no pg_hba.conf entry": "The database refuses this user, or a connection without TLS.",
    "does not support SSL": "The database offers no TLS, which DATABASE_URL asks for.",
    "certificate": "The database's certificate is not trusted.",
    "does not exist": "There is no such database or user.",
    "too many connections": FULL,
    "too many clients": FULL,
    "remaining connection slots": FULL,
    "is starting up": STARTING,
    "is shutting down": STARTING,
    "in recovery mode": STARTING,
    "resolve host": "The database's host has no address.",
    "name or service not known": "The database's host has no address.",
    "Connection refused": "The database's port is closed.",
    "timeout": "The database's host does not answer.",
    "no such file": "The database's socket is not there.",
}


def problem_of(error: BaseException | None) -> Unavailable | None:
    """What to tell the client; None where the statement itself is at fault."""
    error = getattr(error, "orig", error)  # SQLAlchemy's is about one of psycopg's
    if not isinstance(error, psycopg.Error):
        return None
    if error.sqlstate:
        detail = UNAVAILABLE.get(error.sqlstate)
        if detail is None and error.sqlstate[:2] in {"08", "53", "57", "58", "XX"}:
            detail = OUT_OF_REACH
        return Unavailable(detail) if detail else None
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return None
    words = str(error).lower()
    return Unavailable(next((told for said, told in REFUSED.items() if said.lower() in words), OUT_OF_REACH))


def first_line(error: BaseException) -> str:
    """What the driver or the server says, without the statement or a row."""
    reason = getattr(error, "orig", error)
    return (str(reason) or type(reason).__name__).splitlines()[0]


def sqlstate(error: BaseException) -> str | None:
    """The code of psycopg's error, also where SQLAlchemy has wrapped it."""
    return getattr(getattr(error, "orig", error), "sqlstate", None)
