"""Clients that take their time, on purpose or not, are cut: they would use up what everybody needs."""

import contextlib
import time
from collections.abc import Callable

from faults.conftest import Figure
from faults.support.load import read
from faults.support.service import serving
from tests.support.service import User

MARGIN = 5.0
CLIENTS = 50


def half_a_head(user: User) -> bytes:
    return f"GET {user.path} HTTP/1.1\r\nHost: x\r\nX-Slow: ".encode()


def half_a_body(user: User) -> bytes:
    head = f"POST {user.path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f'{head}Authorization: {user.headers["Authorization"]}\r\nContent-Length: 100\r\n\r\n{{"title'.encode()


def answers_that_nobody_reads(user: User) -> bytes:
    head = f"GET {user.path}?limit=1000 HTTP/1.1\r\nHost: x\r\nAuthorization: {user.headers['Authorization']}\r\n\r\n"
    return head.encode() * 8


SLOW: dict[str, tuple[Callable[[User], bytes], float]] = {
    "headers": (half_a_head, 10.0),
    "bodies": (half_a_body, 15.0),
    "readers": (answers_that_nobody_reads, 40.0),  # 10 to notice, 30 to wait
}


def test_slow_clients_are_cut_and_cost_nobody_else(database_url: str, figure: Figure) -> None:
    with serving(database_url) as service, contextlib.ExitStack() as stack:
        user, others = service.user(), service.user()
        body = [{"title": "x", "description": "y" * 1000}] * 1000
        assert user.send("POST", "/batch", json=body).status_code == 201
        connected: dict[str, set[int]] = {}
        for name, (say, _) in SLOW.items():
            clients = [stack.enter_context(service.connect(receive_buffer=4096)) for _ in range(CLIENTS)]
            connected[name] = {client.getsockname()[1] for client in clients}
            for client in clients:
                client.sendall(say(user))
        started = time.monotonic()
        while connected:
            assert read(others) == 200
            still, took = service.connected_ports(), time.monotonic() - started
            for name in [name for name, ports in connected.items() if not ports & still]:
                figure(f"{CLIENTS} slow {name}, all cut within {took:.1f} s")
                del connected[name]
            for name in connected:
                assert took < SLOW[name][1] + MARGIN, f"slow {name} are not cut"
