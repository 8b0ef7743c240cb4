"""What the service writes, and what it never writes."""

import json
import logging
from pathlib import Path

import httpx2
import pytest

from logs import LineFormatter
from tests.support.operations import OPERATIONS, address, ask
from tests.support.process import run_service
from tests.support.service import SECRET, User, make_token


def log_of(folder: Path, database_url: str, **environment: str) -> str:
    """What a service writes for a handful of requests."""
    environment |= {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET}
    with run_service(folder, environment=environment) as service, httpx2.Client(base_url=service.url()) as client:
        user = User(client, "log-user")
        user.send("POST", "?unknown=private-query", json={"title": "private-body"})
        user.get("/12345", headers={"X-Request-Id": "my-id"})
        client.get("/private-path")
    assert "private" not in service.output
    assert user.headers["Authorization"].removeprefix("Bearer ") not in service.output
    return service.output


def test_a_request_is_one_line_of_json(tmp_path: Path, database_url: str) -> None:
    lines = [json.loads(line) for line in log_of(tmp_path, database_url, LOG_FORMAT="json").splitlines()]

    entries = [line for line in lines if line["logger"] == "access" and line["route"] != "/health"]
    assert [(entry["method"], entry["route"], entry["status"]) for entry in entries] == [
        ("POST", "/api/{user_id}/tasks", 400),
        ("GET", "/api/{user_id}/tasks/{task_id}", 404),
        ("GET", "-", 404),
    ]
    assert entries[1]["request_id"] == "my-id"
    assert all(entry["duration_ms"] > 0 and entry["level"] == "info" for entry in entries)


def test_a_request_is_one_line_of_text(tmp_path: Path, database_url: str) -> None:
    lines = [line for line in log_of(tmp_path, database_url).splitlines() if " access: " in line]
    assert any("GET /api/{user_id}/tasks/{task_id} 404" in line and line.endswith("my-id") for line in lines)


def test_both_formats_write_a_moment_the_same_way() -> None:
    record = logging.LogRecord("name", logging.INFO, "", 0, "message", None, None)
    for record.created, moment in [
        (1795428000.1239, "2026-11-23T10:00:00.123Z"),
        (1795428000.0, "2026-11-23T10:00:00.000Z"),
    ]:
        assert LineFormatter("text").format(record) == f"{moment} INFO name: message"
        assert json.loads(LineFormatter("json").format(record))["time"] == moment


def test_the_access_log_can_be_turned_off(tmp_path: Path, database_url: str) -> None:
    assert "/api" not in log_of(tmp_path, database_url, ACCESS_LOG="false")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_operation_writes_a_token_a_secret_or_a_body_even_when_everything_is_logged(
    tmp_path: Path, database_url: str, log_format: str
) -> None:
    environment = {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET}
    environment |= {"LOG_LEVEL": "debug", "DEBUG": "true", "LOG_FORMAT": log_format}
    with run_service(tmp_path, environment=environment) as service, httpx2.Client(base_url=service.url()) as client:
        user = User(client)
        token, refused = user.headers["Authorization"].removeprefix("Bearer "), make_token(sub=user.id, exp=1)
        for operation in OPERATIONS:
            for request in operation.requests:
                ask(user, operation, address(operation.path, user), request)
            where = operation.path.replace("{user_id}", user.id)
            ask(user, operation, where, operation.requests[0], headers={"Authorization": f"Bearer {refused}"})
    private = {"token": token, "signature of a token": token.rpartition(".")[2], "refused token": refused}
    private |= {"secret": SECRET, "user's id": user.id, "body": "Buy milk"}
    assert "DEBUG" in service.output.upper()
    for line in service.output.splitlines():
        found = [name for name, value in private.items() if value in line]
        shown = line
        for name, value in private.items():
            shown = shown.replace(value, f"<{name}>")
        if found:
            pytest.fail(f"The log has a {found[0]}, which it must never have, at no level: {shown}", pytrace=False)
