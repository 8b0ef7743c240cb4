"""Fault rows: a PostgreSQL of their own, a limit of time for each, and a table of what they measured."""

import os
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from config import Settings
from faults.support.load import create
from faults.support.postgres import Postgres
from faults.support.service import Service, serving
from tests.support.process import ROOT
from tests.support.service import User

for name in Settings.model_fields:
    os.environ.pop(name.upper(), None)  # a developer's own settings have no say here

ROW_SECONDS = 150
FIGURES = pytest.StashKey[dict[str, list[str]]]()
FIGURES_FILE = ROOT / ".faults" / "figures.md"

Figure = Callable[[str], None]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root, PostgreSQL runs under another account, which must reach its data
        server = Postgres(folder)
        yield server
        server.remove()


class World(NamedTuple):
    """A service that has been up for a while, and its database."""

    postgres: Postgres
    database: str
    service: Service

    @property
    def database_url(self) -> str:
        return self.postgres.url(self.database)


@pytest.fixture(scope="session")
def world(postgres: Postgres) -> Iterator[World]:
    """For rows that leave everything as it was."""
    with postgres.database() as name, serving(postgres.url(name), database_statement_timeout=2) as service:
        yield World(postgres, name, service)


@pytest.fixture
def user(world: World) -> User:
    user = world.service.user()
    assert create(user) == 201
    return user


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The name of an empty database."""
    with postgres.database() as name:
        yield name


@pytest.fixture
def database_url(postgres: Postgres, database: str) -> str:
    return postgres.url(database)


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """A row that hangs fails, and the next begins."""

    def end(*_: object) -> None:
        raise TimeoutError(f"the row took more than {ROW_SECONDS} s")

    signal.signal(signal.SIGALRM, end)
    signal.alarm(ROW_SECONDS)
    yield
    signal.alarm(0)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Says what a row has measured, for the table at the end."""
    figures = request.config.stash[FIGURES]

    def add(text: str) -> None:
        figures.setdefault(promise(request.node.name), []).append(text)

    return add


def promise(test: str) -> str:
    """A test's name as a sentence."""
    words, _, case = test.removeprefix("test_").partition("[")
    sentence = re.sub(r"_s_", "'s ", words).replace("_", " ").capitalize()
    return f"{sentence}: {case.rstrip(']')}" if case else sentence


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash[FIGURES]
    if not figures:
        return
    lines = ["| promise | measured |", "| --- | --- |"]
    lines += [f"| {name} | {'; '.join(found)} |" for name, found in figures.items()]
    FIGURES_FILE.parent.mkdir(exist_ok=True)
    FIGURES_FILE.write_text("\n".join([*lines, ""]))
    terminalreporter.section("What was measured")
    for line in lines:
        terminalreporter.write_line(line)
