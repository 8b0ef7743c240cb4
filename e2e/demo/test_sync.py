"""The example's copy of the tasks and its queue of writes, run by Node against the service."""

import json
import os
import re
import subprocess
from pathlib import Path

import httpx2
import psycopg
import pytest

from embedded.server import EmbeddedServer
from tests.support.frontend import compile_modules
from tests.support.process import ROOT, run_service
from tests.support.service import SECRET, data_folder, make_token

HERE = Path(__file__).parent
AFTER_BACKUP = "Made after the backup"
VOID_TOKENS = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "restore.md").read_text(), re.DOTALL)[0]


@pytest.fixture(scope="module")
def sync(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sync")
    compile_modules(folder, "sync")
    return folder


def test_windows_come_out_equal_to_the_server_whatever_was_cut_and_no_write_is_lost_or_doubled(sync: Path) -> None:
    owner = {"OWNER": "alice", "TOKEN": make_token(sub="alice")}
    with data_folder() as folder, run_service(folder, environment={"BETTER_AUTH_SECRET": SECRET}) as service:
        with httpx2.Client(base_url=service.url(), headers={"Authorization": f"Bearer {owner['TOKEN']}"}) as client:
            assert client.post("/api/alice/tasks", json={"title": AFTER_BACKUP}).status_code == 201
        environment = {"PATH": os.environ["PATH"], "API": service.url(), "SYNC": str(sync), "SECONDS": "12", **owner}
        with subprocess.Popen(["node", HERE / "windows.mjs"], env=environment, stdout=subprocess.PIPE) as node:
            assert node.stdout
            assert node.stdout.readline() == b"half-time\n"
            restore(folder)
            output = node.stdout.read()
        assert node.returncode == 0
    titles, written, refused = json.loads(output).values()
    assert len(titles) == len(set(titles))
    assert AFTER_BACKUP not in titles
    kept = {write["seen"]["title"] for write in refused if write["kind"] == "delete"}
    expected = [title for title in written.values() if title]
    assert len(expected) >= 20
    assert set(expected) <= set(titles)
    assert set(titles) - set(expected) <= kept
    # Who ticks a task that somebody deletes is refused, and who deletes one that somebody ticks. Nobody else is.
    assert {(write["kind"], *write["fields"], write["refused"]["status"]) for write in refused} <= {
        ("edit", "completed", 404),
        ("delete", 412),
    }


def test_a_write_waits_while_somebody_else_is_signed_in_and_is_refused_where_the_list_is_full(sync: Path) -> None:
    tokens = {name.upper(): make_token(sub=name) for name in ("alice", "bob")}
    settings = {"BETTER_AUTH_SECRET": SECRET, "MAX_TASKS": "1"}
    with data_folder() as folder, run_service(folder, environment=settings) as service:
        environment = {"PATH": os.environ["PATH"], "NEXT_PUBLIC_API_URL": service.url(), "SYNC": str(sync), **tokens}
        subprocess.run(["node", HERE / "owner.mjs"], env=environment, timeout=60, check=True)


def restore(folder: Path) -> None:
    """As a restore of the database: a task is gone of which no client was told."""
    database = EmbeddedServer(folder / ".data")
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("DELETE FROM tasks WHERE title = %s", [AFTER_BACKUP])
        connection.execute(VOID_TOKENS)
    database.release()
