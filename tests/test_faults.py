"""When the database, the network or a client fails: what is answered, and that nothing is lost."""

import contextlib
import logging
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import psycopg
import pytest

from tests.support.proxy import RunningProxy
from tests.support.service import User, check_problem, data_folder, running, wait_until


def terminate_others(connection: psycopg.Connection) -> None:
    """End all other connections to the same database, as the server's shutdown would."""
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
    )


def test_a_killed_embedded_server_is_started_again_for_the_next_request() -> None:
    with data_folder() as folder, running(data_dir=folder / ".data") as client:
        user = User(client)
        task = user.create()
        pid_file = folder / ".data" / "postgres" / "cluster" / "postmaster.pid"
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)
        wait_until(lambda: user.get().status_code == 200)
        assert user.tasks() == [task]


def test_a_version_that_was_rolled_back_works_on_the_newer_schema(empty_database: str) -> None:
    with running(empty_database):
        pass
    with psycopg.connect(empty_database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from the future'")
    with running(empty_database) as client:
        assert User(client).create()["id"]


def test_a_database_that_takes_no_changes_is_503_for_them_alone(empty_database: str) -> None:
    with running(empty_database) as client:
        user = User(client)
        task = user.create()
        with psycopg.connect(empty_database, autocommit=True) as connection:
            database = connection.info.dbname
            connection.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on".encode())
            terminate_others(connection)
        check_problem(user.send("POST", json={"title": "x"}), 503)
        assert user.tasks() == [task]


def test_a_client_that_leaves_in_the_middle_is_no_error(
    client: httpx2.Client, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    user = User(client)
    head = f"POST {user.path} HTTP/1.1\r\nHost: x\r\nAuthorization: {user.headers['Authorization']}\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as connection:
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
    wait_until(lambda: "POST /api/{user_id}/tasks 499" in capsys.readouterr().err)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_database_that_is_away_at_start_is_waited_for(wire: RunningProxy) -> None:
    wire.proxy.refuse = True
    with running(wire.url) as client:
        user = User(client)
        assert client.get("/health").status_code == 200
        assert "database" in check_problem(client.get("/health/ready"), 503)["detail"]
        check_problem(user.get(), 503)
        check_problem(client.get(user.path), 401)

        wire.proxy.refuse = False

        wait_until(lambda: client.get("/health/ready").status_code == 200)
        assert user.create()["id"]


def test_a_database_that_goes_away_is_a_503_until_it_is_back(wire: RunningProxy) -> None:
    with running(wire.url) as client:
        user = User(client)
        task = user.create()
        wire.proxy.refuse = True
        wire.cut()
        wait_until(lambda: user.get().status_code == 503)
        check_problem(user.get(), 503)
        check_problem(user.send("POST", json={"title": "x"}), 503)
        assert client.get("/health").status_code == 200

        wire.proxy.refuse = False

        assert user.tasks() == [task]


def test_a_connection_that_was_lost_before_the_first_request_costs_none(wire: RunningProxy) -> None:
    with running(wire.url) as client:
        user = User(client)
        for _ in range(3):
            wire.cut()
            assert user.get().status_code == 200


def test_a_deadlock_is_no_error(plain_database: str) -> None:
    with running(plain_database) as client:
        user = User(client)
        first, second = user.create("first"), user.create("second")
        with psycopg.connect(plain_database) as rival, ThreadPoolExecutor() as threads:
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege), rival.transaction():
                rival.execute("SET deadlock_timeout = '1h'")  # so that it is the service's statement that gives way
            rival.execute("UPDATE tasks SET title = 'rival' WHERE user_id = %s AND id = %s", [user.id, second["id"]])
            bulk = threads.submit(user.send, "PATCH", "?all=true", json={"completed": True})
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%only_ids%%' OR "
            waiting += "wait_event = 'transactionid' AND query LIKE 'WITH stamp%%'"
            with psycopg.connect(plain_database, autocommit=True) as observer:
                wait_until(lambda: observer.execute(waiting).fetchone())
            rival.execute("UPDATE tasks SET title = 'rival' WHERE user_id = %s AND id = %s", [user.id, first["id"]])
            rival.commit()
            assert bulk.result().json() == {"updated": 2}
        assert {(task["title"], task["completed"]) for task in user.tasks()} == {("rival", True)}


def test_a_dead_network_is_a_503_in_time_and_heals(wire: RunningProxy) -> None:
    with running(wire.url, database_statement_timeout=0.5) as client:
        user = User(client)
        user.create()
        wire.proxy.stall = True
        started = time.monotonic()
        check_problem(user.get(), 503)
        assert time.monotonic() - started < 8  # psycopg alone would wait 10 seconds for its cancel
        wire.proxy.stall = False
        assert len(user.tasks()) == 1


# The last is what Citus says where a connection between its nodes has died.
ROLLED_BACK = {"40001": "in the way", "40P01": "in the way", "XX000": "can't be reached"}


@pytest.mark.parametrize("code", ROLLED_BACK)
def test_a_statement_that_is_rolled_back_again_and_again_is_a_503(plain_database: str, code: str) -> None:
    with running(plain_database) as client, psycopg.connect(plain_database, autocommit=True) as connection:
        body = f"BEGIN RAISE EXCEPTION 'staged' USING ERRCODE = '{code}'; END"
        connection.execute(f"CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $${body}$$".encode())
        connection.execute("CREATE TRIGGER fail BEFORE INSERT ON tasks EXECUTE FUNCTION fail()")
        assert ROLLED_BACK[code] in check_problem(User(client).send("POST", json={"title": "x"}), 503)["detail"]


def test_connections_that_the_server_closed_while_idle_cost_no_request(empty_database: str) -> None:
    with running(empty_database) as client:
        user = User(client)
        for _ in range(5):
            user.create()
            with psycopg.connect(empty_database) as connection:
                terminate_others(connection)
        assert len(user.tasks()) == 5


def test_a_statement_that_takes_too_long_and_a_full_pool_are_503(database_url: str) -> None:
    impatient = {"database_pool_size": 1, "database_statement_timeout": 1.0, "database_pool_timeout": 0.2}
    with running(database_url, **impatient) as client, ThreadPoolExecutor() as threads:
        user = User(client)
        task = user.create()
        with psycopg.connect(database_url) as locker:
            mine = "SELECT 1 FROM tasks WHERE user_id = %s AND id = %s FOR UPDATE"
            locker.execute(mine, [user.id, task["id"]])
            blocked = threads.submit(user.send, "PATCH", f"/{task['id']}", json={"title": "x"})
            full = wait_until(lambda: response if (response := user.get()).status_code == 503 else None)
            assert "busy" in check_problem(full, 503)["detail"]
            assert "too long" in check_problem(blocked.result(), 503)["detail"]
        assert user.tasks() == [task]
