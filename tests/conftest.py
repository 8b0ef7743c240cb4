"""One embedded PostgreSQL for the whole run, one service for each test process, a fresh user for each test."""

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import settings as hypothesis_settings

from config import Settings

for name in Settings.model_fields:
    os.environ.pop(name.upper(), None)  # a developer's own settings have no say here

# After that, since it reads them.
import main
from embedded.server import EmbeddedServer
from tests.support.databases import new_database, url_with
from tests.support.mistakes import mistakes, watching_for_mistakes
from tests.support.proxy import RunningProxy, Watched, proxied
from tests.support.schema import differences
from tests.support.service import User, running, server_is_gone, serving, settings_for, wait_until

DATA_DIR = "TASK_API_TEST_DATA_DIR"
URL = "TASK_API_TEST_DATABASE_URL"
RUN = pytest.StashKey[contextlib.ExitStack]()
"""What ends with the run."""
WRONG = "what the service got wrong"

for chatty in ("httpx2", "uvicorn.access"):
    logging.getLogger(chatty).setLevel(logging.WARNING)

hypothesis_settings.register_profile("default", deadline=None, max_examples=60)
hypothesis_settings.load_profile("default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--examples", type=int, default=40, help="how many random sequences the model test tries")
    parser.addoption("--database", help="the URL of a server to test on, in databases that are made and dropped there")
    parser.addoption("--repeat", type=int, default=1, help="run each test so many times (for -m concurrency)")


def pytest_xdist_auto_num_workers() -> int:
    return max(4, os.cpu_count() or 0)  # many tests wait more than they work


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if (times := metafunc.config.getoption("repeat")) > 1:
        metafunc.fixturenames.append("repetition")
        metafunc.parametrize("repetition", range(times))


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        folder = Path(tempfile.mkdtemp(prefix="task-api-tests-"))
        folder.chmod(0o711)  # as root, PostgreSQL runs under another account, which must reach its data
        os.environ[DATA_DIR] = str(folder)
        config.stash[RUN] = contextlib.ExitStack()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[RUN].close()
        shutil.rmtree(os.environ[DATA_DIR])


def pytest_sessionstart(session: pytest.Session) -> None:
    """Once, before any test and any worker: without this, a forgotten migration would fail nearly all tests."""
    if hasattr(session.config, "workerinput") or session.config.option.collectonly:
        return
    server: str | None = session.config.option.database
    try:
        url = session.config.stash[RUN].enter_context(new_database(server) if server else embedded_server())
        missing = differences(url)
    except Exception as error:
        what = f"The migrations fail on {'that database' if server else 'the embedded server'}"
        pytest.exit(f"{what}: {type(error).__name__}: {str(error).splitlines()[0]}", returncode=1)
    if missing:
        shown = "; ".join(missing[:5])
        pytest.exit(
            f'models.py and migrations/ differ: {shown}. Run: make migration m="what changes", and read what it wrote.',
            returncode=1,
        )
    os.environ[URL] = url


@contextlib.contextmanager
def embedded_server() -> Iterator[str]:
    folder = Path(os.environ[DATA_DIR])
    server = EmbeddedServer(folder)
    yield url_with(server.url)
    server.release()
    wait_until(lambda: server_is_gone(folder))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.database:
        for item in items:
            if item.get_closest_marker("embedded"):
                item.add_marker(pytest.mark.skip("needs the embedded server itself"))


def pytest_runtest_setup() -> None:
    mistakes.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and mistakes:
        report.sections.append((WRONG, str(mistakes)))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A mistake that fails many tests is said once more at the end, in its own words."""
    sections = [section for report in terminalreporter.getreports("failed") for section in report.sections]
    if told := dict.fromkeys(line for title, text in sections if title == WRONG for line in text.splitlines()):
        terminalreporter.section(WRONG)
        terminalreporter.write_line("\n".join(told))


@pytest.fixture(scope="session", autouse=True)
def nothing_blocks() -> Iterator[None]:
    """A call that blocks the event loop of a service is an error in it."""
    with watching_for_mistakes():
        yield


@pytest.fixture(scope="session")
def database_url() -> str:
    return os.environ[URL]


@pytest.fixture(scope="session")
def settings(database_url: str) -> Settings:
    return settings_for(database_url)


@pytest.fixture(scope="session")
def session_client(database_url: str) -> Iterator[httpx2.Client]:
    with running(database_url) as client:
        yield client


@pytest.fixture
def client(session_client: httpx2.Client) -> httpx2.Client:
    return session_client


@pytest.fixture
def user(client: httpx2.Client) -> User:
    return User(client)


@pytest.fixture
def stranger(client: httpx2.Client) -> User:
    return User(client)


@pytest.fixture
def pair(user: User, stranger: User) -> tuple[User, User]:
    """Two owners whose tasks have the same titles."""
    for caller in (user, stranger):
        for title in ("one", "two"):
            caller.create(title)
    return user, stranger


@pytest.fixture
def shelf(user: User) -> list[dict[str, Any]]:
    """Tasks whose order differs by each sort."""
    for title, completed in [("banana", True), ("Apple", False), ("cherry", True), ("apple", False), ("Banana", True)]:
        user.create(title, completed=completed, description=f"A {title}")
    for task in user.tasks()[1::2]:
        user.send("PATCH", f"/{task['id']}", json={"description": "changed"})
    return user.tasks()


@pytest.fixture
def wire(database_url: str) -> Iterator[RunningProxy]:
    """The way to the database, which can be watched, delayed and cut."""
    with proxied(database_url) as running_proxy:
        yield running_proxy


@pytest.fixture(scope="module")
def watched(database_url: str) -> Iterator[Watched]:
    """A service whose one connection to the database is watched."""
    with proxied(database_url) as way, running(way.url, database_pool_size=1) as client:
        yield Watched(client, way.proxy)


@pytest.fixture
def empty_database(database_url: str) -> Iterator[str]:
    with new_database(database_url) as url:
        yield url


@pytest.fixture
def plain_database(database_url: str) -> Iterator[str]:
    """As ``empty_database``, and without Citus also where that has it."""
    with new_database(database_url, plain=True) as url:
        yield url


@pytest.fixture
def own_app(database_url: str) -> FastAPI:
    return main.create_app(settings_for(database_url))


@pytest.fixture
def own_client(own_app: FastAPI) -> Iterator[httpx2.Client]:
    """Of another worker than ``client``."""
    with serving(own_app) as (url, _), httpx2.Client(base_url=url, timeout=30) as client:
        yield client
