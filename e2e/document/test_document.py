"""The OpenAPI document as a product: linters, client generators and a fuzzer take it as it is."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.support.process import ROOT, run_embedded
from tests.support.service import SECRET, make_token

HERE = Path(__file__).parent
GENERATED = HERE / "generated"
DOCUMENT = GENERATED / "openapi.json"
TOOLS = HERE / "node_modules" / ".bin"


@pytest.fixture(scope="module")
def api() -> Iterator[dict[str, str]]:
    """The environment of a client: a running service, and alice's token."""
    with run_embedded(BETTER_AUTH_SECRET=SECRET) as service:
        url = service.url()
        GENERATED.mkdir(exist_ok=True)
        DOCUMENT.write_bytes(httpx2.get(f"{url}/openapi.json").content)
        yield {"API": url, "TOKEN": make_token(sub="alice")}


def run(*command: object, folder: Path = HERE, environment: dict[str, str] | None = None) -> str:
    """Run a tool; what it prints, once it has ended well."""
    plain = {"PATH": os.environ["PATH"], "HOME": str(folder), "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=plain | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]
    return done.stdout


@pytest.mark.usefixtures("api")
def test_spectral_finds_nothing() -> None:
    run(TOOLS / "spectral", "lint", "--ruleset", "spectral.yaml", "--fail-severity", "hint", DOCUMENT)


@pytest.mark.usefixtures("api")
def test_redocly_finds_nothing() -> None:
    found = json.loads(run(TOOLS / "redocly", "lint", "--format", "json", DOCUMENT))
    assert found["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}, found["problems"]


def test_the_typescript_clients_work(api: dict[str, str]) -> None:
    run(TOOLS / "openapi-typescript", DOCUMENT, "--output", GENERATED / "fetch.ts")
    run(TOOLS / "openapi-ts", "--input", DOCUMENT, "--output", GENERATED / "hey", "--no-log-file")
    run(TOOLS / "tsc")
    for client in ["fetch", "hey"]:
        run("node", GENERATED / "js" / "clients" / f"{client}.js", environment=api)


def test_the_python_client_works(api: dict[str, str], tmp_path: Path) -> None:
    generate = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--meta", "none"]
    settings = HERE / "openapi-python-client.yaml"
    run(*generate, "--config", settings, "--path", DOCUMENT, "--output-path", tmp_path / "task_api")
    script = HERE / "clients" / "python_client.py"
    run(sys.executable, "-m", "mypy", "--strict", "task_api", script, folder=tmp_path)
    run(sys.executable, script, environment={**api, "PYTHONPATH": str(tmp_path)})


def test_the_service_answers_as_the_document_says(api: dict[str, str], tmp_path: Path) -> None:
    run(
        *[sys.executable, "-m", "schemathesis.cli", "--config-file", HERE / "schemathesis.toml"],
        *["run", f"{api['API']}/openapi.json", "--header", f"Authorization: Bearer {api['TOKEN']}"],
        *["--checks", "all", "--mode", "all", "--continue-on-failure", "--no-color"],
        folder=tmp_path,
        environment={"PYTHONPATH": f"{HERE}:{ROOT}"},
    )
