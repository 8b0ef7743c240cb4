"""The main comparison: every system, every kind of work, in turn and in several rounds."""

import contextlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any, Self

from database import TASKS, Cluster, fill
from install import say
from load import WORK, Sample, answers, check, load
from pocketbase import POCKETBASE, pocketbase
from systems import BARE, NODATABASE, POSTGRES_PEERS, SERVICE, Running, System, environment, started

SYSTEMS = [SERVICE, *POSTGRES_PEERS, POCKETBASE, BARE, NODATABASE]


def prepare(cluster: Cluster, folder: Path) -> None:
    """Let the service make its schema, fill it, and copy it for every peer."""
    say(f"Filling {TASKS * 10:,} tasks …")
    cluster.create(SERVICE.database)
    with started(SERVICE, cluster, folder):
        pass
    cluster.execute(SERVICE.database, *fill(TASKS * 10))
    for peer in POSTGRES_PEERS:
        cluster.create(peer.database, SERVICE.database)
    # Django's models have one column as key, so its table has an index for that.
    cluster.execute("django", "CREATE UNIQUE INDEX ON tasks (id)")


def compare(
    cluster: Cluster, folder: Path, rounds: int, seconds: int, connections: list[int], only: list[str]
) -> dict[str, Any]:
    """Measure, and return for each system, work and number of connections the samples of all rounds."""
    chosen = [system for system in SYSTEMS if not only or system.key in only or system is SERVICE]
    samples: dict[str, list[Sample]] = {}
    with contextlib.ExitStack() as stack:
        systems = [stack.enter_context(Contestant(system, cluster, folder)) for system in chosen]
        for contestant in systems:
            if contestant.system is not NODATABASE:
                check(contestant.target)
            say(f"Warming up {contestant.system.label} …")
            for work in WORK:
                load(contestant.target, work, 16, 1)
        for turn in range(rounds):
            for work in WORK:
                for count in connections:
                    say(f"Round {turn + 1} of {rounds}: {work}, {count} connections")
                    # Each round starts with another system, so that none is always the first.
                    for contestant in systems[turn % len(systems) :] + systems[: turn % len(systems)]:
                        earlier = samples.setdefault(f"{contestant.system.key}/{work}/{count}", [])
                        # What was stuck once is not tried again: each time costs a restart.
                        again = earlier[-1] if earlier and earlier[-1].stuck else None
                        earlier.append(again or contestant.measure(work, count, seconds))
    return {
        "systems": {system.key: system.label for system in chosen},
        "connections": connections,
        "rounds": rounds,
        "seconds": seconds,
        "cells": {key: summarise(list_, samples[_own(key)]) for key, list_ in samples.items()},
    }


def _own(key: str) -> str:
    return "/".join([SERVICE.key, *key.split("/")[1:]])


def summarise(samples: list[Sample], own: list[Sample]) -> dict[str, Any]:
    """Medians, and the medians of the ratios to the service within each round."""

    def ratio(of: Callable[[Sample], float]) -> float:
        return median(of(sample) / max(of(mine), 1e-9) for sample, mine in zip(samples, own, strict=True))

    medians = {name: median(asdict(sample)[name] for sample in samples) for name in asdict(samples[0])}
    faults = {name: sum(asdict(sample)[name] for sample in samples) for name in ("refused", "broken", "stuck")}
    return {**medians, **faults, "cpu_ratio": ratio(lambda s: s.cpu), "rate_ratio": ratio(lambda s: s.rate)}


class Contestant:
    """A system while it is measured. One that no longer answers after a run is started again."""

    target: Running

    def __init__(self, system: System, cluster: Cluster, folder: Path) -> None:
        self.system = system
        self._cluster = cluster
        self._folder = folder
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        say(f"Starting {self.system.label} …")
        if self.system is POCKETBASE:
            env = environment(self.system, self._cluster, 0)
            started_system = pocketbase(self._folder, env, TASKS * 10)
        else:
            started_system = started(self.system, self._cluster, self._folder)
        self.target = self._stack.enter_context(started_system)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, work: str, connections: int, seconds: int) -> Sample:
        sample = load(self.target, work, connections, seconds, self._cluster.process)
        if answers(self.target):
            return sample
        say(f"{self.system.label} is stuck after {work} with {connections} connections")
        self._stack.close()
        self.__enter__()
        load(self.target, work, 16, 1)
        return replace(sample, stuck=1)
