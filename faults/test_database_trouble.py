"""What a database can say no with: writes are 503, reads go on where they can, and it heals by itself."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from faults.conftest import Figure, World
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
    "40001": "in the way",
    "40P01": "in the way",
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
    world: World, user: User, figure: Figure
) -> None:
    longest = 0.0
    with world.postgres.connect(world.database) as connection:
        for code, words in WORDS.items():
            with writes_raise(connection, code):
                check_writes_fail_and_reads_go_on(user, words)
            longest = max(longest, healing_time(user))
    figure(f"{len(WORDS)} SQLSTATEs, each over within {longest:.2f} s")


@pytest.mark.quick
@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_what_the_database_rolled_back_is_run_again_up_to_three_times(
    world: World, user: User, figure: Figure, code: str
) -> None:
    for times in (1, 2, 3):
        with world.postgres.connect(world.database) as connection, writes_raise(connection, code, times) as tries:
            started = time.monotonic()
            assert create(user) == 201
            figure(f"rolled back {times} times: 201 after {(time.monotonic() - started) * 1000:.0f} ms")
            assert tries() == times + 1
    assert len(user.tasks()) == 1 + 3


LOCKS = {"reads go on": ("SHARE", {200}), "reads wait, too": ("ACCESS EXCLUSIVE", {503})}


@pytest.mark.quick
@pytest.mark.parametrize("name", LOCKS)
def test_a_locked_table_is_a_503_in_time_and_heals(world: World, user: User, figure: Figure, name: str) -> None:
    mode, expected = LOCKS[name]
    with world.postgres.connect(world.database) as locker, locker.transaction():
        locker.execute(f"LOCK TABLE tasks IN {mode} MODE".encode())
        started = time.monotonic()
        check_problem(user.send("POST", json={"title": "x"}), 503)
        figure(f"a write is refused after {time.monotonic() - started:.1f} s (DATABASE_STATEMENT_TIMEOUT=2)")
        assert {read(user) for _ in range(2)} == expected
        assert world.service.health() == 200
    figure(f"heals in {healing_time(user):.2f} s")


def test_deadlocks_with_somebody_else_cost_no_request(world: World, figure: Figure) -> None:
    users = [world.service.user() for _ in range(4)]
    for user in users:
        assert user.send("POST", "/batch", json=[{"title": "x"}] * 20).status_code == 201
    tasks = [[(user.id, task["id"]) for task in user.tasks()] for user in users]
    turn(world, "SET deadlock_timeout = '20ms'")

    def complete_all(client: int) -> int:
        return users[client].send("PATCH", "?all=true", json={"completed": True}).status_code

    touch = "UPDATE tasks SET title = title WHERE user_id = %s AND id = %s"
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    with world.postgres.connect(world.database) as rival, world.postgres.connect("postgres") as observer:
        rival.execute("SET deadlock_timeout = '1h'")  # so that it is the service's statement that gives way
        with Load(len(users), complete_all) as load:
            for number in range(20):
                first, *_, last = tasks[number % len(users)]
                with rival.transaction():
                    rival.execute(touch, last)
                    wait_until(lambda: observer.execute(waiting, [world.database]).fetchone())
                    rival.execute(touch, first)
            load.wait_for(10)
        turn(world, "RESET deadlock_timeout")  # which ends the connections, so that they say what they counted
        find = "SELECT deadlocks FROM pg_stat_database WHERE datname = %s"
        [(deadlocks,)] = observer.execute(find, [world.database]).fetchall()
    assert deadlocks > 0
    assert set(load.statuses) == {200}, world.service.last_warnings
    figure(f"{deadlocks} deadlocks, {load.count(200)} requests, all 200")


@contextmanager
def small_disk(postgres: Postgres, size: str = "24m") -> Iterator[Path]:
    """A disk of its own for a database, which can be filled up. Only root may have one."""
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
def test_a_full_disk_is_a_503_for_writes_alone_and_heals(
    postgres: Postgres, world: World, user: User, figure: Figure
) -> None:
    with ExitStack() as stack, postgres.connect("postgres") as connection:
        try:
            disk = stack.enter_context(small_disk(postgres))
        except (OSError, subprocess.CalledProcessError):  # the second best, and the figure says so
            with world.postgres.connect(world.database) as staging, writes_raise(staging, "53100"):
                check_writes_fail_and_reads_go_on(user, "disk is full")
            figure(f"staged by a trigger, since nothing can be mounted here: heals in {healing_time(user):.2f} s")
            return
        connection.execute(f"CREATE TABLESPACE small LOCATION '{disk}'".encode())
        with postgres.database("TABLESPACE small") as database, serving(postgres.url(database)) as service:
            check_full_disk(service.user(), disk, figure)
        connection.execute("DROP TABLESPACE small")


def check_full_disk(user: User, disk: Path, figure: Figure) -> None:
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


@pytest.mark.quick
def test_a_database_without_a_free_connection_is_a_503_and_heals(world: World, user: User, figure: Figure) -> None:
    world.postgres.restart("max_connections=8", "superuser_reserved_connections=0")
    others: list[psycopg.Connection] = []
    try:
        assert read(user) == 200
        with suppress(psycopg.OperationalError):
            while True:
                others.append(world.postgres.connect(world.database))
        with Load(16, lambda _number: read(user)) as load:
            wait_until(lambda: load.count(503) > 20 and load.count(200) > 20)
        assert set(load.statuses) == {200, 503}
        figure(f"max_connections=8, all taken: {load.count(200)} reads 200 on kept connections, {load.count(503)} 503")
    finally:
        for other in others:
            other.close()
        figure(f"heals in {healing_time(user):.2f} s")
        world.postgres.restart()


def turn(world: World, setting: str) -> None:
    """Change a setting of the database, for new connections, which all are then."""
    with world.postgres.connect("postgres") as connection:
        connection.execute(f"ALTER DATABASE {world.database} {setting}".encode())
    with world.postgres.connect(world.database) as connection:
        terminate_others(connection)


@pytest.mark.quick
def test_a_database_that_becomes_read_only_is_a_503_for_writes_alone(world: World, user: User, figure: Figure) -> None:
    turn(world, "SET default_transaction_read_only = on")
    check_writes_fail_and_reads_go_on(user, "takes no changes")
    turn(world, "RESET default_transaction_read_only")
    figure(f"writes 503, reads 200, heals in {healing_time(user):.2f} s")


def test_a_server_that_ends_idle_sessions_costs_no_request(world: World, user: User, figure: Figure) -> None:
    turn(world, "SET idle_session_timeout = '50ms'")
    with world.postgres.connect("postgres") as observer:
        for _ in range(20):
            assert create(user) == 201
            wait_until(lambda: connections(observer, world.database) == 0)
    turn(world, "RESET idle_session_timeout")
    figure("20 times ended by idle_session_timeout (57P05), 20 writes, none refused")


def connections(observer: psycopg.Connection, database: str) -> int:
    found = observer.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [database])
    [(number,)] = found.fetchall()
    return int(number)


@pytest.mark.quick
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_stopped_database_is_a_503_until_it_is_started(world: World, user: User, figure: Figure, mode: str) -> None:
    world.postgres.stop(mode)
    try:
        statuses = {create(user) for _ in range(10)} | {read(user) for _ in range(10)}
        assert statuses == {503}
        assert world.service.health() == 200
        assert world.service.health("/ready") == 503
    finally:
        world.postgres.start()
    figure(f"heals in {healing_time(user):.2f} s")
