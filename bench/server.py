"""Starting and stopping any of the systems, and what its processes have used, from /proc."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from database import FILL, PLAIN, TASKS, USERS, Cluster
from systems import DJANGO, HERE, PEERS, SECRET, SERVICE, System

TICK = 1_000_000 // os.sysconf("SC_CLK_TCK")


def say(text: str) -> None:
    """Show progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Running:
    """A started system, with tokens of the owner and of another."""

    system: System
    url: str
    process: int
    token: str
    other: str


@contextlib.contextmanager
def started(system: System, cluster: Cluster, folder: Path) -> Iterator[Running]:
    """Run a system until the block ends. What it logs goes to a file, as production's would."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log, env = folder / f"{system.key}.log", _environment(system, cluster, port)
    with log.open("ab") as output:
        process = subprocess.Popen(system.command(port, folder), cwd=PEERS, env=env, stdout=output, stderr=output)
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while not _answers(url + system.health):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{system.label} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.01)
        yield Running(system, url, process.pid, *system.sign_in(url, folder))
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def _environment(system: System, cluster: Cluster, port: int) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "PYTHONPATH": str(HERE.parent),
        "DATABASE_URL": cluster.url(system.key),
        "PGHOST": cluster.socket,
        "PGUSER": "postgres",
        "PGDATABASE": system.key,
        "BETTER_AUTH_SECRET": SECRET,
        "DJANGO_SETTINGS_MODULE": "django_settings",
        "NODE_ENV": "production",
        "PORT": str(port),
    }


def prepare(systems: list[System], cluster: Cluster, folder: Path) -> None:
    """Fill a database as the service migrates it and a plain one, and copy one of them for each system."""
    say(f"Filling {TASKS:,} tasks …")
    for name in ("migrated", "plain"):
        cluster.create(name)
    with started(replace(SERVICE, key="migrated"), cluster, folder):
        cluster.execute("migrated", USERS, *FILL)
    cluster.execute("plain", PLAIN, *FILL)
    for system in systems:
        if system.database:
            cluster.create(system.key, system.database)
    if DJANGO in systems:  # its models have one column as key
        cluster.execute(DJANGO.key, "CREATE UNIQUE INDEX ON tasks (id)")


def cpu(process: int) -> int:
    """Microseconds of CPU of a process tree, user and system, with children that have ended."""
    return TICK * sum(sum(map(int, stat[11:15])) for stat in _tree(process))


def memory(process: int) -> float:
    """Resident MiB of a process tree."""
    return os.sysconf("SC_PAGE_SIZE") * sum(int(stat[21]) for stat in _tree(process)) / 2**20


def _tree(root: int) -> list[list[str]]:
    """The fields of /proc/PID/stat, from the third on, of a process and its descendants."""
    stats = {}
    for entry in Path("/proc").iterdir():
        # It may end meanwhile. The name in brackets may hold spaces; everything after it does not.
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                stats[int(entry.name)] = (entry / "stat").read_text().rpartition(") ")[2].split()
    found = [root]
    for pid in found:
        found.extend(child for child, stat in stats.items() if int(stat[1]) == pid)
    return [stats[pid] for pid in found if pid in stats]
