"""The comparison: every system and every kind of work in turn, in several rounds; and its tables."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from pathlib import Path
from statistics import median

from database import Cluster
from load import Sample, check, load
from server import memory, say, started
from systems import NODATABASE, SERVICE, System

WORK = list(SERVICE.calls())
TEXT = """
## Server CPU per request

Microseconds, {connections} connections, one worker each (in brackets: times this service's). PostgreSQL and the load
are not counted; PocketBase has its database inside, and counts with it (SQLite, which does not wait for the disk at
each write). Logs are what each system writes by default, to a file: a line for each request from this service, the
limits and Textbook FastAPI, a row of its database from PocketBase, nothing from the others.

{cpu}
![Server CPU per request](results.svg)

Rounds: {rounds}, in each of them {seconds} s for each kind of work and system in turn. Figures are medians of the
rounds, and ratios medians of each round's ratio. After {requests:,} requests of theirs, this service's worker holds
{memory:.0f} MiB.

## Speed

Requests a second / p50 in ms / p99 in ms / PostgreSQL's CPU in µs a request. "Stuck" is what answers nothing any more,
as the textbook design with 256 connections: all threads wait for a connection, and all connections for a thread.

{speed}"""


class Comparison:
    """What has been measured so far: after each round, one more sample of each system and kind of work."""

    def __init__(self, systems: list[System], rounds: int, seconds: int, connections: int) -> None:
        self._systems, self._rounds, self._seconds, self._connections = systems, rounds, seconds, connections
        self._samples: defaultdict[tuple[System, str], list[Sample]] = defaultdict(list)

    def measure(self, cluster: Cluster, folder: Path) -> Generator[str, None, None]:
        """Start all systems and measure them. Yields the tables after each round."""
        with contextlib.ExitStack() as stack:
            targets = []
            for system in self._systems:
                say(f"Starting and warming up {system.label} …")
                targets.append(target := stack.enter_context(started(system, cluster, folder)))
                if system is not NODATABASE:
                    check(target)
                for work in WORK:
                    load(target, work, self._connections, 1, cluster.process)
            service = targets[0]
            for turn in range(self._rounds):
                say(f"Round {turn + 1} of {self._rounds} …")
                for work in WORK:
                    for target in targets:
                        sample = load(target, work, self._connections, self._seconds, cluster.process)
                        self._samples[target.system, work].append(sample)
                targets.append(targets.pop(0))  # so that none is always the first
                yield self._text(turn + 1, memory(service.process))

    def _text(self, rounds: int, mebibytes: float) -> str:
        return TEXT.format(
            connections=self._connections,
            cpu=self._table(self._cpu),
            seconds=self._seconds,
            rounds=rounds,
            requests=sum(sample.requests for work in WORK for sample in self._samples[SERVICE, work]),
            memory=mebibytes,
            speed=self._table(self._speed),
        )

    def _table(self, cell: Callable[[System, str], str]) -> str:
        def known(system: System, work: str) -> str:
            return cell(system, work) if self._median(system, work, "requests") else "stuck"

        rows = [[system.label, *(known(system, work) for work in WORK)] for system in self._systems]
        lines = ["|  | " + " | ".join(WORK) + " |", "|---|" + "---:|" * len(WORK)]
        return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"

    def _cpu(self, system: System, work: str) -> str:
        rounds = zip(self._samples[system, work], self._samples[SERVICE, work], strict=True)
        ratio = median(sample.cpu / max(own.cpu, 1e-9) for sample, own in rounds)
        return f"{self._median(system, work, 'cpu'):,.0f} ({ratio:.{1 if ratio >= 1 else 2}f} ×)"

    def _speed(self, system: System, work: str) -> str:
        figures = ("rate", "p50", "p99", "database_cpu")
        rate, p50, p99, database = (self._median(system, work, figure) for figure in figures)
        failed = sum(sample.failed for sample in self._samples[system, work])
        shown = f"{rate:,.0f} / {p50 / 1000:.1f} / {p99 / 1000:.1f} / {database:,.0f}"
        return f"{shown}, {failed:,} failed" if failed else shown

    def _median(self, system: System, work: str, figure: str) -> float:
        return median(getattr(sample, figure) for sample in self._samples[system, work])


def cold_start(cluster: Cluster, folder: Path) -> str:
    """The time to the first answer, on a database that is migrated already."""
    taken = []
    for _ in range(5):
        begun = time.monotonic()
        with started(SERVICE, cluster, folder):
            taken.append((time.monotonic() - begun) * 1000)
    return f"\nCold start: this service answers after {median(taken):.0f} ms.\n"
