"""What make does for developers."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dev
from embedded.server import EmbeddedServer
from tests.support.process import ROOT
from tests.support.service import server_is_gone, settings_for, wait_until

MAKEFILE = (ROOT / "Makefile").read_text()

# Behaves as Python, pip and dev.py do, at their most talkative.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
    "-m venv "*) echo "venv says"; mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
    "-m pip "*) echo "pip says" ;;
    "dev.py token alice") echo "the-token" ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """As much of the repository as a bare ``make`` needs."""
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "embedded", clone / "embedded", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, clone)
    return clone


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}


def test_make_alone_lists_every_command_and_does_nothing(clone: Path) -> None:
    before = files(clone)
    listed = re.findall(r"^make (\w+) +\S+ \S+", make(clone).stdout, re.MULTILINE)
    assert listed == re.findall(r"^([\w-]+):(?!=)", MAKEFILE, re.MULTILINE), "say with ## what a command does"
    assert set(listed) == set(MAKEFILE.partition(".PHONY: ")[2].partition("\n")[0].split())
    assert files(clone) == before


def test_on_a_fresh_clone_a_captured_token_is_the_token_alone(clone: Path) -> None:
    python = clone / "fake-python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    done = make(clone, "-s", "token", "user=alice", f"PYTHON={python}")
    assert done.stdout == "the-token\n"
    assert "Installing" in done.stderr


def test_queries_sql_is_what_the_code_says() -> None:
    assert (ROOT / "queries.sql").read_text() == dev.sql(), "run: make sql"


def test_queries_sql_has_every_statement_that_is_run() -> None:
    sources = [path.read_text() for folder in (".", "auth", "routes") for path in (ROOT / folder).glob("*.py")]
    run = {name for source in sources for name in re.findall(r"\bqueries\.([A-Z_]+)\b", source)}
    assert run <= {name.partition("[")[0] for name, _ in dev.statements()}


def test_queries_sql_changes_nothing_but_white_space() -> None:
    text = dev.sql()
    for name, statement in dev.statements():
        shown = text.partition(f"\n-- {name}\n")[2].partition(";\n")[0]
        kept = "".join(line for line in shown.splitlines(keepends=True) if not line.startswith("--"))
        # What white space matters between, and inside of, stays apart.
        tokens = r"'[^']*'|\w+|\S"
        assert re.findall(tokens, kept) == re.findall(tokens, statement.sql.decode()), name
        assert max(map(len, kept.splitlines())) <= dev.WIDTH, name


def test_openapi_json_does_not_depend_on_the_settings() -> None:
    plain, other = settings_for(), settings_for(better_auth_url="https://app.example.com", debug=True)
    assert dev.openapi(plain) == dev.openapi(other)


def clean(clone: Path) -> subprocess.CompletedProcess[str]:
    return make(clone, "clean", f"PYTHON={sys.executable}")


def test_make_clean_leaves_the_repository_alone_and_nothing_else_of_it(clone: Path) -> None:
    kept = files(clone)
    for litter in (".venv/bin/python", ".venv-3.13/x", ".mypy_cache/x", ".hypothesis/x", "__pycache__/x"):
        (clone / litter).parent.mkdir(parents=True)
        (clone / litter).touch()
    server = EmbeddedServer(clone / ".data")
    home = (clone / ".data" / "postgres").resolve()  # as root, it is elsewhere

    refused = clean(clone)
    assert refused.returncode != 0
    assert "A service uses .data" in refused.stderr
    assert (clone / ".venv" / "bin" / "python").exists()
    server.ensure_running()

    server.release()
    wait_until(lambda: server_is_gone(clone / ".data"))
    assert clean(clone).returncode == 0
    assert files(clone) == kept
    assert not home.exists()
    assert clean(clone).returncode == 0


@pytest.mark.parametrize("link", [".data", ".data/postgres"])
def test_make_clean_does_not_follow_another_s_link(link: str, clone: Path, tmp_path: Path) -> None:
    precious = tmp_path / "task-api-precious"
    precious.mkdir()
    (precious / "file").touch()
    (clone / link).parent.mkdir(exist_ok=True)
    (clone / link).symlink_to(precious)
    assert clean(clone).returncode == 0
    assert not os.path.lexists(clone / ".data")
    assert (precious / "file").exists()
