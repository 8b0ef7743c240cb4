"""A database that is away when the service starts: it serves what it can, and heals by itself."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from faults.conftest import Figure
from faults.support.load import create, read
from faults.support.postgres import GUARDED, Postgres
from faults.support.service import serving
from migrations.upgrade import MIGRATION_LOCK
from tests.support.proxy import proxied
from tests.support.service import check_problem, wait_until

Away = AbstractContextManager[tuple[str, Callable[[], object]]]
"""Gives a URL, and what brings the database back."""


@contextmanager
def not_running(postgres: Postgres, name: str) -> Iterator[tuple[str, Callable[[], object]]]:
    postgres.stop()
    with contextlib.ExitStack() as stack:
        stack.callback(postgres.start)
        yield postgres.url(name), stack.close


@contextmanager
def refusing(postgres: Postgres, name: str) -> Iterator[tuple[str, Callable[[], object]]]:
    with proxied(postgres.url(name)) as way:
        way.proxy.refuse = True
        yield way.url, lambda: setattr(way.proxy, "refuse", False)


@contextmanager
def silent(postgres: Postgres, name: str) -> Iterator[tuple[str, Callable[[], object]]]:
    with proxied(postgres.url(name)) as way:
        way.proxy.stall = True
        yield way.url, lambda: setattr(way.proxy, "stall", False)


@contextmanager
def wrong_password(postgres: Postgres, name: str) -> Iterator[tuple[str, Callable[[], object]]]:
    def correct(password: str) -> None:
        with postgres.connect("postgres") as connection:
            connection.execute(f"ALTER ROLE {GUARDED} PASSWORD '{password}'".encode())

    correct("another")
    yield postgres.url(name, f"{GUARDED}:right"), lambda: correct("right")


@contextmanager
def held_up(postgres: Postgres, name: str) -> Iterator[tuple[str, Callable[[], object]]]:
    with postgres.connect(name) as holder:
        holder.execute(f"SELECT pg_advisory_lock({MIGRATION_LOCK})".encode())
        yield postgres.url(name), lambda: holder.execute("SELECT pg_advisory_unlock_all()")


AWAY: dict[str, Callable[[Postgres, str], Away]] = {
    "not running": not_running,
    "closes at once": refusing,
    "accepts and says nothing": silent,
    "the password is wrong": wrong_password,
    "a migration is held up": held_up,
}


@pytest.mark.parametrize("name", AWAY)
def test_a_database_that_is_away_at_start_is_a_503_and_heals(
    postgres: Postgres, database: str, figure: Figure, name: str
) -> None:
    with AWAY[name](postgres, database) as (url, bring_back):
        started = time.monotonic()
        with serving(url) as service:
            figure(f"serves /health after {time.monotonic() - started:.1f} s")
            user = service.user()
            check_problem(user.get(), 503)
            check_problem(user.send("POST", json={"title": "x"}), 503)
            assert service.health("/ready") == 503
            bring_back()
            healing = time.monotonic()
            # On new connections, which either worker may take.
            wait_until(lambda: [service.health("/ready") for _ in range(8)] == [200] * 8)
            figure(f"heals in {time.monotonic() - healing:.1f} s")
            assert (create(user), read(user)) == (201, 200)
