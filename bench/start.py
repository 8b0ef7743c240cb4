"""Cold start: what importing costs and who causes it, the time to the first answers, and memory."""

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import cpu
from database import OWNER, Cluster
from install import say
from systems import SERVICE, environment, free_port, token

LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| ( *)(\S+)")
SHOWN = 12


def imports(env: dict[str, str]) -> dict[str, Any]:
    """Milliseconds of ``import main``, whole and by package (each package's own modules, without what they import)."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import main"],
        cwd=SERVICE.folder,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    own: defaultdict[str, int] = defaultdict(int)
    for itself, _, _, name in LINE.findall(done.stderr):
        own[name.partition(".")[0]] += int(itself)
    largest = sorted(own.items(), key=lambda item: -item[1])[:SHOWN]
    return {"total": sum(own.values()) / 1000, "packages": {name: spent / 1000 for name, spent in largest}}


def _first(url: str, deadline: float, bearer: str = "") -> None:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {bearer}"} if bearer else {})
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except urllib.error.HTTPError as error:
            error.close()
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.005)
    raise SystemExit(f"{SERVICE.label} did not start.")


def _start(cluster: Cluster) -> dict[str, float]:
    port, bearer = free_port(), token(OWNER)
    env = environment(SERVICE, cluster, port)
    begun, deadline = time.monotonic(), time.monotonic() + 60
    process = subprocess.Popen(
        SERVICE.command(port), cwd=SERVICE.folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _first(f"http://127.0.0.1:{port}/health", deadline)
        health = time.monotonic() - begun
        _first(f"http://127.0.0.1:{port}{SERVICE.base}?limit=20", deadline, bearer)
        return {
            "health": health * 1000,
            "list": (time.monotonic() - begun) * 1000,
            "cpu": cpu.microseconds(process.pid) / 1000,
            "memory": cpu.resident_bytes(process.pid),
        }
    finally:
        process.terminate()
        process.wait(15)


def start(cluster: Cluster, _: Path, rounds: int) -> dict[str, Any]:
    """Medians of several starts on a database that is migrated already."""
    say("Cold start …")
    env = environment(SERVICE, cluster, 0)
    imports(env)  # the first one compiles
    imported = [imports(env) for _ in range(rounds)]
    starts = [_start(cluster) for _ in range(rounds + 2)]
    middle = sorted(imported, key=lambda found: float(found["total"]))[len(imported) // 2]
    return {"imports": middle, **{name: median(found[name] for found in starts) for name in starts[0]}}
