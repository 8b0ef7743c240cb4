"""``/health/ready`` says what is wrong with the database, and nothing that is nobody's business."""

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.support.databases import url_with
from tests.support.process import run_service
from tests.support.proxy import Watched
from tests.support.service import SECRET, User, check_problem, running, wait_until

HIDDEN = "hunter2"


@pytest.fixture(scope="module")
def guarded(database_url: str, request: pytest.FixtureRequest) -> str:
    """A user of the embedded database who needs a password."""
    if request.config.option.database:
        return database_url
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")  # other test processes do the same
        [(hba,)] = connection.execute("SHOW hba_file").fetchall()
        line = f"local all {HIDDEN} scram-sha-256\n"
        if line not in (text := Path(hba).read_text()):
            Path(hba).write_text(line + text)
        role = f"CREATE ROLE {HIDDEN} LOGIN PASSWORD 'right'"
        connection.execute(f"DO $$ BEGIN {role}; EXCEPTION WHEN duplicate_object THEN END $$".encode())
        connection.execute("SELECT pg_reload_conf()")
    return database_url


@pytest.fixture(scope="module")
def closed_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


AWAY: dict[str, tuple[str, str]] = {
    "a closed port": (f"postgresql://{HIDDEN}@127.0.0.1:{{port}}/x", "port is closed"),
    "an unknown name": (f"postgresql://{HIDDEN}@{HIDDEN}.invalid/x", "host has no address"),
    "a missing database": ("{missing}", "no such database"),
    "no TLS": (f"postgresql://{HIDDEN}@127.0.0.1:{{plain}}/x?sslmode=require", "offers no TLS"),
    "no socket": (f"postgresql://{HIDDEN}@/x?host=/{HIDDEN}", "socket is not there"),
    "a wrong password": (f"postgresql://{HIDDEN}:wrong@/postgres?host={{sockets}}", "refuses the password"),
    "no password": (f"postgresql://{HIDDEN}@/postgres?host={{sockets}}", "asks for a password"),
}
GUARDED = {"a wrong password", "no password"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.embedded] * (n in GUARDED)) for n in AWAY])
def test_a_database_that_is_away_at_start_is_told_apart(
    guarded: str, closed_port: int, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    url, words = AWAY[name]
    sockets, missing = quote(str(conninfo_to_dict(guarded)["host"])), url_with(guarded, dbname=HIDDEN)
    with without_tls() as port:
        url = url.format(port=closed_port, sockets=sockets, plain=port, missing=missing)
        with running(url) as client:
            for address in ("/health/ready", "/api/x/tasks"):
                response = client.get(address, headers=User(client, "x").headers)
                assert words in check_problem(response, 503)["detail"]
                assert HIDDEN not in response.text
            assert client.get("/health").status_code == 200
    assert "Waiting for the database" in caplog.text


def test_a_database_that_is_away_at_start_is_tried_every_second_and_told_of_less_and_less(tmp_path: Path) -> None:
    tries = []

    class Away(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            tries.append(self.client_address)

    with listening(Away) as port:
        environment = {"DATABASE_URL": f"postgresql://x@127.0.0.1:{port}/x", "BETTER_AUTH_SECRET": SECRET}
        with run_service(tmp_path, environment=environment) as service:
            wait_until(lambda: service.output.count("Waiting for the database") >= 4, 60)  # after 0, 1, 3 and 7 s
            assert len(tries) >= 7
        told = [line for line in service.output.splitlines() if "Waiting for the database" in line]
    assert ["Check that it runs" in line for line in told] == [True, False, False, False]


@contextlib.contextmanager
def without_tls() -> Iterator[int]:
    """The port of a server that answers the question for TLS with no, as PostgreSQL does where it has none."""

    class Refusal(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(8)
            self.request.sendall(b"N")

    with listening(Refusal) as port:
        yield port


@contextlib.contextmanager
def listening(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_readiness_is_one_statement_and_is_remembered_for_a_second(watched: Watched) -> None:
    wait_until(lambda: watched.client.get("/health/ready").status_code == 200)
    watched.proxy.messages.clear()
    started = time.monotonic()
    while time.monotonic() - started < 0.3:
        assert watched.client.get("/health/ready").status_code == 200
    said = "".join(message.kind for message in watched.proxy.messages).replace("P", "").replace("SB", "B")
    assert said in {"", "BDES"}


def test_a_migration_that_somebody_else_holds_up_is_waited_for(empty_database: str) -> None:
    with psycopg.connect(empty_database) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(7461736500)")
        started = time.monotonic()
        with running(empty_database) as client:
            assert time.monotonic() - started < 5
            assert "too long" in check_problem(client.get("/health/ready"), 503)["detail"]
            holder.rollback()
            wait_until(lambda: client.get("/health/ready").status_code == 200)
            stopping = time.monotonic()
        assert time.monotonic() - stopping < 5
