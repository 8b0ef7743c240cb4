"""Whatever dies under writes: each that was acknowledged is there, once."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from embedded.watcher import pid_file
from faults.conftest import Figure
from faults.support.load import Writers, create
from faults.support.postgres import Postgres, terminate_others
from faults.support.service import Service, free_port, serving
from tests.support.proxy import RunningProxy
from tests.support.service import data_folder, wait_until

Fault = Callable[[Postgres, str, Service], None]


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


def kill_a_worker(_postgres: Postgres, _database: str, service: Service) -> None:
    os.kill(victim := service.workers[0], signal.SIGKILL)
    wait_until(lambda: len(service.workers) == 2 and victim not in service.workers)


def stop_and_start_the_database(postgres: Postgres, _database: str, _service: Service) -> None:
    postgres.stop("immediate")
    postgres.start()


def end_busy_connections(postgres: Postgres, database: str, _service: Service) -> None:
    with postgres.connect(database) as connection:
        assert sum(terminate_others(connection, patience=0) for _ in range(100)) > 100


FAULTS: dict[str, Fault] = {
    "kill -9 of a worker": kill_a_worker,
    "PostgreSQL stopped (immediate) and started": stop_and_start_the_database,
    "connections ended while busy": end_busy_connections,
}


@pytest.mark.quick
@pytest.mark.parametrize("name", FAULTS)
def test_no_acknowledged_write_is_lost_or_doubled(postgres: Postgres, database: str, figure: Figure, name: str) -> None:
    url = postgres.url(database)
    with serving(url) as service, writing(service, figure, url):
        FAULTS[name](postgres, database, service)


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
def test_connections_that_end_while_idle_cost_no_request(postgres: Postgres, database: str, figure: Figure) -> None:
    with serving(postgres.url(database)) as service, postgres.connect(database) as connection:
        writers = Writers(service)
        ended = 0
        for _ in range(10):
            with writers:
                writers.wait_for(20)
            ended += terminate_others(connection)
        assert ended > 20
        statuses = writers.statuses
        assert set(statuses) == {201}
        figure(f"{ended} connections ended, {statuses[201]} writes, none refused")


@pytest.mark.quick
def test_a_write_whose_answer_was_cut_off_is_done_once_when_it_is_sent_again(
    wire: RunningProxy, figure: Figure
) -> None:
    with serving(wire.url) as service:
        user = service.user()
        create(user, "first")
        for number in range(30):
            title = f"cut {number}"
            wire.proxy.swallow = title.encode()
            headers = {"Idempotency-Key": title.replace(" ", "-")}
            assert create(user, title, headers) == 503
            again = user.send("POST", json={"title": title}, headers=headers)
            assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
        titles = [task["title"] for task in user.tasks()]
        assert titles == ["first", *(f"cut {number}" for number in range(30))]
        figure("30 answers cut off after the commit, 30 sent again, 30 there once")
