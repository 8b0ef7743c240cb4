"""What a failed statement means: to be run again, to be told as a 503, or a mistake of ours.

The five letters are SQLSTATE codes (PostgreSQL documentation, appendix A).
"""

import psycopg

from problems import Problem, Unavailable

UNAVAILABLE = {
    "57014": "The database took too long to answer.",  # cancelled by our own time limit, or by the server's
    "55P03": "The database took too long to answer.",  # lock_timeout, where the server has one
    "25006": "The database takes no changes at the moment.",  # a standby, as during a failover
    # A transaction pooler gave the connection to another client meanwhile.
    "26000": "The database needs DATABASE_PREPARE=false.",
    "42P05": "The database needs DATABASE_PREPARE=false.",
}
# The server rolled the statement back and says so: admin shutdown, deadlock, serialization failure.
ROLLED_BACK = {"57P01", "40P01", "40001"}
FOREIGN_KEY = "23503"
# A value that its column's type can't hold.
INVALID_VALUE = {"22P02", "22003"}


def problem_of(error: psycopg.Error) -> Problem | None:
    """What to tell the client; None where the statement itself is at fault."""
    state = error.sqlstate or ""
    if detail := UNAVAILABLE.get(state):
        return Unavailable(detail)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Unavailable("The database can't be reached.")
    return None


def first_line(error: BaseException) -> str:
    """What the driver or the server says, without the statement or a row."""
    reason = getattr(error, "orig", error)
    return (str(reason) or type(reason).__name__).splitlines()[0]


def sqlstate(error: BaseException) -> str | None:
    """The code of psycopg's error, also where SQLAlchemy has wrapped it."""
    return getattr(getattr(error, "orig", error), "sqlstate", None)
