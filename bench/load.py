"""Requests in numbers, by wrk; and one at a time, to see that every system does the work it is measured for."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import cpu
from database import TASKS
from install import HERE
from systems import Running

WORK = ["list 20", "list 100", "read one", "create", "patch", "health"]


@dataclass(frozen=True)
class Sample:
    """One run of wrk against one system. CPU is in microseconds a request, latency in microseconds."""

    requests: int
    rate: float
    p50: int
    p99: int
    refused: int
    broken: int
    cpu: float
    database_cpu: float
    stuck: int = 0
    """1 where the system no longer answered afterwards."""


def load(target: Running, work: str, connections: int, seconds: int, database: int | None = None) -> Sample:
    """Run one kind of work. ``database`` is PostgreSQL's first process, whose CPU is told apart."""
    system = target.system
    env = {
        "PATH": os.environ["PATH"],
        "BENCH_WORK": work,
        "BENCH_TOKEN": f"Bearer {target.token}",
        "BENCH_BASE": system.base,
        "BENCH_LIST": system.list_query.format(work.removeprefix("list ")),
        "BENCH_HEALTH": system.health,
        "BENCH_ID_FORMAT": system.id_format,
        "BENCH_CREATE": system.create,
        "BENCH_TASKS": str(TASKS),
    }
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=10s", "-s", str(HERE / "load.lua")]
    before = cpu.microseconds(target.process), cpu.microseconds(database) if database else 0
    done = subprocess.run(["wrk", *options, target.url("")], env=env, capture_output=True, text=True, check=False)
    after = cpu.microseconds(target.process), cpu.microseconds(database) if database else 0
    line = next((text for text in done.stdout.splitlines() if text.startswith("RESULT ")), None)
    if done.returncode != 0 or line is None:
        raise SystemExit(f"wrk failed on {system.label}, {work}:\n{done.stdout}{done.stderr}")
    result: dict[str, int] = json.loads(line.removeprefix("RESULT "))
    count = max(result["requests"], 1)
    return Sample(
        requests=result["requests"],
        rate=result["requests"] / result["microseconds"] * 1_000_000,
        p50=result["p50"],
        p99=result["p99"],
        refused=result["refused"],
        broken=result["broken"],
        cpu=(after[0] - before[0]) / count,
        database_cpu=(after[1] - before[1]) / count,
    )


def ask(target: Running, method: str, path: str, bearer: str = "", body: str = "") -> tuple[int, Any]:
    """One request: its status and the JSON of the answer."""
    headers = {"Content-Type": "application/json"} if body else {}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    request = urllib.request.Request(target.url(path), body.encode() or None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        error.read()
        return error.code, None


def answers(target: Running) -> bool:
    """Whether a system still answers within five seconds, now that nobody else asks."""
    try:
        with urllib.request.urlopen(target.url(target.system.health), timeout=5):
            return True
    except OSError:
        return False


def check(target: Running) -> None:
    """End the run unless the system gives the right answers, and none to others."""
    system = target.system
    one = f"{system.base}/{system.id_format % 20}"

    def expect(what: str, right: bool) -> None:
        if not right:
            raise SystemExit(f"{system.label} does not do its work: {what}.")

    def tasks(body: Any) -> list[Any]:
        found: list[Any] = body["items"] if isinstance(body, dict) else body
        return found

    listed = system.base + system.list_query
    for size in (20, 100):
        status, body = ask(target, "GET", listed.format(size), target.token)
        expect(f"list {size}", status == 200 and len(tasks(body)) == size)
    status, body = ask(target, "GET", one, target.token)
    expect("read one", status == 200 and {"id", "title", "description", "completed"} <= body.keys())
    status, body = ask(target, "POST", system.base, target.token, system.create)
    expect("create", status in (200, 201) and body["title"] == "A new task #")
    status, body = ask(target, "PATCH", one, target.token, '{"completed":true}')
    expect("patch", status == 200 and body["completed"] is True)
    status, _ = ask(target, "POST", system.base, target.token, system.create.replace("A new task #", ""))
    expect("refuse an empty title", status in (400, 422))
    for bearer in ("", target.other, target.token[:-4] + "AAAA"):
        # PocketBase's rules answer a stranger's list with an empty one.
        status, body = ask(target, "GET", listed.format(20), bearer)
        expect("refuse a stranger's list", status in (401, 403) or (status == 200 and tasks(body) == []))
        status, _ = ask(target, "GET", one, bearer)
        expect("refuse a stranger's read", status in (401, 403, 404))
        status, _ = ask(target, "PATCH", one, bearer, '{"completed":true}')
        expect("refuse a stranger's patch", status in (401, 403, 404))
