"""Measure the service beside its peers and its limits: ``make bench``, or ``python bench/run.py --help``."""

import argparse
import contextlib
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

from compare import Comparison, cold_start
from database import Cluster, cluster
from server import prepare, say
from systems import HERE, PYTHON, SERVICE, SYSTEMS

PEERS = ",".join(system.key for system in SYSTEMS if system is not SERVICE)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Benchmark the service beside its peers.")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured in turn")
    parser.add_argument("--seconds", type=int, default=2, help="how long each measurement lasts")
    parser.add_argument("--connections", type=int, default=16, help="how many the load has open")
    parser.add_argument("--only", default=PEERS, help=f"peers to measure beside the service: {PEERS}")
    parser.add_argument("--quick", action="store_true", help="see that it all runs: one round of one second")
    parser.add_argument("--output", type=Path, help="folder of results.md and .svg: bench, or bench/partial")
    given = parser.parse_args()
    if wrong := set(given.only.split(",")) - set(PEERS.split(",")):
        parser.error(f"there is no {', '.join(sorted(wrong))}")
    if not given.output:
        given.output = HERE if given.only == PEERS and not given.quick else HERE / "partial"
    if given.quick:
        given.rounds, given.seconds = 1, 1
    return given


def _head(given: argparse.Namespace, server: Cluster) -> str:
    options = f"--rounds {given.rounds} --seconds {given.seconds} --connections {given.connections}"
    options += f" --only {given.only}" * (given.only != PEERS)
    processor = Path("/proc/cpuinfo").read_text().partition("model name\t: ")[2].partition("\n")[0]
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f'# Benchmark\n\n`make bench args="{options}"` makes this page. {os.cpu_count()} cores ({processor or "?"}), '
        f"{memory:.0f} GiB of memory, Python {platform.python_version()}, Node {node.removeprefix('v')}, PostgreSQL "
        f"{server.version} with its default durability, all on one machine together with the load. Ratios between "
        "systems mean something; absolute figures only on this machine.\n"
    )


def main() -> None:
    """Write the page after each round, so that an interrupted run leaves what it has measured."""
    given = _arguments()
    if not PYTHON.exists():
        raise SystemExit("Start it by make bench, which installs what it measures.")
    given.output.mkdir(parents=True, exist_ok=True)
    page = given.output / "results.md"
    systems = [system for system in SYSTEMS if system is SERVICE or system.key in given.only.split(",")]
    comparison = Comparison(systems, given.rounds, given.seconds, given.connections)
    with cluster() as (server, folder), contextlib.closing(comparison.measure(server, folder)) as rounds:
        prepare(systems, server, folder)
        for text in rounds:
            page.write_text(_head(given, server) + text)
            subprocess.run([PYTHON, HERE / "plot.py", given.output], check=True)
        page.write_text(page.read_text() + cold_start(server, folder))
    say(f"Written to {page}.")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
