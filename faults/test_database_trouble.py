"""What a database can say no with: writes are 503, reads go on where they can, and it heals by itself."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from faults.conftest import Figure
from faults.support.load import Load, create, read
from faults.support.postgres import Postgres, terminate_others, writes_raise
from faults.support.service import serving
from tests.support.service import User, check_problem, wait_until

WORDS = {
    "53100": "disk is full",
    "53200": "out of memory",
    "53300": "no connection left",
    "25006": "takes no changes",
    "57014": "too long",
    "55P03": "too long",
    "57P01": "starting or stopping",
    "57P02": "starting or stopping",
    "57P03": "starting or stopping",
    "57P04": "gone",
    "57P05": "can't be reached",
    "58030": "can't use its disk",
    "40001": "other changes",
    "40P01": "other changes",
    "08006": "can't be reached",
}


def healing_time(user: User) -> float:
    """How long it takes until writes work again."""
    started = time.monotonic()
    wait_until(lambda: create(user) == 201, 30)
    return time.monotonic() - started


def check_writes_fail_and_reads_go_on(user: User, words: str) -> None:
    for _ in range(6):  # by both workers
        assert words in check_problem(user.send("POST", json={"title": "refused"}), 503)["detail"]
        assert "refused" not in {task["title"] for task in user.tasks()}


@pytest.mark.quick
def test_whatever_the_database_refuses_writes_with_is_a_503_reads_go_on_and_it_heals(
    postgres: Postgres, database: str, figure: Figure
) -> None:
    longest = 0.0
    with serving(postgres.url(database)) as service, postgres.connect(database) as connection:
        user = service.user()
        create(user)
        for code, words in WORDS.items():
            with writes_raise(connection, code):
                check_writes_fail_and_reads_go_on(user, words)
            longest = max(longest, healing_time(user))
    figure(f"{len(WORDS)} SQLSTATEs, each over within {longest:.2f} s")


@pytest.mark.quick
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_what_the_database_rolled_back_is_run_again_up_to_three_times(
    postgres: Postgres, database: str, figure: Figure, code: str, times: int
) -> None:
    with serving(postgres.url(database)) as service, postgres.connect(database) as connection:
        user = service.user()
        assert create(user) == 201
        with writes_raise(connection, code, times) as tries:
            started = time.monotonic()
            assert create(user) == 201
            figure(f"201 after {(time.monotonic() - started) * 1000:.0f} ms and {times} times rolled back")
            assert tries() == times + 1
        assert len(user.tasks()) == 2


LOCKS = {"reads go on": ("SHARE", {200}), "reads wait, too": ("ACCESS EXCLUSIVE", {503})}


@pytest.mark.quick
@pytest.mark.parametrize("name", LOCKS)
def test_a_locked_table_is_a_503_in_time_and_heals(
    postgres: Postgres, database: str, figure: Figure, name: str
) -> None:
    mode, expected = LOCKS[name]
    with serving(postgres.url(database), database_statement_timeout=0.5) as service:
        user = service.user()
        create(user)
        with postgres.connect(database) as locker, locker.transaction():
            locker.execute(f"LOCK TABLE tasks IN {mode} MODE".encode())
            started = time.monotonic()
            check_problem(user.send("POST", json={"title": "x"}), 503)
            figure(f"a write is refused after {time.monotonic() - started:.1f} s (DATABASE_STATEMENT_TIMEOUT=0.5)")
            assert {read(user) for _ in range(4)} == expected
            assert service.health() == 200
        figure(f"heals in {healing_time(user):.2f} s")


def test_deadlocks_with_somebody_else_cost_no_request(postgres: Postgres, database: str, figure: Figure) -> None:
    with serving(postgres.url(database)) as service, postgres.connect(database) as connection:
        user = service.user()
        ids = [user.create(f"{number}")["id"] for number in range(20)]
        connection.execute(f"ALTER DATABASE {database} SET deadlock_timeout = '50ms'".encode())
        terminate_others(connection)
        rivals = [postgres.connect(database) for _ in range(2)]
        for rival in rivals:
            rival.execute("SET deadlock_timeout = '1h'")  # so that it is the service's statement that gives way

        def complete_all(_client: int) -> int:
            return user.send("PATCH", "?all=true", json={"completed": True}).status_code

        with Load(4, complete_all) as load:
            for number in range(20):
                rival = rivals[number % 2]
                with rival.transaction():
                    for task in reversed(ids):
                        rival.execute("UPDATE tasks SET title = title WHERE user_id = %s AND id = %s", [user.id, task])
            load.wait_for(10)
        for rival in rivals:
            rival.close()
        find = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        wait_until(lambda: connection.execute(find).fetchone() != (0,))
        [(deadlocks,)] = connection.execute(find).fetchall()
        assert set(load.statuses) == {200}, load.statuses
        figure(f"{deadlocks} deadlocks, {load.count(200)} requests, all 200")


@contextmanager
def small_disk(postgres: Postgres, size: str = "24m") -> Iterator[Path]:
    """A disk of its own for a database, which can be filled up."""
    with tempfile.TemporaryDirectory(dir=postgres.folder) as name:
        folder = Path(name)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "faults", folder], check=True)
        try:
            postgres.own(folder)
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    path = folder / "filler"
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(b"\0" * 4096):
            pass
    return path


@pytest.mark.quick
def test_a_full_disk_is_a_503_for_writes_alone_and_heals(postgres: Postgres, figure: Figure) -> None:
    with small_disk(postgres) as disk, postgres.connect("postgres") as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{disk}'".encode())
        with postgres.database("TABLESPACE small") as database, serving(postgres.url(database)) as service:
            user = service.user()
            create(user)
            filler = fill(disk)
            body = [{"title": "x" * 200, "description": "y" * 1000} for _ in range(100)]
            wait_until(lambda: user.send("POST", "/batch", json=body).status_code == 503)
            refusal = check_problem(user.send("POST", "/batch", json=body), 503)
            assert "disk is full" in refusal["detail"]
            assert {read(user) for _ in range(10)} == {200}
            filler.unlink()
            started = time.monotonic()
            wait_until(lambda: user.send("POST", "/batch", json=body).status_code == 201)
            figure(f"a full tmpfs: writes 503, reads 200, heals in {time.monotonic() - started:.2f} s")
        connection.execute("DROP TABLESPACE small")


@pytest.mark.quick
def test_a_database_without_a_free_connection_is_a_503_and_heals(
    postgres: Postgres, database: str, figure: Figure
) -> None:
    postgres.restart("max_connections=8", "superuser_reserved_connections=0")
    others: list[psycopg.Connection] = []
    try:
        with serving(postgres.url(database)) as service:
            user = service.user()
            create(user)
            with suppress(psycopg.OperationalError):
                while True:
                    others.append(postgres.connect(database))
            with Load(16, lambda _number: read(user)) as load:
                wait_until(lambda: load.count(503) > 20 and load.count(200) > 20)
                figure(f"8 of 8 taken: {load.count(200)} reads 200, {load.count(503)} 503")
            assert set(load.statuses) == {200, 503}
            while others:
                others.pop().close()
            figure(f"heals in {healing_time(user):.2f} s")
    finally:
        for other in others:
            other.close()
        postgres.restart()


def turn(postgres: Postgres, database: str, setting: str) -> None:
    """Change a setting of the database, for new connections, which all are then."""
    with postgres.connect(database) as connection:
        connection.execute(f"ALTER DATABASE {database} {setting}".encode())
        terminate_others(connection)


@pytest.mark.quick
def test_a_database_that_becomes_read_only_is_a_503_for_writes_alone(
    postgres: Postgres, database: str, figure: Figure
) -> None:
    with serving(postgres.url(database)) as service:
        user = service.user()
        create(user)
        turn(postgres, database, "SET default_transaction_read_only = on")
        check_writes_fail_and_reads_go_on(user, "takes no changes")
        turn(postgres, database, "RESET default_transaction_read_only")
        figure(f"writes 503, reads 200, heals in {healing_time(user):.2f} s")


def test_a_server_that_ends_idle_sessions_costs_no_request(postgres: Postgres, database: str, figure: Figure) -> None:
    with serving(postgres.url(database)) as service, postgres.connect(database) as observer:
        user = service.user()
        turn(postgres, database, "SET idle_session_timeout = '50ms'")
        for _ in range(20):
            assert create(user) == 201
            wait_until(lambda: connections(observer) == 0)
        figure("20 times ended by idle_session_timeout (57P05), 20 writes, none refused")


def connections(observer: psycopg.Connection) -> int:
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    [(number,)] = observer.execute(f"{others} AND backend_type = 'client backend'".encode()).fetchall()
    return int(number)


@pytest.mark.quick
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_stopped_database_is_a_503_until_it_is_started(
    postgres: Postgres, database: str, figure: Figure, mode: str
) -> None:
    with serving(postgres.url(database)) as service:
        user = service.user()
        create(user)
        postgres.stop(mode)
        try:
            statuses = {create(user) for _ in range(10)} | {read(user) for _ in range(10)}
            assert statuses == {503}
            assert service.health() == 200
            assert service.health("/ready") == 503
        finally:
            postgres.start()
        figure(f"heals in {healing_time(user):.2f} s")
