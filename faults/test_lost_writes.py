"""Whatever dies under writes: each that was acknowledged is there, once."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from embedded.watcher import pid_file
from faults.conftest import Figure, World
from faults.support.load import Writers
from faults.support.postgres import terminate_others
from faults.support.service import Service, free_port, serving
from tests.support.service import data_folder, wait_until

Fault = Callable[[World], None]


@contextmanager
def writing(service: Service, figure: Figure, database_url: str) -> Iterator[Writers]:
    """Writes before, during and after what happens in the block."""
    writers = Writers(service)
    with writers:
        writers.wait_for(100)
        started = time.monotonic()
        yield writers
        writers.wait_for(100)
    figure(writers.check(database_url))
    figure(f"at most {writers.gap(started):.2f} s without one")


def kill_a_worker(world: World) -> None:
    service = world.service
    os.kill(victim := service.workers[0], signal.SIGKILL)
    wait_until(lambda: len(service.workers) == 2 and victim not in service.workers)


def stop_and_start_the_database(world: World) -> None:
    world.postgres.stop("immediate")
    world.postgres.start()


def end_busy_connections(world: World) -> None:
    with world.postgres.connect(world.database) as connection:
        ended = 0
        while ended < 200:
            ended += terminate_others(connection, patience=0)


FAULTS: dict[str, Fault] = {
    "kill -9 of a worker": kill_a_worker,
    "PostgreSQL stopped (immediate) and started": stop_and_start_the_database,
    "connections ended while busy": end_busy_connections,
}


@pytest.mark.quick
@pytest.mark.parametrize("name", FAULTS)
def test_no_acknowledged_write_is_lost_or_doubled(world: World, figure: Figure, name: str) -> None:
    with writing(world.service, figure, world.database_url):
        FAULTS[name](world)


def test_no_acknowledged_write_is_lost_by_kill_9_of_the_whole_service(database_url: str, figure: Figure) -> None:
    port = free_port()
    with serving(database_url, port=port) as service, writing(service, figure, database_url) as writers:
        service.kill()
        with serving(database_url, port=port):
            writers.wait_for(100)
            writers.finish()


def test_no_acknowledged_write_is_lost_by_kill_9_of_the_embedded_server(figure: Figure) -> None:
    with data_folder() as folder, serving(folder=folder) as service:
        home = folder / ".data" / "postgres"
        writers = Writers(service)
        with writers:
            for _ in range(3):
                writers.wait_for(50)
                killed = time.monotonic()
                os.kill(int(pid_file(home)[0]), signal.SIGKILL)
                writers.wait_for(50)
                figure(f"back after {writers.gap(killed):.1f} s")
        figure(writers.check(f"postgresql://postgres@/postgres?host={pid_file(home)[4]}"))


@pytest.mark.quick
def test_connections_that_end_while_idle_cost_no_request(world: World, figure: Figure) -> None:
    writers = Writers(world.service)
    ended = 0
    with world.postgres.connect(world.database) as connection:
        for _ in range(10):
            with writers:
                writers.wait_for(20)
            ended += terminate_others(connection)
    assert ended > 20
    assert set(writers.statuses) == {201}
    figure(f"{ended} connections ended, {writers.count(201)} writes, none refused")
