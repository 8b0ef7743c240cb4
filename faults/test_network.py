"""What the network does: silence, cuts, stalls, and clients that leave."""

import secrets
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import httpx2
import pytest

from faults.conftest import Figure, World
from faults.support.load import Load, create, read, status_of
from faults.support.postgres import Postgres
from faults.support.service import WORKERS, Service, serving
from tests.support.proxy import RunningProxy, proxied
from tests.support.service import User, wait_until


class Wired(NamedTuple):
    """A service, and the way to its database, which can be cut, stalled and silenced."""

    service: Service
    way: RunningProxy


@pytest.fixture(scope="module")
def wired(postgres: Postgres) -> Iterator[Wired]:
    with (
        postgres.database() as name,
        proxied(postgres.url(name)) as way,
        serving(way.url, database_pool_size=5, database_statement_timeout=1) as service,
    ):
        yield Wired(service, way)


@pytest.mark.quick
def test_a_write_whose_answer_was_cut_off_is_done_once_when_it_is_sent_again(wired: Wired, figure: Figure) -> None:
    user = wired.service.user()
    create(user, "first")
    for number in range(30):
        title = f"cut {number}"
        wired.way.proxy.swallow = title.encode()
        headers = {"Idempotency-Key": title.replace(" ", "-")}
        assert create(user, title, headers) == 503
        again = user.send("POST", json={"title": title}, headers=headers)
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert [task["title"] for task in user.tasks()] == ["first", *(f"cut {number}" for number in range(30))]
    figure("30 answers cut off after the commit, 30 sent again, 30 there once")


CLIENTS = {"one client": 1, "many clients": 16}


@pytest.mark.quick
@pytest.mark.parametrize("name", CLIENTS)
def test_connections_that_died_without_a_word_cost_at_most_one_round(wired: Wired, figure: Figure, name: str) -> None:
    clients = CLIENTS[name]
    service, proxy = wired.service, wired.way.proxy
    with ThreadPoolExecutor(16) as threads:
        users = [service.user() for _ in range(16)]
        wait_until(lambda: set(threads.map(create, users)) == {201} and proxy.connections >= 4)
        silenced = proxy.connections
        proxy.silence()
        started = time.monotonic()
        rounds: list[list[int]] = []
        while not rounds or set(rounds[-1]) != {200}:
            rounds.append(list(threads.map(read, users[:clients])))
        took = time.monotonic() - started
    # What one worker finds out, the other doesn't know: whoever meets it next may be refused once more.
    refused = [answers.count(503) for answers in rounds]
    assert len(rounds) <= WORKERS + 1, rounds
    figure(f"{silenced} connections dead, 503s in each round of {clients}: {refused}, over after {took:.1f} s")


@pytest.mark.quick
def test_five_hundred_clients_that_leave_in_the_middle_leave_nothing_behind(
    world: World, user: User, figure: Figure
) -> None:
    service = world.service
    wait_until(lambda: len(service.connected_ports()) <= 20)
    before = len(service.connected_ports())
    head = f"POST {user.path} HTTP/1.1\r\nHost: x\r\nAuthorization: {user.headers['Authorization']}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 20\r\n\r\n"
    parts = [head[:30], head, head + '{"title": ', head + '{"title": "left it"}']
    for number in range(500):
        with service.connect() as leaver:
            leaver.sendall(parts[number % len(parts)].encode())
            if number % 3 == 0:  # as a crash does, with a reset
                leaver.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    started = time.monotonic()
    for _ in range(20):
        assert read(user) == 200
    figure(f"20 reads after them took {time.monotonic() - started:.2f} s")
    assert sum(task["title"] == "left it" for task in user.tasks()) <= 125
    wait_until(lambda: len(service.connected_ports()) <= before + 1)


def test_a_storm_of_cuts_and_stalls_gives_nobody_an_answer_of_somebody_else(wired: Wired, figure: Figure) -> None:
    """Fifty owners on five connections a worker, while answers are cut off, held up and lost."""
    users = [wired.service.user() for _ in range(50)]
    first = [user.create(user.id)["id"] for user in users]

    def ask(number: int) -> int:
        user, task = users[number], first[number]
        match secrets.randbelow(4):
            case 0:
                return checked(user, f"/{task}")
            case 1:
                return create(user, user.id)
            case 2:
                return status_of(lambda: user.send("PATCH", f"/{task}/complete", json={"completed": True}))
            case _:
                return checked(user, "?limit=5")

    with Load(50, ask) as load:
        for number in range(18):
            load.wait_for(20)
            match number % 3:
                case 0:
                    wired.way.cut()
                case 1:
                    wired.way.proxy.stall = True
                    load.wait_for_refusals(1)
                    wired.way.proxy.stall = False
                case _:
                    wired.way.proxy.silence()
        load.wait_for(500)
    assert set(load.statuses) <= {200, 201, 503}, load.statuses
    figure(f"{load.statuses.total()} answers, {load.count(503)} of them 503, none of another's")


def checked(user: User, path: str) -> int:
    """A read, whose answer must hold this user's tasks alone."""

    def ask() -> httpx2.Response:
        response = user.get(path)
        if response.status_code == 200:
            found = response.json()
            for task in found if isinstance(found, list) else [found]:
                assert (task["user_id"], task["title"]) == (user.id, user.id)
        return response

    return status_of(ask)
