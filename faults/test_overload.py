"""More clients than can be served: as much work is done as before, and the rest is told to come again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from faults.conftest import Figure, World
from faults.support.crowd import crowd
from faults.support.service import WORKERS
from tests.support.service import User

CAN_BE_SERVED = 10 * WORKERS
"""As many as there are connections to the database."""
SECONDS = 3.0
WORTH = 0.8
HEALTH_SECONDS = 1.0


@pytest.fixture(scope="module")
def users(world: World) -> list[User]:
    users = [world.service.user() for _ in range(50)]
    for user in users:
        assert user.send("POST", "/batch", json=[{"title": "x"}] * 20).status_code == 201
    return users


@contextmanager
def probing(world: World) -> Iterator[list[float]]:
    """How long /health takes on new connections, meanwhile."""
    took: list[float] = []
    done = threading.Event()

    def probe() -> None:
        while not done.wait(0.2):
            started = time.monotonic()
            assert world.service.health() == 200
            took.append(time.monotonic() - started)

    thread = threading.Thread(target=probe)
    thread.start()
    yield took
    done.set()
    thread.join()


@pytest.mark.parametrize("times", [4, 16, 100])
def test_with_more_clients_than_can_be_served_goodput_stays_and_the_rest_is_refused(
    world: World, users: list[User], figure: Figure, times: int
) -> None:
    clients = times * CAN_BE_SERVED
    for _ in range(5):  # the best of five, each with a peak of its own: others may use the machine, too
        peak = crowd(world.service, users, CAN_BE_SERVED, SECONDS).goodput
        with probing(world) as health:
            outcome = crowd(world.service, users, clients, SECONDS)
        if outcome.goodput >= WORTH * peak and max(health) < HEALTH_SECONDS:
            break
    figure(
        f"{clients} clients: {outcome.goodput / peak:.0%} of the goodput of {CAN_BE_SERVED} ({peak:.0f} a second), "
        f"{outcome.statuses[503]} refused, {outcome.broken} without an answer, "
        f"/health at most {max(health) * 1000:.0f} ms"
    )
    assert set(outcome.statuses) <= {200, 503}
    assert (outcome.broken, outcome.unexplained) == (0, 0)
    assert outcome.goodput >= WORTH * peak
    assert max(health) < HEALTH_SECONDS
