"""Starting: what stops it, what doesn't, and what it writes."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psycopg
import pytest

from config import Settings, load_settings
from main import create_app
from tests.process import ROOT, run_service
from tests.proxy import RunningProxy, proxied
from tests.service import SECRET, User, check_problem, serve, server_is_gone, wait_until

URL = "postgresql://someone:hunter2@db.invalid/tasks"

WRONG: dict[str, tuple[dict[str, str], str]] = {
    "no PostgreSQL": ({"DATABASE_URL": "sqlite:///hunter2.db"}, "DATABASE_URL must be a PostgreSQL URL"),
    "a broken URL": ({"DATABASE_URL": "postgresql://u:hunter2@h:port/x"}, "DATABASE_URL must be a PostgreSQL URL"),
    "an unknown option": ({"DATABASE_URL": f"{URL}?hunter2=1"}, "DATABASE_URL must be a PostgreSQL URL"),
    "no secret for a real database": ({"DATABASE_URL": URL}, "BETTER_AUTH_URL or BETTER_AUTH_SECRET must be set"),
    "a short secret": ({"BETTER_AUTH_SECRET": "hunter2"}, "BETTER_AUTH_SECRET must have at least 32 bytes"),
    "a known secret": (
        {"BETTER_AUTH_SECRET": "better-auth-secret-12345678901234567890"},
        "BETTER_AUTH_SECRET is a placeholder",
    ),
    "a placeholder": ({"BETTER_AUTH_SECRET": "change-me-change-me-change-me-hunter2"}, "is a placeholder"),
    "any origin": ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS must be origins"),
    "an origin with a path": ({"CORS_ORIGINS": "https://a.example,https://hunter2.example/x"}, "CORS_ORIGINS must be"),
    "no web address": ({"BETTER_AUTH_URL": "ftp://hunter2.example"}, "BETTER_AUTH_URL must be an address"),
    "an address with a password": ({"BETTER_AUTH_URL": "https://u:hunter2@a.example"}, "BETTER_AUTH_URL must be"),
    "a port that can't be": ({"BETTER_AUTH_URL": "https://a.example:99999"}, "BETTER_AUTH_URL must have a port"),
    "a key set alone": ({"JWT_JWKS_URL": "https://a.example/jwks"}, "JWT_JWKS_URL needs BETTER_AUTH_URL"),
    "a table that is no name": ({"BETTER_AUTH_USER_TABLE": 'user"; DROP TABLE hunter2'}, "BETTER_AUTH_USER_TABLE"),
    "a table of ours": ({"BETTER_AUTH_USER_TABLE": "public.users"}, "BETTER_AUTH_USER_TABLE must be Better Auth's"),
    "a pool of none": ({"DATABASE_POOL_SIZE": "0"}, "DATABASE_POOL_SIZE"),
    "an unknown format": ({"LOG_FORMAT": "hunter2"}, "LOG_FORMAT"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting_is_told_in_one_sentence_without_its_value(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment, sentence = WRONG[name]
    monkeypatch.chdir(tmp_path)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)

    with pytest.raises(SystemExit) as exit_:
        load_settings()

    [complaint] = capsys.readouterr().err.splitlines()
    assert complaint.startswith("Configuration error: ")
    assert sentence in complaint
    assert "hunter2" not in complaint
    assert exit_.value.code == 3


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [({"CORS_ORIGINS": "*"}, "CORS_ORIGINS must be origins"), ({"DATA_DIR": "/dev/null/x"}, "DATA_DIR '/dev/null/x'")],
)
def test_a_start_that_fails_ends_with_one_sentence(environment: dict[str, str], sentence: str, tmp_path: Path) -> None:
    with run_service(tmp_path, environment=environment) as service:
        assert service.process.wait(30) != 0

    assert len([line for line in service.output.splitlines() if sentence in line]) == 1
    assert "Traceback" not in service.output


def test_workers_that_can_not_start_are_not_started_again(tmp_path: Path) -> None:
    with run_service(tmp_path, "--workers", "2", environment={"CORS_ORIGINS": "*"}) as service:
        assert service.process.wait(60) is not None
    assert service.output.count("CORS_ORIGINS must be origins") <= 2


def test_a_port_in_use_stops_the_start_with_one_sentence(tmp_path: Path, service: str, database_url: str) -> None:
    port = urlsplit(service).port or 0
    environment = {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET}
    with run_service(tmp_path, port=port, environment=environment) as second:
        assert second.process.wait(30) != 0
    assert "address already in use" in second.output
    assert "Traceback" not in second.output


def test_eight_workers_on_an_empty_database_make_the_schema_once(tmp_path: Path, empty_database: str) -> None:
    environment = {"DATABASE_URL": empty_database, "BETTER_AUTH_SECRET": SECRET}
    with run_service(tmp_path, "--workers", "8", environment=environment) as service:
        url = service.url()
        wait_until(lambda: service.output.count("Application startup complete") == 8, 60)
        assert httpx2.get(f"{url}/health/ready").status_code == 200

    assert "ERROR" not in service.output
    assert "Waiting for the database" not in service.output
    with psycopg.connect(empty_database) as connection:
        assert len(connection.execute("SELECT version_num FROM alembic_version").fetchall()) == 1


def test_a_developer_gets_a_token_for_the_service_that_make_run_starts() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        with run_service(folder) as service:
            url = service.url()
            command = [sys.executable, str(ROOT / "dev.py"), "token", "alice"]
            token = subprocess.check_output(command, cwd=folder, text=True).strip()
            response = httpx2.get(f"{url}/api/alice/tasks", headers={"Authorization": f"Bearer {token}"})
            assert (response.status_code, response.json()) == (200, [])
        wait_until(lambda: server_is_gone(folder / ".data"))


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


def test_a_client_that_leaves_in_the_middle_is_no_error(service: str, caplog: pytest.LogCaptureFixture) -> None:
    with httpx2.Client(base_url=service) as client, caplog.at_level(logging.INFO, "access"):
        user = User(client)
        head = f"POST {user.path} HTTP/1.1\r\nHost: x\r\nAuthorization: {user.headers['Authorization']}\r\n"
        with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as connection:
            connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        wait_until(lambda: any("POST" in record.message and " 499 " in record.message for record in caplog.records))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def log_of(folder: Path, database_url: str, **environment: str) -> str:
    """What a service writes for a handful of requests."""
    environment |= {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET}
    with run_service(folder, environment=environment) as service, httpx2.Client(base_url=service.url()) as client:
        user = User(client, "log-user")
        user.send("POST", "?colour=private-query", json={"title": "private-body"})
        user.get("/12345", headers={"X-Request-Id": "my-id"})
        client.get("/private-path")
    assert "private" not in service.output
    assert user.headers["Authorization"].removeprefix("Bearer ") not in service.output
    return service.output


def test_a_request_is_one_line_of_json(tmp_path: Path, database_url: str) -> None:
    lines = [json.loads(line) for line in log_of(tmp_path, database_url, LOG_FORMAT="json").splitlines()]

    entries = [line for line in lines if line["logger"] == "access" and line["route"] != "/health"]
    assert [(entry["method"], entry["route"], entry["status"]) for entry in entries] == [
        ("POST", "/api/{user_id}/tasks", 400),
        ("GET", "/api/{user_id}/tasks/{task_id}", 404),
        ("GET", "-", 404),
    ]
    assert entries[1]["request_id"] == "my-id"
    assert all(entry["duration_ms"] > 0 and entry["level"] == "info" for entry in entries)


def test_a_request_is_one_line_of_text(tmp_path: Path, database_url: str) -> None:
    lines = [line for line in log_of(tmp_path, database_url).splitlines() if " access: " in line]
    assert any("GET /api/{user_id}/tasks/{task_id} 404" in line and line.endswith("my-id") for line in lines)


def test_the_access_log_can_be_turned_off(tmp_path: Path, database_url: str) -> None:
    assert "/api" not in log_of(tmp_path, database_url, ACCESS_LOG="false")


@pytest.fixture
def wire(database_url: str) -> Iterator[RunningProxy]:
    with proxied(database_url) as running:
        yield running


def settings_for(url: str, **changes: Any) -> Settings:
    return Settings(_env_file=None, database_url=url, better_auth_secret=SECRET, **changes)


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
            waiting += "wait_event = 'transactionid' AND query LIKE 'WITH changed%%'"
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


def terminate_others(connection: psycopg.Connection) -> None:
    """End all other connections to the same database, as the server's shutdown would."""
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


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
