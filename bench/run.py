"""Measure the service beside its peers and its limits: ``make bench``, or ``python bench/run.py --help``."""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import compare
import cpu
import growth
import limits
import report
import roundtrips
import start
import svg
from database import Cluster, cluster
from install import HERE, install, say

FIGURES, TABLE, PLOT = HERE / "results.json", HERE / "results.md", HERE / "results.svg"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Benchmark the service beside its peers.")
    sections = ["compare", "limits", "roundtrips", "growth", "start"]
    parser.add_argument("sections", nargs="*", metavar="section", help=f"some of {', '.join(sections)}; all by default")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured in turn")
    parser.add_argument("--seconds", type=int, default=2, help="how long each measurement lasts")
    parser.add_argument("--connections", default="16,256", help="numbers of connections, with commas")
    parser.add_argument("--only", default="", help="peers to compare with, with commas; all by default")
    parser.add_argument("--quick", action="store_true", help="see that it all runs: one round, one second, small data")
    parser.add_argument("--output", type=Path, default=HERE, help="the folder for results.md, .svg and .json")
    given = parser.parse_args()
    if wrong := set(given.sections) - set(sections):
        parser.error(f"there is no section {', '.join(sorted(wrong))}")
    given.sections = given.sections or sections
    if given.quick:
        given.rounds, given.seconds, given.connections = 1, 1, "16"
    return given


def _measurements(given: argparse.Namespace) -> dict[str, Callable[[Cluster, Path], dict[str, Any]]]:
    connections = [int(number) for number in given.connections.split(",")]
    only = given.only.split(",") if given.only else []
    rounds, seconds = given.rounds, given.seconds
    return {
        "compare": lambda server, folder: compare.compare(server, folder, rounds, seconds, connections, only),
        "limits": lambda server, folder: limits.limits(server, folder, rounds, seconds),
        "roundtrips": roundtrips.roundtrips,
        "start": lambda server, folder: start.start(server, folder, rounds),
        "growth": lambda server, folder: growth.growth(server, folder, rounds, seconds, given.quick),
    }


def _machine(server: Cluster) -> dict[str, Any]:
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return {
        "cores": os.cpu_count(),
        "processor": cpu.model(),
        "memory": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "python": platform.python_version(),
        "node": node.strip().removeprefix("v"),
        "postgresql": server.version(),
    }


def _write(figures: dict[str, Any], folder: Path) -> None:
    # After each section, so that an interrupted run leaves what it has measured.
    (folder / FIGURES.name).write_text(json.dumps(figures, indent=1) + "\n")
    (folder / TABLE.name).write_text(report.markdown(figures))
    if "compare" in figures:
        (folder / PLOT.name).write_text(svg.plot(figures["compare"]))


def main() -> None:
    given = _arguments()
    install()
    known = given.output / FIGURES.name
    figures: dict[str, Any] = json.loads(known.read_text()) if known.exists() else {}
    figures["command"] = "make bench"
    with cluster() as (server, folder):
        figures["machine"] = _machine(server)
        compare.prepare(server, folder)
        for section, measure in _measurements(given).items():
            if section in given.sections:
                say(f"— {section} —")
                figures[section] = measure(server, folder)
                _write(figures, given.output)
    print(report.markdown(figures))
    say(f"Written to {TABLE.name} and {PLOT.name}.")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
