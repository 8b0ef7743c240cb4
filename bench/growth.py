"""What does not grow: latency with the number of tasks, and memory with the number of requests."""

import contextlib
import http.client
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import cpu
from database import OWNER, TASKS, Cluster
from install import say
from load import load
from systems import SERVICE, Running, started, token

SIZES = (10_000, 1_000_000, 10_000_000)
QUICK_SIZES = (10_000, 100_000)
ORDINARY = "ordinary0000001"  # has 100 tasks, as every other owner has but OWNER with its 1000 pages
LARGE = "large0000000001"  # has 100,000 tasks where there are a million or more
LARGE_TASKS = 100_000
PAGE = 10
STEP = 500_000


def _fill(cluster: Cluster, database: str, count: int) -> None:
    """OWNER gets 1000 pages of ten, LARGE a tenth; the rest goes to owners of 100 each, mixed as they would write."""
    large = LARGE_TASKS if count >= 10 * LARGE_TASKS else 0
    owners = _owners(count)
    owner = f"CASE WHEN i % {owners} = 0 THEN '{ORDINARY}' ELSE 'many' || i % {owners} END"
    mixed = max(count - TASKS - large, 100)
    cluster.execute(
        database,
        f"INSERT INTO users (id) SELECT DISTINCT {owner} FROM generate_series(1, {owners}) AS i",
        f"INSERT INTO users (id) VALUES ('{OWNER}'), ('{LARGE}')",
    )
    for first in range(1, mixed + 1, STEP):
        last = min(first + STEP - 1, mixed)
        say(f"  {last:,} of {count:,} tasks")
        _insert(cluster, database, owner, first, last)
    _insert(cluster, database, f"'{OWNER}'", mixed + 1, mixed + TASKS)
    _insert(cluster, database, f"'{LARGE}'", mixed + TASKS + 1, mixed + TASKS + large)
    cluster.execute(database, f"SELECT setval('tasks_id_seq', {mixed + TASKS + large})", "VACUUM ANALYZE", "CHECKPOINT")


def _owners(count: int) -> int:
    large = LARGE_TASKS if count >= 10 * LARGE_TASKS else 0
    return max((count - TASKS - large) // 100, 1)


def _insert(cluster: Cluster, database: str, owner: str, first: int, last: int) -> None:
    cluster.execute(
        database,
        # Without a look-up of the owner for every row: all of them exist.
        f"""SET session_replication_role = replica;
            INSERT INTO tasks (user_id, id, title, description, completed, created_at, updated_at)
            SELECT {owner}, i, 'Task number ' || i, 'A few words that say what is to be done', i % 3 = 0, t, t
            FROM generate_series({first}, {last}) AS i,
              LATERAL (SELECT timestamptz '2025-01-01' + i * interval '1 s') AS x(t)""",
    )


@dataclass
class Client:
    """One connection to the service, as one owner."""

    connection: http.client.HTTPConnection
    owner: str

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[float, str]:
        """The microseconds of a request, and where its Link leads."""
        headers = {"Authorization": f"Bearer {token(self.owner)}", "Content-Type": "application/json"}
        begun = time.perf_counter()
        self.connection.request(method, f"/api/{self.owner}/tasks{path}", body, headers)
        answer = self.connection.getresponse()
        answer.read()
        taken = time.perf_counter() - begun
        if answer.status >= 400:
            raise SystemExit(f"The service answered {answer.status} to {method} {path}")
        return taken * 1_000_000, answer.headers.get("Link", "")


@contextlib.contextmanager
def _client(target: Running, owner: str) -> Iterator[Client]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", target.port)) as connection:
        yield Client(connection, owner)


def _page_1000(client: Client) -> str:
    """The query of page 1000: a cursor does not care how large the pages were that led to it."""
    cursor = ""
    for _ in range(10):
        _, link = client.ask("GET", f"?limit=999{cursor}")
        cursor = "&cursor=" + re.findall(r"cursor=([^&>]+)", link)[0]
    return f"?limit={PAGE}{cursor}"


def _latencies(client: Client, deep: Client, page: str, ids: list[int], count: int) -> dict[str, list[float]]:
    works = ("list", "page 1000", "search", "count", "sort by title", "create", "patch")
    times: dict[str, list[float]] = {work: [] for work in works}
    for each in (client, deep):
        each.connection.close()  # the service has, while the others were measured; the next request opens it again
    for turn in range(count):
        times["list"].append(client.ask("GET", f"?limit={PAGE}")[0])
        times["page 1000"].append(deep.ask("GET", page)[0])
        times["search"].append(client.ask("GET", f"?limit={PAGE}&q=NUMBER%20{turn}")[0])
        times["count"].append(client.ask("GET", f"?limit={PAGE}&count=true&completed=false")[0])
        times["sort by title"].append(client.ask("GET", f"?limit={PAGE}&sort=title")[0])
        times["create"].append(client.ask("POST", "", '{"title":"A new task"}')[0])
        state = "true" if turn % 2 else "false"
        times["patch"].append(client.ask("PATCH", f"/{random.choice(ids)}", f'{{"completed":{state}}}')[0])
    return times


def sizes(cluster: Cluster, folder: Path, counts: tuple[int, ...], rounds: int) -> dict[str, dict[str, float]]:
    """p50 in microseconds on one connection, with each number of tasks in turn, in interleaved rounds.

    Under "large" the same for LARGE, among the last number of tasks.
    """
    with contextlib.ExitStack() as stack:
        measured: dict[str, tuple[Client, Client, str, list[int]]] = {}
        for count in counts:
            say(f"Filling {count:,} tasks …")
            database = f"growth_{count}"
            cluster.create(database)
            system = replace(SERVICE, key=database, database=database)
            target = stack.enter_context(started(system, cluster, folder))
            _fill(cluster, database, count)
            client, deep = (stack.enter_context(_client(target, owner)) for owner in (ORDINARY, OWNER))
            measured[str(count)] = client, deep, _page_1000(deep), [_owners(count) * n for n in range(1, 101)]
            _latencies(*measured[str(count)], 50)
        if counts[-1] >= 10 * LARGE_TASKS:
            large = stack.enter_context(_client(target, LARGE))
            measured["large"] = large, large, _page_1000(large), list(range(counts[-1] - 100, counts[-1]))
        found: dict[str, dict[str, list[float]]] = {name: {} for name in measured}
        for turn in range(rounds):
            say(f"Growth, round {turn + 1} of {rounds}")
            for name, clients in measured.items():
                for work, times in _latencies(*clients, 10).items():
                    found[name].setdefault(work, []).extend(times)
    return {name: {work: median(times) for work, times in by.items()} for name, by in found.items()}


def memory(cluster: Cluster, folder: Path, first: int, last: int) -> dict[str, int]:
    """Resident bytes of one worker after ``first`` and after ``last`` requests of all kinds but creating."""
    found: dict[str, int] = {}
    done = 0
    with started(SERVICE, cluster, folder) as target:
        while done < last:
            for work in ("list 20", "read one", "patch", "list 100"):
                goal = first if done < first else last
                done += load(target, work, 16, 2 if goal == first else 10).requests
                if done >= goal:
                    found[str(goal)] = cpu.resident_bytes(target.process)
                    if goal == last:
                        break
            say(f"Memory: {done:,} of {last:,} requests, {cpu.resident_bytes(target.process) >> 20} MiB")
    return found


def workers(cluster: Cluster, folder: Path, rounds: int, seconds: int) -> dict[str, dict[str, float]]:
    """Requests a second with one worker and with two, medians of interleaved rounds."""
    found: dict[str, dict[str, list[float]]] = {}
    with contextlib.ExitStack() as stack:
        targets = {}
        for count in (1, 2):
            options = ["--workers", str(count)] if count > 1 else []
            system = replace(SERVICE, key=f"workers-{count}", command=_with(options))
            targets[str(count)] = stack.enter_context(started(system, cluster, folder))
            time.sleep(2)  # the second worker may be a little later than the first
        for turn in range(rounds):
            say(f"One worker and two, round {turn + 1} of {rounds}")
            for work in ("list 20", "read one", "create", "health"):
                for number, target in targets.items():
                    rate = load(target, work, 32, seconds).rate
                    found.setdefault(work, {}).setdefault(number, []).append(rate)
    return {work: {number: median(rates) for number, rates in by.items()} for work, by in found.items()}


def _with(options: list[str]) -> Any:
    return lambda port: [*SERVICE.command(port), *options]


def growth(cluster: Cluster, folder: Path, rounds: int, seconds: int, quick: bool) -> dict[str, Any]:
    """All of it; ``quick`` is enough to see that it runs."""
    return {
        "sizes": sizes(cluster, folder, QUICK_SIZES if quick else SIZES, rounds * (2 if quick else 10)),
        "memory": memory(cluster, folder, *((1_000, 20_000) if quick else (10_000, 1_000_000))),
        "workers": workers(cluster, folder, rounds, seconds),
    }
