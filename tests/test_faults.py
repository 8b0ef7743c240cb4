"""When the database, the network or a client fails: what is answered, and that nothing is lost."""

import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from config import Settings
from main import create_app
from tests.support.proxy import RunningProxy, proxied
from tests.support.service import SECRET, User, check_problem, serve, server_is_gone, wait_until


@pytest.fixture
def wire(database_url: str) -> Iterator[RunningProxy]:
    with proxied(database_url) as running:
        yield running


def settings_for(url: str, **changes: Any) -> Settings:
    return Settings(_env_file=None, database_url=url, better_auth_secret=SECRET, **changes)


def terminate_others(connection: psycopg.Connection) -> None:
    """End all other connections to the same database, as the server's shutdown would."""
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def test_a_killed_embedded_server_is_started_again_for_the_next_request() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        pid_file = folder / "postgres" / "cluster" / "postmaster.pid"
        settings = Settings(_env_file=None, data_dir=folder, better_auth_secret=SECRET)
        with serve(create_app(settings)) as url, httpx2.Client(base_url=url, timeout=30) as client:
            user = User(client)
            task = user.create()
            os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)
            wait_until(lambda: user.get().status_code == 200)
            assert user.tasks() == [task]
        wait_until(lambda: server_is_gone(folder))


def test_a_version_that_was_rolled_back_works_on_the_newer_schema(empty_database: str) -> None:
    with serve(create_app(settings_for(empty_database))):
        pass
    with psycopg.connect(empty_database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from the future'")
    with serve(create_app(settings_for(empty_database))) as url, httpx2.Client(base_url=url) as client:
        assert User(client).create()["id"]


def test_a_database_that_takes_no_changes_is_503_for_them_alone(empty_database: str) -> None:
    with serve(create_app(settings_for(empty_database))) as url, httpx2.Client(base_url=url) as client:
        user = User(client)
        task = user.create()
        with psycopg.connect(empty_database, autocommit=True) as connection:
            database = connection.info.dbname
            connection.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on".encode())
            terminate_others(connection)
        check_problem(user.send("POST", json={"title": "x"}), 503)
        assert user.tasks() == [task]


def test_a_client_that_leaves_in_the_middle_is_no_error(
    service: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with httpx2.Client(base_url=service) as client:
        user = User(client)
        head = f"POST {user.path} HTTP/1.1\r\nHost: x\r\nAuthorization: {user.headers['Authorization']}\r\n"
        with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as connection:
            connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        wait_until(lambda: "POST /api/{user_id}/tasks 499" in capsys.readouterr().err)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_database_that_is_away_at_start_is_waited_for(wire: RunningProxy) -> None:
    wire.proxy.refuse = True
    with serve(create_app(settings_for(wire.url))) as url, httpx2.Client(base_url=url) as client:
        user = User(client)
        assert client.get("/health").status_code == 200
        assert "database" in check_problem(client.get("/health/ready"), 503)["detail"]
        check_problem(user.get(), 503)
        check_problem(client.get(user.path), 401)

        wire.proxy.refuse = False

        wait_until(lambda: client.get("/health/ready").status_code == 200)
        assert user.create()["id"]


def test_a_database_that_goes_away_is_a_503_until_it_is_back(wire: RunningProxy) -> None:
    with serve(create_app(settings_for(wire.url))) as url, httpx2.Client(base_url=url) as client:
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
    with serve(create_app(settings_for(wire.url))) as url, httpx2.Client(base_url=url) as client:
        user = User(client)
        for _ in range(3):
            wire.cut()
            assert user.get().status_code == 200


def test_a_deadlock_is_no_error(database_url: str) -> None:
    with serve(create_app(settings_for(database_url))) as url, httpx2.Client(base_url=url) as client:
        user = User(client)
        first, second = user.create("first"), user.create("second")
        with psycopg.connect(database_url) as rival, ThreadPoolExecutor() as threads:
            rival.execute("SET deadlock_timeout = '1h'")  # so that it is the service's statement that gives way
            rival.execute("UPDATE tasks SET title = 'rival' WHERE user_id = %s AND id = %s", [user.id, second["id"]])
            bulk = threads.submit(user.send, "PATCH", "?all=true", json={"completed": True})
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%only_ids%%' OR "
            waiting += "wait_event = 'transactionid' AND query LIKE 'WITH stamp%%'"
            with psycopg.connect(database_url, autocommit=True) as observer:
                wait_until(lambda: observer.execute(waiting).fetchone())
            rival.execute("UPDATE tasks SET title = 'rival' WHERE user_id = %s AND id = %s", [user.id, first["id"]])
            rival.commit()
            assert bulk.result().json() == {"updated": 2}
        assert {(task["title"], task["completed"]) for task in user.tasks()} == {("rival", True)}


def test_a_dead_network_is_a_503_in_time_and_heals(wire: RunningProxy) -> None:
    settings = settings_for(wire.url, database_statement_timeout=0.5)
    with serve(create_app(settings)) as url, httpx2.Client(base_url=url, timeout=30) as client:
        user = User(client)
        user.create()
        wire.proxy.stall = True
        started = time.monotonic()
        check_problem(user.get(), 503)
        assert time.monotonic() - started < 8  # psycopg alone would wait 10 seconds for its cancel
        wire.proxy.stall = False
        assert len(user.tasks()) == 1


def test_connections_that_the_server_closed_while_idle_cost_no_request(empty_database: str) -> None:
    with serve(create_app(settings_for(empty_database))) as url, httpx2.Client(base_url=url) as client:
        user = User(client)
        for _ in range(5):
            user.create()
            with psycopg.connect(empty_database) as connection:
                terminate_others(connection)
        assert len(user.tasks()) == 5


def test_a_statement_that_takes_too_long_and_a_full_pool_are_503(database_url: str) -> None:
    impatient = settings_for(
        database_url, database_pool_size=1, database_statement_timeout=1.0, database_pool_timeout=0.2
    )
    with serve(create_app(impatient)) as url, httpx2.Client(base_url=url) as client, ThreadPoolExecutor() as threads:
        user = User(client)
        task = user.create()
        with psycopg.connect(database_url) as locker:
            locker.execute("SELECT 1 FROM tasks WHERE id = %s FOR UPDATE", [task["id"]])
            blocked = threads.submit(user.send, "PATCH", f"/{task['id']}", json={"title": "x"})
            full = wait_until(lambda: response if (response := user.get()).status_code == 503 else None)
            assert "busy" in check_problem(full, 503)["detail"]
            assert "too long" in check_problem(blocked.result(), 503)["detail"]
        assert user.tasks() == [task]
