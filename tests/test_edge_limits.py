"""The edge: how long a client may take, how many there may be, and how the service stops."""

import asyncio
import contextlib
import select
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from edge.loop import Door, Loop
from edge.protocol import Protocol
from routes.http import body as bodies
from tests.support.echo import ANSWER_BYTES, Quick, echo
from tests.support.process import ROOT, run, run_service
from tests.support.service import SECRET, User, check_problem, make_token, serving, wait_until
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


@pytest.fixture
def full() -> Iterator[tuple[str, list[Wire]]]:
    """A service with as many connections as it serves, which are given, too."""
    with serving(echo, http=Quick, limit_concurrency=2) as (url, _), contextlib.ExitStack() as open_wires:
        inside = [open_wires.enter_context(dial(url)) for _ in range(2)]
        for client in inside:
            client.send(GET)
            assert client.answer().status_code == 200
        yield url, inside
        for client in inside:
            client.send(GET)
            assert client.answer().status_code == 200


@pytest.mark.parametrize("packets", [1, 2])
@pytest.mark.parametrize(("path", "status"), [("/", 503), ("/health", 200)])
def test_the_excess_is_refused_at_once_and_health_is_answered(
    full: tuple[str, list[Wire]], path: str, status: int, packets: int
) -> None:
    with dial(full[0]) as client:
        if packets == 2:  # it is let in, to see what it asks for
            time.sleep(0.1)
        client.send(head("GET", path))
        answer = client.answer()
        assert answer.status_code == status
        assert client.is_closed(0.2) == (answer.headers.get("Connection") == "close")


def test_who_was_refused_may_stay_and_is_heard_again_after_a_while(
    full: tuple[str, list[Wire]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Door, "held_seconds", 0.3)
    url, inside = full
    with contextlib.ExitStack() as dialled:

        def held() -> Wire | None:
            """A client that was refused at the door, as it is where its request was there already."""
            client = dialled.enter_context(dial(url))
            client.send(GET)
            answer = client.answer()
            check_problem(answer, 503)
            return None if "Connection" in answer.headers else client

        client = wait_until(held)
        for _ in range(2):
            asked = time.monotonic()
            client.send(GET)
            check_problem(client.answer(), 503)
            assert time.monotonic() - asked > 0.2
        inside.pop().close()
        client.send(GET)
        assert client.answer().status_code == 200


NOT_PLAIN = {
    "wants to close": head("GET", "/", "connection:close"),
    "wants to close among others": head("GET", "/", "Connection: keep-alive, close"),
    "brings a body": head("GET", "/", "Content-Length: 3") + b"abc",
    "will bring a body": head("POST", "/", "Content-Length: 3"),
    "brings a body in chunks": head("GET", "/", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "asks twice": GET + GET,
    "asks for another protocol": head("GET", "/", "Upgrade: h2c"),
    "asks for no body": head("HEAD", "/"),
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_who_was_refused_can_t_stay_if_it(full: tuple[str, list[Wire]], name: str) -> None:
    with dial(full[0]) as client:
        client.send(NOT_PLAIN[name])
        answer = client.answer()
        check_problem(answer, 503)
        assert answer.headers["Connection"] == "close"
        assert client.is_closed(5)


def test_connections_that_say_nothing_use_up_no_files() -> None:
    with serving(echo, limit_concurrency=2) as (url, server), contextlib.ExitStack() as open_wires:
        clients = [open_wires.enter_context(dial(url)) for _ in range(20)]

        def refused() -> list[Wire]:
            return [client for client in clients if select.select([client.socket], [], [], 0)[0]]

        wait_until(lambda: len(refused()) >= 16)
        for client in refused():
            check_problem(client.answer(), 503)
        assert len(server.server_state.connections) <= 4


def test_connections_that_wait_are_accepted_together() -> None:
    """Where each takes a turn of the loop, those that come last wait for as many turns as others were before them."""
    accepted: list[asyncio.Transport] = []

    class Accepting(Quick):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            accepted.append(transport)

    async def turns(port_of: socket.socket) -> int:
        config = uvicorn.Config(echo, log_config=None)
        server = await asyncio.get_running_loop().create_server(
            lambda: Accepting(config, uvicorn.server.ServerState(), {}), sock=port_of
        )
        clients = [socket.create_connection(port_of.getsockname()) for _ in range(200)]
        time.sleep(0.5)  # noqa: ASYNC251 (a busy turn)
        turns = 0
        while len(accepted) < len(clients):
            await asyncio.sleep(0)
            turns += 1
        for end in accepted:
            end.close()
        for client in clients:
            client.close()
        server.close()
        return turns

    with socket.create_server(("127.0.0.1", 0)) as listener, asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(turns(listener)) < 20


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
