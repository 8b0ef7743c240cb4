"""The embedded PostgreSQL of a run, its databases, and the tasks in them."""

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from embedded.server import EmbeddedServer

OWNER = "owner0000000001"
OTHER = "owner0000000002"
TASKS = 10_000  # of OWNER: every tenth of all


class Cluster:
    """A PostgreSQL server with its defaults, durability among them."""

    def __init__(self, url: str, process: int) -> None:
        self.socket = url.partition("host=")[2]
        self.process = process

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.socket}"

    def execute(self, database: str, *statements: str) -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def create(self, database: str, template: str = "template1") -> None:
        self.execute("postgres", f"CREATE DATABASE {database} TEMPLATE {template}")

    def version(self) -> str:
        with psycopg.connect(self.url("postgres")) as connection:
            return f"{connection.info.server_version // 10000}.{connection.info.server_version % 10000}"


@contextlib.contextmanager
def cluster() -> Iterator[tuple[Cluster, Path]]:
    """A server and a folder for what a run writes; both are gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    folder.chmod(0o755)  # the server may run under an account of its own
    server = EmbeddedServer(folder / "data")
    pid_file = folder / "data" / "postgres" / "cluster" / "postmaster.pid"
    try:
        yield Cluster(server.url, int(pid_file.read_text().splitlines()[0])), folder
    finally:
        server.release()
        while pid_file.exists():
            time.sleep(0.1)
        time.sleep(0.5)  # its watcher goes after it
        shutil.rmtree(folder, ignore_errors=True)


def fill(count: int) -> list[str]:
    """SQL that fills the service's tables: every tenth task is OWNER's, the others belong to 90 owners."""
    owner = f"CASE WHEN i % 10 = 0 THEN '{OWNER}' ELSE 'other' || to_char(i % 90, 'FM0000000000') END"
    return [
        f"INSERT INTO users (id) SELECT DISTINCT {owner} FROM generate_series(1, {count}) AS i",
        f"INSERT INTO users (id) VALUES ('{OTHER}')",
        f"""INSERT INTO tasks (user_id, id, title, description, completed, created_at, updated_at)
            SELECT {owner}, i, 'Task number ' || i, 'A few words that say what is to be done', i % 3 = 0, t, t
            FROM generate_series(1, {count}) AS i,
              LATERAL (SELECT timestamptz '2026-01-01' + i * interval '1 s') AS x(t)
            ORDER BY i""",
        f"SELECT setval('tasks_id_seq', {count})",
        "VACUUM ANALYZE",
        "CHECKPOINT",
    ]
