"""The door: who comes in where there are too many, and who may stay."""

import asyncio
import contextlib
import select
import socket
import time
from collections.abc import Iterator

import pytest
import uvicorn

from edge.loop import Door, Loop
from edge.refusals import refuse
from tests.support.echo import Quick, echo
from tests.support.service import check_problem, serving, wait_until
from tests.support.wire import Wire, dial, head

GET = head("GET", "/")


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
        with dial(url) as client:
            client.send(head("GET", "/health"))
            assert client.answer().status_code == 200, "silent connections keep health from being answered"


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


# What the door sees of them where their bytes are there already.
UNPLAIN = {
    **NOT_PLAIN,
    "wants to close, after a tab": head("GET", "/", "Connection:\tclose"),
    "says nothing": b"",
    "has only begun": GET[:-2],
    "folds a line": head("GET", "/", "X: y", "\tTransfer-Encoding: chunked"),
    "begins with a folded line": b"GET / HTTP/1.1\r\n Content-Length: 9\r\n\r\n",
    "has a line that is no header": head("GET", "/", "garbage"),
    "has a name that is no name": head("GET", "/", "\0Content-Length: 9"),
    "has more than a line may": head("GET", "/", "X: \0"),
    "has too many lines": head("GET", "/", *["X: y"] * 100),
    "ends its lines otherwise": GET.replace(b"\r", b""),
    "is of another version": GET.replace(b"1.1", b"1.0"),
    "names its version twice": GET.replace(b"/ ", b"/ HTTP/1.0 "),
    "is spelt small": GET.lower(),
}
PLAIN = {"says little": GET, "wants to stay": head("GET", "/", "Connection: keep-alive", "Accept: */*")}


@pytest.mark.parametrize("name", [*UNPLAIN, *PLAIN])
def test_only_who_asks_plainly_is_kept(name: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.sendall((UNPLAIN | PLAIN)[name])
        assert refuse(ours) == (name in PLAIN)
        answer = theirs.recv(4096)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert (b"\r\nconnection: close\r\n" in answer) == (name in UNPLAIN)
