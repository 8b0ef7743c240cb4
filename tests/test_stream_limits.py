"""What a stream may not hold, how many there may be, and who is left."""

import contextlib
import signal
import socket
import time
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

import live
from edge.protocol import Protocol
from tests.support.copy import Copy
from tests.support.process import run_service
from tests.support.proxy import Watched
from tests.support.service import SECRET, User, check_problem, running, serving, wait_until
from tests.support.stream import STREAM, next_page, stream


def test_streams_are_bounded_and_give_their_places_back(
    own_app: FastAPI, own_client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_STREAMS", live.MOST_STREAMS_OF_ONE + 1)
    user, second, third = User(own_client), User(own_client), User(own_client)
    with contextlib.ExitStack() as streams:
        for _ in range(live.MOST_STREAMS_OF_ONE):
            streams.enter_context(stream(user))
        assert "You have" in check_problem(user.get(STREAM), 503)["detail"]
        streams.enter_context(stream(second))
        assert "place" in check_problem(third.get(STREAM), 503)["detail"]
        check_problem(user.get(STREAM, params={"since": "abc"}), 400)
    wait_until(lambda: not own_app.state.live._listeners)
    check_problem(user.get(STREAM, params={"since": Copy(user).read().token, "limit": "0"}), 400)
    with stream(third) as fields:
        next_page(fields, Copy(third))


def test_streams_take_no_connection_of_those_that_are_served(own_app: FastAPI) -> None:
    with serving(own_app, limit_concurrency=2) as (url, _), contextlib.ExitStack() as streams:
        followed = []  # a stream of lines that nobody holds is closed
        for _ in range(4):
            user = User(streams.enter_context(httpx2.Client(base_url=url, timeout=30)))
            followed.append(streams.enter_context(stream(user)))
            next_page(followed[-1], Copy(user))
        assert httpx2.get(f"{url}/health").status_code == 200
        with httpx2.Client(base_url=url) as first, httpx2.Client(base_url=url) as second:
            assert [User(one).get().status_code for one in (first, second)] == [200, 200]
            check_problem(user.get(), 503)


def test_waiting_streams_hold_no_connection_and_one_statement_serves_them_all(
    database_url: str, session_client: httpx2.Client
) -> None:
    with running(database_url, database_pool_size=1) as client, contextlib.ExitStack() as streams:
        users = [User(client) for _ in range(12)]
        followed = []
        for user in users:
            fields = streams.enter_context(stream(user))
            copy = Copy(user)
            next_page(fields, copy)
            followed.append((fields, copy))
        for writing_client in (client, session_client):  # in the same worker, and in another
            tasks = [User(writing_client, user.id).create() for user in users]
            for (fields, copy), task in zip(followed, tasks, strict=True):
                assert next_page(fields, copy)["changed"] == [task]
        assert all(user.get().status_code == 200 for user in users)


def test_a_stream_to_which_nothing_comes_asks_nothing(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.05)
    user = User(watched.client)
    user.create()
    with stream(user) as fields:
        next_page(fields, Copy(user))
        watched.proxy.messages.clear()
        wait_until(lambda: len(watched.proxy.messages) > 20)
        assert len({message.body for message in watched.proxy.messages if message.kind == "B"}) == 1  # the poll


def test_nothing_is_asked_where_nobody_listens(own_app: FastAPI, own_client: httpx2.Client) -> None:
    user = User(own_client)
    with stream(user) as fields:
        next_page(fields, Copy(user))
        assert own_app.state.live._polling
    wait_until(lambda: own_app.state.live._polling is None)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigterm_ends_all_streams_first(database_url: str, tmp_path: Path, workers: str) -> None:
    environment = {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET}
    with (
        run_service(tmp_path, "--workers", workers, environment=environment) as service,
        httpx2.Client(base_url=service.url(), timeout=30) as client,
        contextlib.ExitStack() as streams,
    ):
        users = [User(client) for _ in range(5)]
        opened = [streams.enter_context(stream(user)) for user in users]
        for user, fields in zip(users, opened, strict=True):
            next_page(fields, Copy(user))
        started = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        assert [list(fields) for fields in opened] == [[]] * len(users)
        service.process.wait(5)
        assert time.monotonic() - started < 5
    assert "Traceback" not in service.output


def test_a_client_that_takes_nothing_is_left(
    own_app: FastAPI, own_client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Protocol, "unread_seconds", 0.2)
    monkeypatch.setattr(Protocol, "head_seconds", 0.2)  # it looks as often as that
    user = User(own_client)
    for _ in range(6):
        user.send("POST", "/batch", json=[{"title": "x", "description": "y" * 1000}] * 1000)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((own_client.base_url.host, own_client.base_url.port))
        head = (
            f"GET {user.path}{STREAM}?limit=1000 HTTP/1.1\r\nHost: x\r\nAuthorization: {user.headers['Authorization']}"
        )
        deaf.sendall(f"{head}\r\n\r\n".encode())
        wait_until(lambda: own_app.state.live._listeners)
        wait_until(lambda: not own_app.state.live._listeners)
