"""README, .env.example and the OpenAPI document say what the code does."""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx2
import pytest

from config import Settings
from main import create_app
from tests.support.process import ROOT, run_service
from tests.support.service import SECRET, server_is_gone, wait_until

README = (ROOT / "README.md").read_text()
SETTINGS = {name.upper() for name in Settings.model_fields}
DOCUMENT = create_app(Settings(_env_file=None, better_auth_secret=SECRET)).openapi()


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def commands(text: str) -> list[str]:
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def test_every_setting_is_in_the_table_and_in_the_example_file() -> None:
    table = re.findall(r"^\| `(\w+)` \|", section("Configure it"), re.MULTILINE)
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
    text = section("Configure it") if source == "table" else (ROOT / ".env.example").read_text()
    defaults = Settings(_env_file=None)
    stated = dict(re.findall(lines[source], text, re.MULTILINE))
    for optional in [name for name, value in defaults if value is None or value == []]:
        stated.pop(optional.upper(), None)
    assert len(stated) >= 9
    for name, value in stated.items():
        monkeypatch.setenv(name, value)
    assert Settings(_env_file=None) == defaults


def test_the_curl_tour_works_when_pasted() -> None:
    # With the Python that runs this test, wherever it is installed.
    here = os.path.relpath(sys.prefix, ROOT)
    make = shlex.join(["make", "-s", "-C", str(ROOT), f"VENV={here}", "-o", f"{here}/installed"])
    tour = [line.replace("make -s", make) for line in commands(section("Try it"))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        secret = {"BETTER_AUTH_SECRET": SECRET}  # README's reader needs none, but may have a .env of their own here
        with run_service(folder, environment=secret) as service:
            script = "\n".join(f"{line}; echo" for line in tour).replace("http://localhost:8000", service.url())
            environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "DATA_DIR": str(folder / ".data"), **secret}
            output = subprocess.check_output(["sh", "-ec", script], env=environment, text=True)
        wait_until(lambda: server_is_gone(folder / ".data"))
    bodies = [json.loads(line) for line in output.splitlines() if line.startswith(("{", "["))]
    assert [body["title"] for body in bodies[:2]] == ["Buy milk", "Call Bob"]
    assert bodies[2] == bodies[:2]
    assert bodies[3] == bodies[0]
    assert bodies[4]["title"] == "Buy oat milk"
    assert bodies[5]["completed"] is True
    assert bodies[6] == [bodies[5]]
    assert 'rel="next"' in output
    assert bodies[7] == {
        **json.loads(re.findall(r"```json\n(.*?)```", README, re.DOTALL)[0]),
        "request_id": bodies[7]["request_id"],
    }
    assert len(bodies) == 8


def test_readme_shows_the_benchmark_s_own_figures() -> None:
    measured = (ROOT / "bench" / "results.md").read_text()
    rows = [line for line in section("How fast it is").splitlines() if line.startswith("|")]
    assert len(rows) >= 8
    assert all(row in measured for row in rows)


def test_every_file_that_readme_names_is_there() -> None:
    for path in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_document_says_400_and_never_422_for_what_is_invalid() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                if not status.startswith("2") and status != "304":
                    assert "application/problem+json" in response["content"], (method, path, status)
            if path.startswith("/api/"):
                assert {"400", "401", "403", "503"} <= operation["responses"].keys()
    assert "HTTPValidationError" not in json.dumps(DOCUMENT)


ANSWERS: dict[str, tuple[str, set[str], set[str]]] = {
    # operation: success, its headers, and the other answers that are its own
    "listTasks": ("200", {"ETag", "Link", "X-Total-Count"}, {"304"}),
    "createTask": ("201", {"ETag", "Location", "Idempotency-Replayed"}, {"413", "415", "422"}),
    "createTasks": ("201", {"Idempotency-Replayed"}, {"413", "415", "422"}),
    "getTask": ("200", {"ETag"}, {"304", "404"}),
    "putTask": ("200", {"ETag"}, {"404", "412", "413", "415"}),
    "updateTask": ("200", {"ETag"}, {"404", "412", "413", "415"}),
    "completeTask": ("200", {"ETag"}, {"404", "412", "413", "415"}),
    "deleteTask": ("204", set(), {"404", "412"}),
    "listChanges": ("200", set(), {"410"}),
    "streamChanges": ("200", set(), {"410"}),
    "updateTasks": ("200", set(), {"413", "415"}),
    "deleteTasks": ("200", set(), set()),
    "getReadiness": ("200", set(), {"503"}),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_document_names_the_answers_and_headers_of_an_operation(name: str) -> None:
    success, headers, others = ANSWERS[name]
    operations = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]
    responses = next(operation for operation in operations if operation["operationId"] == name)["responses"]
    assert responses[success]["headers"].keys() == headers | {"X-Request-Id"}
    assert others <= responses.keys()


def test_operation_ids_make_good_function_names() -> None:
    ids = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert sorted(ids) == sorted(
        [
            "listTasks",
            "createTask",
            "createTasks",
            "getTask",
            "updateTask",
            "putTask",
            "completeTask",
            "deleteTask",
            "updateTasks",
            "deleteTasks",
            "listChanges",
            "streamChanges",
            "getHealth",
            "getReadiness",
        ]
    )


def test_the_document_and_its_page_are_served(client: httpx2.Client) -> None:
    assert client.get("/openapi.json").json() == DOCUMENT
    assert client.get("/docs").status_code == 200


def test_every_reference_in_the_document_resolves() -> None:
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)))
    assert "ProblemBody" in names
    assert names <= DOCUMENT["components"]["schemas"].keys()
