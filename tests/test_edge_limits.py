"""The edge: how long a client may take, how many there may be, and how the service stops."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.protocol import Protocol
from routes.http import body as bodies
from tests.support.echo import ANSWER_BYTES, Quick, echo
from tests.support.process import ROOT, run, run_service
from tests.support.service import SECRET, User, make_token, serving, wait_until
from tests.support.wire import Wire, dial, head

GET = head("GET", "/")
WITHOUT_END = GET[:-2]


@pytest.fixture(scope="module")
def quick() -> Iterator[str]:
    with serving(echo, http=Quick) as (url, _):
        yield url


def test_the_limits_are_those_of_the_contract() -> None:
    assert (Protocol.largest_head, Protocol.most_lines) == (64 * 1024, 100)
    assert (Protocol.head_seconds, Protocol.unread_seconds, bodies.BODY_SECONDS) == (10, 30, 15)
    assert Protocol.stop_seconds < 10, "a stop waits 10 s"


SLOW: dict[str, tuple[bytes, bytes]] = {
    "says nothing": (b"", b""),
    "sends half of a head": (WITHOUT_END, b""),
    "drips a head": (WITHOUT_END, b"X: x\r\n"),
    "drips empty lines": (b"\r\n", b"\r\n"),
    "drips a body that nobody reads": (head("GET", "/", "Content-Length: 1000"), b"x"),
    "drips a second head": (GET + WITHOUT_END, b"X: x\r\n"),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_client_is_cut_that(quick: str, name: str) -> None:
    begin, drip = SLOW[name]
    with dial(quick) as client:
        started = time.monotonic()
        client.send(begin)
        received = _until_closed(client, drip)
    assert time.monotonic() - started < Quick.head_seconds + 2
    assert (b"408 Request Timeout" in received) == ("head" in name)


def _until_closed(client: Wire, drip: bytes) -> bytes:
    received = b""
    client.socket.settimeout(0.05)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            client.send(drip)
            if not (part := client.socket.recv(65536)):
                return received
            received += part
        except TimeoutError:
            continue
        except ConnectionError:
            return received
    raise AssertionError("it was never cut")


def test_an_answer_may_take_longer_than_a_head(quick: str) -> None:
    with dial(quick) as client:
        client.send(head("GET", "/slow"))
        assert client.answer().status_code == 200
        client.send(GET)
        assert client.answer().status_code == 200


@pytest.mark.parametrize("drip", [b"", b" "])
def test_a_body_that_takes_too_long_gets_a_408(user: User, monkeypatch: pytest.MonkeyPatch, drip: bytes) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.4)
    lines = [f"Authorization: {user.headers['Authorization']}", "Content-Type: application/json"]
    with dial(str(user.client.base_url)) as client:
        client.send(head("POST", user.path, *lines, "Content-Length: 10000"), b'{"title": ')
        received = _until_closed(client, drip)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in received


def test_a_client_that_reads_nothing_is_cut() -> None:
    with serving(echo, http=Quick) as (url, server), dial(url, receive_buffer=4096) as client:
        client.send(head("GET", "/large"))
        wait_until(lambda: server.server_state.connections)
        [connection] = server.server_state.connections
        wait_until(lambda: connection.transport.get_write_buffer_size() > ANSWER_BYTES // 4)
        wait_until(lambda: not server.server_state.connections, 2 * Quick.unread_seconds + 2)
        received = 0
        try:
            while part := client.socket.recv(2**20):
                received += len(part)
        except ConnectionError:
            pass
        assert received < ANSWER_BYTES


def test_a_client_that_reads_slowly_gets_all(quick: str) -> None:
    """Much of it waits in the kernel, where what the client reads is not felt at once."""
    with dial(quick, receive_buffer=65536) as client:
        client.send(head("GET", "/large"))
        received, started = 0, time.monotonic()
        while received < ANSWER_BYTES:
            part = client.socket.recv(65536)
            assert part, f"cut after {received} bytes"
            received += len(part)
            time.sleep(0.05)
        assert time.monotonic() - started > 2 * Quick.unread_seconds


def test_a_client_that_reads_next_to_nothing_is_cut() -> None:
    with serving(echo, http=Quick) as (url, server), dial(url, receive_buffer=4096) as client:
        client.send(head("GET", "/large"))
        wait_until(lambda: server.server_state.connections)
        client.socket.settimeout(0.05)
        started = time.monotonic()
        while server.server_state.connections:
            assert time.monotonic() - started < 4 * Quick.unread_seconds
            with contextlib.suppress(TimeoutError):
                client.socket.recv(100)
            time.sleep(0.05)


def test_a_stop_waits_for_nobody_who_does_not_send(tmp_path: Path, database_url: str) -> None:
    environment = {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET}
    with run_service(tmp_path, environment=environment) as service, contextlib.ExitStack() as open_wires:
        url = service.url()
        owner = make_token(sub="stop")
        lines = [f"Authorization: Bearer {owner}", "Content-Type: application/json", "Content-Length: 10000"]
        clients = [open_wires.enter_context(dial(url)) for _ in range(30)]
        for number, client in enumerate(clients):
            client.send([b"", WITHOUT_END, head("POST", "/api/stop/tasks", *lines) + b"{"][number % 3])
        idle = open_wires.enter_context(dial(url))
        idle.send(head("GET", "/health"))
        assert idle.answer().status_code == 200

        started = time.monotonic()
        service.process.terminate()
        assert service.process.wait(20) == 0
        assert time.monotonic() - started < 11
    assert "Traceback" not in service.output
    assert "ERROR" not in service.output


def test_who_starts_plain_uvicorn_is_told_what_must_stand_in_front(tmp_path: Path, database_url: str) -> None:
    environment = {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET}
    plain = [sys.executable, "-m", "uvicorn", "main:app", "--app-dir", str(ROOT), "--port", "0"]
    for command, times in ((plain, 1), ([sys.executable, str(ROOT / "serve.py"), "--port", "0"], 0)):
        with run(command, tmp_path, environment) as service:
            service.url()
        assert service.output.count("a proxy must stand in front") == times
