"""Requests in numbers, by wrk; and one at a time, to see that every system does the work it is measured for."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass

from database import OWNERS, TASKS
from server import Running, cpu
from systems import HERE


@dataclass(frozen=True)
class Sample:
    """One run of wrk against one system. CPU is in microseconds a request, latency in microseconds."""

    requests: int
    failed: int
    microseconds: int
    p50: int
    p99: int
    cpu: float
    database_cpu: float

    @property
    def rate(self) -> float:
        return self.requests / self.microseconds * 1_000_000


def load(target: Running, work: str, connections: int, seconds: int, database: int) -> Sample:
    """Run one kind of work. ``database`` is PostgreSQL's first process, whose CPU is told apart."""
    method, path, body = target.system.calls()[work]
    env = {
        "PATH": os.environ["PATH"],
        "BENCH_METHOD": method,
        "BENCH_PATH": path,
        **({"BENCH_BODY": body} if body else {}),
        **({"BENCH_TOKEN": target.token} if work != "health" else {}),
        "BENCH_ID_FORMAT": target.system.id_format,
        "BENCH_TASKS": str(TASKS),
        "BENCH_OWNERS": str(OWNERS),
    }
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=10s", "-s", HERE / "load.lua", target.url]
    before = cpu(target.process), cpu(database)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    after = cpu(target.process), cpu(database)
    _, found, result = done.stdout.partition("RESULT ")
    if done.returncode != 0 or not found:
        raise SystemExit(f"wrk failed on {target.system.label}, {work}:\n{done.stdout}{done.stderr}")
    numbers = json.loads(result)
    used = [(end - begin) / max(numbers["requests"], 1) for begin, end in zip(before, after, strict=True)]
    return Sample(cpu=used[0], database_cpu=used[1], **numbers)


def check(target: Running) -> None:
    """End the run unless the system does its work for the owner, and for nobody else."""
    calls = target.system.calls()
    calls["create without a title"] = ("POST", target.system.base, target.system.new_task.replace("A new task", ""))
    wanted = {"list 20": 20, "list 100": 100, "read one": 1, "create": 1, "create without a title": 0, "patch": 1}
    for bearer in (target.token, target.other, target.token[:-4] + "AAAA", ""):
        for work, count in wanted.items():
            if _tasks(target, *calls[work], bearer) != (count if bearer == target.token else 0):
                raise SystemExit(f"{target.system.label} does not do its work, or does it for others: {work}")


def _tasks(target: Running, method: str, path: str, body: str, bearer: str) -> int:
    """How many tasks an answer has; a refusal has none."""
    headers = {"Content-Type": "application/json"} if body else {}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    url = target.url + path.replace("#", target.system.id_format % OWNERS)
    request = urllib.request.Request(url, body.encode() or None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code < 500:
            return 0
        raise
    tasks = found.get("items", [found]) if isinstance(found, dict) else found
    return sum("title" in task for task in tasks)
