"""One PostgreSQL, and on it Better Auth and the task API, as a production has them."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from servers import SECRET, World, auth_server, eventually, serve, task_api

from embedded.server import EmbeddedServer


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o711)  # root's PostgreSQL runs as another account, which must get in
        yield path


@pytest.fixture(scope="session")
def new_database(folder: Path) -> Iterator[Callable[[], str]]:
    """Makes a database and returns its URL."""
    postgres = EmbeddedServer(folder)
    numbers = itertools.count(1)

    def create() -> str:
        name = f"e2e_{next(numbers)}"
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return postgres.url.replace("/postgres?", f"/{name}?")

    yield create
    sockets = Path(postgres.url.partition("host=")[2])
    postgres.release()
    eventually(lambda: not sockets.exists(), 20, "PostgreSQL still runs")


@pytest.fixture(scope="session")
def world(folder: Path, new_database: Callable[[], str]) -> Iterator[World]:
    """The common case: the task API is told where Better Auth is, and which frontend may call it."""
    database = new_database()
    auth = auth_server(folder, database)
    api = task_api(folder, database, BETTER_AUTH_URL=auth.url, CORS_ORIGINS=auth.url)
    with serve(auth, api):
        yield World(folder, database, auth, api)


@pytest.fixture(scope="session")
def api_with_secret(world: World) -> Iterator[World]:
    """A second task API on the same database, which is told BETTER_AUTH_SECRET instead."""
    api = task_api(world.folder, world.database, BETTER_AUTH_SECRET=SECRET)
    with serve(api):
        yield World(world.folder, world.database, world.auth, api)
