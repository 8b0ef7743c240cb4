"""A PostgreSQL of the suite's own, to be stopped, killed and filled up; and pgbouncer before it."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg

from embedded.home import as_account, reachable_binaries, server_account
from embedded.server import INITDB
from tests.support.service import wait_until

GUARDED = "guarded"
"""A user of the database who needs the password ``right``."""


class Postgres:
    """One server on a unix socket, with a database for each row."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._account = server_account()
        if self._account:
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)
        self._bin = reachable_binaries(folder, self._account)
        # In /tmp, since the path of a socket may have 107 bytes only.
        self.sockets = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))
        self.own(self.sockets)
        self._run("initdb", *INITDB.split(), "-D", "cluster")
        hba = folder / "cluster" / "pg_hba.conf"
        hba.write_text(f"local all {GUARDED} scram-sha-256\n{hba.read_text()}")
        self.start()
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE ROLE {GUARDED} LOGIN SUPERUSER PASSWORD 'right'".encode())

    def own(self, path: Path) -> None:
        """Give a folder to the server's account."""
        if self._account:
            os.chown(path, self._account.pw_uid, self._account.pw_gid)

    @property
    def socket(self) -> Path:
        return self.sockets / ".s.PGSQL.5432"

    def url(self, database: str, user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={self.sockets}"

    def connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(self.url(database), autocommit=True)

    def start(self, *options: str) -> None:
        usual = ["listen_addresses=", f"unix_socket_directories={self.sockets}", "max_connections=200", *options]
        arguments = " ".join(f"-c {option}" for option in usual)
        self._run("pg_ctl", "start", "-w", "-s", "-D", "cluster", "-l", "postgres.log", "-o", arguments)

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "stop", "-w", "-s", "-D", "cluster", "-m", mode)

    def restart(self, *options: str) -> None:
        self.stop("fast")
        self.start(*options)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.sockets)

    @contextlib.contextmanager
    def database(self, options: str = "") -> Iterator[str]:
        """A new database for the length of the block; gives its name."""
        name = f"row_{secrets.token_hex(4)}"
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} {options}".encode())
        yield name
        with self.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())

    @contextlib.contextmanager
    def pooler(self, mode: str = "transaction") -> Iterator[int]:
        """pgbouncer, with five connections to the server; gives its port on localhost."""
        with tempfile.TemporaryDirectory() as name, socket.socket() as probe:
            folder = Path(name)
            self.own(folder)
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            probe.close()
            configuration = folder / "pgbouncer.ini"
            configuration.write_text(
                f"[databases]\n* = host={self.sockets} user=postgres\n"
                f"[pgbouncer]\npool_mode = {mode}\ndefault_pool_size = 5\nauth_type = any\nunix_socket_dir =\n"
                f"listen_addr = 127.0.0.1\nlisten_port = {port}\nlog_connections = 0\nlog_disconnections = 0\n"
            )
            path = f"{os.environ['PATH']}:/usr/sbin"
            program = shutil.which("pgbouncer", path=path)
            assert program, "pgbouncer is not installed"
            with (folder / "log").open("wb") as log:
                process = subprocess.Popen([program, configuration], stderr=log, **as_account(self._account))
            try:
                wait_until(lambda: _listens(port) or process.poll() is not None)
                assert process.poll() is None, (folder / "log").read_text()
                yield port
            finally:
                process.kill()  # whoever runs this in the background may have it ignore SIGINT and SIGQUIT
                process.wait(10)

    def _run(self, program: str, *arguments: str) -> None:
        with tempfile.TemporaryFile() as output:
            code = subprocess.call(
                [self._bin / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **{**as_account(self._account), "cwd": self.folder},
            )
            output.seek(0)
            assert code == 0, output.read().decode()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def terminate_others(connection: psycopg.Connection, patience: int = 5000) -> int:
    """End all other connections to the same database, wait so many milliseconds, and say how many there were."""
    ended = connection.execute(
        "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
        [patience],
    )
    return len(ended.fetchall())


@contextlib.contextmanager
def writes_raise(connection: psycopg.Connection, code: str, times: int = 1_000_000) -> Iterator[Callable[[], int]]:
    """Let the next statements that insert tasks fail with this SQLSTATE; gives how often one tried."""
    # A sequence counts also what is rolled back.
    connection.execute("CREATE SEQUENCE tries")
    connection.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'staged' USING ERRCODE = '{code}'; END IF; "
        "RETURN NULL; END $$".encode()
    )
    connection.execute("CREATE TRIGGER fail BEFORE INSERT ON tasks FOR EACH STATEMENT EXECUTE FUNCTION fail()")

    def tries() -> int:
        [(number, called)] = connection.execute("SELECT last_value, is_called FROM tries").fetchall()
        return int(number) if called else 0

    yield tries
    connection.execute("DROP TRIGGER fail ON tasks")
    connection.execute("DROP FUNCTION fail")
    connection.execute("DROP SEQUENCE tries")
