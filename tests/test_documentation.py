"""What the pages say is what the code does, and their commands work."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

import connections
import turns
from config import Settings
from tests.support.process import ROOT, run, run_service
from tests.support.service import SECRET, data_folder, settings_for

PAGES = {path.relative_to(ROOT): path.read_text() for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])}
README = PAGES[Path("README.md")]
CONFIGURATION = PAGES[Path("docs/configuration.md")]
SETTINGS = {name.upper() for name in Settings.model_fields}
# With the Python that runs these tests, wherever it is installed.
VENV = os.path.relpath(sys.prefix, ROOT)
MAKE = ["make", "-s", "-C", str(ROOT), f"VENV={VENV}", "-o", f"{VENV}/installed"]


def section(title: str) -> str:
    """What stands below a heading, on whichever page that is."""
    [page] = [text for text in PAGES.values() if f"\n## {title}\n" in text]
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def commands(text: str) -> list[str]:
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def test_every_setting_is_in_the_table_and_in_the_example_file() -> None:
    table = re.findall(r"^\| `(\w+)` \|", CONFIGURATION, re.MULTILINE)
    example = re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert set(table) == SETTINGS
    assert set(example) == SETTINGS
    assert len(table) == len(set(table))


@pytest.mark.parametrize("source", ["table", "example"])
def test_the_documented_defaults_are_the_real_ones(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = {
        "table": r"^\| `(\w+)` \| `([^`]+)` \|",
        "example": r"^#(\w+)=(.+)$",
    }
    text = CONFIGURATION if source == "table" else (ROOT / ".env.example").read_text()
    defaults = settings_for(better_auth_secret=None)
    stated = dict(re.findall(lines[source], text, re.MULTILINE))
    for optional in [name for name, value in defaults if value is None or value == []]:
        stated.pop(optional.upper(), None)
    assert len(stated) >= 9
    for name, value in stated.items():
        monkeypatch.setenv(name, value)
    assert settings_for(better_auth_secret=None) == defaults


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
def test_the_curl_tour_works_when_pasted(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"There is no {shell} here.")
    tour = [line.replace("make -s", shlex.join(MAKE)) for line in commands(section("Try it"))]
    secret = {"BETTER_AUTH_SECRET": SECRET}  # README's reader needs none, but may have a .env of their own here
    with data_folder() as folder, run_service(folder, environment=secret) as service:
        script = "\n".join(tour).replace("http://localhost:8000", service.url())
        environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "DATA_DIR": str(folder / ".data"), **secret}
        output = subprocess.check_output([shell, "-ec", script], env=environment, text=True)
    assert output.endswith("}\n")
    bodies = [json.loads(line) for line in output.splitlines() if line.startswith(("{", "["))]
    assert [body["title"] for body in bodies[:2]] == ["Buy milk", "Call Bob"]
    assert bodies[2] == bodies[:2]
    assert bodies[3] == bodies[0]
    assert bodies[4]["title"] == "Buy oat milk"
    assert bodies[5]["completed"] is True
    assert bodies[6] == bodies[7] == [bodies[5]]
    assert 'rel="next"' in output
    assert (bodies[8]["changed"], bodies[8]["deleted"], bodies[8]["more"]) == ([bodies[1]], [], False)
    assert bodies[9] == {
        **json.loads(re.findall(r"```json\n(.*?)```", README, re.DOTALL)[0]),
        "request_id": bodies[9]["request_id"],
    }
    assert len(bodies) == 10


def test_commands_may_be_pasted_into_zsh() -> None:
    # It reads comments as arguments there, and looks for files that are called like an address with a query.
    for command in {line for page in PAGES.values() for line in commands(page)}:
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", command)
        assert not re.search(r"[?*\[#!]", bare), command


def test_the_page_on_performance_shows_the_benchmark_s_own_figures() -> None:
    measured = (ROOT / "bench" / "results.md").read_text()
    rows = [line for line in PAGES[Path("docs/performance.md")].splitlines() if line.startswith("|")]
    assert len(rows) >= 8
    assert all(row in measured for row in rows)


def test_the_code_for_frontends_is_the_example_s_own() -> None:
    def unindented(text: str) -> str:
        return re.sub(r"^ +", "", text, flags=re.MULTILINE)

    frontend = ROOT / "examples" / "frontend"
    files = [unindented(path.read_text()) for path in [*frontend.glob("app/*.tsx"), *frontend.glob("lib/*.ts")]]
    shown = [code for page in PAGES.values() for code in re.findall(r"```tsx?\n(.*?)```", page, re.DOTALL)]
    assert len(shown) >= 9
    for code in shown:
        assert any(unindented(code) in file for file in files), f"This is in no file of the example:\n{code}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_that_a_page_links_is_there(page: Path) -> None:
    for path in re.findall(r"\]\(((?!http)[^)#]+)\)", PAGES[page]):
        assert (ROOT / page.parent / path).exists(), path


def test_every_page_is_linked_by_readme() -> None:
    linked = {Path(path) for path in re.findall(r"\]\(([^)#]+)\)", README)}
    assert set(PAGES) - {Path("README.md")} <= linked


def test_every_room_is_named_where_the_rooms_are() -> None:
    files = map(Path, subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines())
    rooms = {path.parts[0] for path in files if len(path.parts) > 1 or path.suffix == ".py"}
    named = re.findall(r"^\|.*", section("The rooms"), re.MULTILINE)
    assert rooms - {".ci"} <= set(re.findall(r"\]\(([^)]+)\)", "".join(named)))


EXPORT = re.compile(r"export( [A-Z_]+=\S+)+")
CI = [line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines()]
RUN_BY_TESTS = {
    *commands(section("Try it")),
    *commands(section("On a machine")),
    *commands(PAGES[Path("docs/telemetry.md")]),  # test_telemetry, but for its pip, which found all there
    "make run",
    "make demo",  # e2e/demo
}
NOT_RUN = {"docker compose up --build"}  # as the page says


@pytest.mark.parametrize("command", dict.fromkeys(line for page in PAGES.values() for line in commands(page)))
def test_every_command_is_run_by_a_test_or_by_ci(command: str) -> None:
    if EXPORT.fullmatch(command) and command not in RUN_BY_TESTS:
        assert set(re.findall(r"\b([A-Z_]+)=", command)) <= SETTINGS, f"{command!r} sets what is no setting."
    elif command not in {*CI, *RUN_BY_TESTS, *NOT_RUN}:
        advice = "run it in a test of this file, and add it to RUN_BY_TESTS"
        pytest.fail(f"Nothing runs the command {command!r} of a page, so it may not work: {advice}.", pytrace=False)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_target_of_make_that_a_page_names_is_there(page: Path) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for named in re.findall(r"(?:`|^|\()make(?: -s)? ([a-z]\w*)", PAGES[page], re.MULTILINE):
        assert named in targets, f"{page} names make {named}, which the Makefile hasn't."


def test_make_run_starts_the_service(tmp_path: Path, database_url: str) -> None:
    environment = {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET}
    with run([*MAKE, "run", "PORT=0"], tmp_path, environment) as service:
        assert httpx2.get(f"{service.url()}/health/ready").json() == {"status": "ok"}


def test_the_commands_of_production_start_the_service(tmp_path: Path, database_url: str) -> None:
    # As they stand, but from the wheels that are there, on a free port, with a database that exists.
    replaced = {
        "pip install": f"'{sys.executable}' -m pip install --quiet --disable-pip-version-check --no-index",
        "requirements.txt": f"'{ROOT}/requirements.txt'",
        "python serve.py": f"export DATABASE_URL='{database_url}' BETTER_AUTH_URL=http://127.0.0.1:9\n"
        f"exec '{sys.executable}' '{ROOT}/serve.py'",
        "--host 0.0.0.0 --port 8000": "--host 127.0.0.1 --port 0",
    }
    script = "\n".join(commands(section("On a machine")))
    for stated, here in replaced.items():
        assert stated in script
        script = script.replace(stated, here)
    with run(["sh", "-ec", script], tmp_path, {}) as service:
        headers = {"Origin": "https://app.example.com", "X-Forwarded-Proto": "https"}
        answer = httpx2.get(f"{service.url()}/health", headers=headers)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "Strict-Transport-Security" not in answer.headers, "no proxy was named, but one is believed"
    assert '"message": "Application startup complete."' in service.output  # JSON, as LOG_FORMAT says


PROMISES = re.findall(r'^\|.*\| `make faults args="-k (\w+)"` \|$', section("What it promises"), re.MULTILINE)
FAULT_ROWS = [
    name
    for path in (ROOT / "faults").glob("test_*.py")
    for name in re.findall(r"^def test_(\w+)", path.read_text(), re.MULTILINE)
]


def test_every_promise_has_its_fault_row_and_every_fault_row_its_promise() -> None:
    for promise in PROMISES:
        assert any(promise in row for row in FAULT_ROWS), f"Nothing tests what is promised as {promise!r}."
    for row in FAULT_ROWS:
        assert any(promise in row for promise in PROMISES), f'"What it promises" says nothing of test_{row}.'


def test_the_defaults_for_production_are_the_real_ones() -> None:
    text = (ROOT / "docs" / "production.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| (\d+)[^|]* \| `([\w.]+)` \|", text, re.MULTILINE)
    real = {name.upper(): value for name, value in settings_for()}
    real |= {f"connections.{name}": value for name, value in {**vars(connections), **connections.DEFAULTS}.items()}
    real |= {f"turns.{name}": value for name, value in vars(turns).items()}
    stated = {name: float(value) for value, name in rows if name in real}
    assert len(stated) >= 7
    assert stated == {name: float(real[name]) for name in stated}
