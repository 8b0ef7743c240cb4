"""Starting: what stops it, and what doesn't."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import psycopg
import pytest

from config import load_settings, misspelt
from tests.support.process import ROOT, run_service
from tests.support.service import SECRET, data_folder, wait_until

URL = "postgresql://someone:hunter2@db.invalid/tasks"

WRONG: dict[str, tuple[dict[str, str], str]] = {
    "no PostgreSQL": ({"DATABASE_URL": "sqlite:///hunter2.db"}, "DATABASE_URL must be a PostgreSQL URL"),
    "a broken URL": ({"DATABASE_URL": "postgresql://u:hunter2@h:port/x"}, "DATABASE_URL must be a PostgreSQL URL"),
    "an unknown option": ({"DATABASE_URL": f"{URL}?hunter2=1"}, "DATABASE_URL must be a PostgreSQL URL"),
    "no secret for a real database": ({"DATABASE_URL": URL}, "BETTER_AUTH_URL or BETTER_AUTH_SECRET must be set"),
    "a short secret": ({"BETTER_AUTH_SECRET": "hunter2"}, "BETTER_AUTH_SECRET must have at least 32 bytes"),
    "a known secret": (
        {"BETTER_AUTH_SECRET": "better-auth-secret-12345678901234567890"},
        "BETTER_AUTH_SECRET is a placeholder",
    ),
    "a placeholder": ({"BETTER_AUTH_SECRET": "change-me-change-me-change-me-hunter2"}, "is a placeholder"),
    "any origin": ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS must be origins"),
    "an origin with a path": ({"CORS_ORIGINS": "https://a.example,https://hunter2.example/x"}, "CORS_ORIGINS must be"),
    "no regular expression": ({"CORS_ORIGIN_REGEX": "https://(hunter2"}, "CORS_ORIGIN_REGEX must be a regular expr"),
    **{
        f"a regular expression of {what}": ({"CORS_ORIGIN_REGEX": regex}, "CORS_ORIGIN_REGEX must be as https://")
        for what, regex in {
            "all origins": ".*",
            "all over TLS": "https://.*",
            "a dot that is any character": r"https://.*\.hunter2.example",
            "a whole top level": r"https://hunter2.*\.example",
            "a domain or any": r"https://.*|hunter2\.preview\.example",
            "an open end": r"https://.*\.hunter2\.example.*",
            "no TLS": r"http://.*\.hunter2\.example",
        }.items()
    },
    "no web address": ({"BETTER_AUTH_URL": "ftp://hunter2.example"}, "BETTER_AUTH_URL must be an address"),
    "an address with a password": ({"BETTER_AUTH_URL": "https://u:hunter2@a.example"}, "BETTER_AUTH_URL must be"),
    "a port that can't be": ({"BETTER_AUTH_URL": "https://a.example:99999"}, "BETTER_AUTH_URL must have a port"),
    "a key set alone": ({"JWT_JWKS_URL": "https://a.example/jwks"}, "JWT_JWKS_URL needs BETTER_AUTH_URL"),
    "a table that is no name": ({"BETTER_AUTH_USER_TABLE": 'user"; DROP TABLE hunter2'}, "BETTER_AUTH_USER_TABLE"),
    "a table of ours": ({"BETTER_AUTH_USER_TABLE": "public.users"}, "BETTER_AUTH_USER_TABLE must be Better Auth's"),
    "a pool of none": ({"DATABASE_POOL_SIZE": "0"}, "DATABASE_POOL_SIZE"),
    "an unknown format": ({"LOG_FORMAT": "hunter2"}, "LOG_FORMAT"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting_is_told_in_one_sentence_without_its_value(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment, sentence = WRONG[name]
    monkeypatch.chdir(tmp_path)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)

    with pytest.raises(SystemExit) as exit_:
        load_settings()

    [complaint] = capsys.readouterr().err.splitlines()
    assert complaint.startswith("Configuration error: ")
    assert sentence in complaint
    assert "hunter2" not in complaint
    assert exit_.value.code == 3


THEIRS = """
NEXT_PUBLIC_API_URL NEXT_PUBLIC_BETTER_AUTH_URL BETTER_AUTH_TRUSTED_ORIGINS BETTER_AUTH_TELEMETRY BETTER_AUTH_API_KEY
AUTH_SECRET AUTH_URL NEXTAUTH_URL NEXTAUTH_SECRET JWT_SECRET JWT_EXPIRES_IN NODE_ENV PORT HOST CORS_ENABLED CORS_METHODS
DATABASE_URL_UNPOOLED DATABASE_USER DATABASE_HOST DATABASE_NAME DATABASE_PORT DATABASE_SSL POSTGRES_URL PGHOST
DIRECT_URL DIRECT_DATABASE_URL SHADOW_DATABASE_URL TEST_DATABASE_URL LOG_FILE LOG_DIR
"""


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("DATABSE_URL", "DATABASE_URL"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("export BETER_AUTH_URL", "BETTER_AUTH_URL"),
        ("better_auth_secert", "BETTER_AUTH_SECRET"),
        ("JWT_ISUER", "JWT_ISSUER"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
        ("LOG_LEVAL", "LOG_LEVEL"),
        ("LOGFORMAT", "LOG_FORMAT"),
    ],
)
def test_a_misspelt_name_in_the_env_file_is_told(
    written: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"# Ours\n{written} = 'hunter2'\n")
    name = written.removeprefix("export ")
    assert misspelt(load_settings()) == [f"{name} in .env is no setting of this service: did you mean {meant}?"]


def test_nothing_is_said_of_a_frontend_s_names_in_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert misspelt(load_settings()) == []
    # LOGLEVEL is somebody else's, where LOG_LEVEL itself is there.
    names = [*THEIRS.split(), "log_level", "LOGLEVEL", "# DATABSE_URL"]
    (tmp_path / ".env").write_text("".join(f"{name}=info\n" for name in names))
    assert misspelt(load_settings()) == []


def test_a_misspelt_name_is_told_in_the_chosen_format(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_FORMAT=json\nDATABSE_URL=x\n")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "import main"]
    output = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stderr
    entry = json.loads(output)
    assert (entry["level"], entry["logger"]) == ("warning", "config")
    assert "DATABSE_URL" in entry["message"]


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [({"CORS_ORIGINS": "*"}, "CORS_ORIGINS must be origins"), ({"DATA_DIR": "/dev/null/x"}, "DATA_DIR '/dev/null/x'")],
)
def test_a_start_that_fails_ends_with_one_sentence(environment: dict[str, str], sentence: str, tmp_path: Path) -> None:
    with run_service(tmp_path, environment=environment) as service:
        assert service.process.wait(30) != 0

    assert len([line for line in service.output.splitlines() if sentence in line]) == 1
    assert "Traceback" not in service.output


def test_workers_that_can_not_start_are_not_started_again(tmp_path: Path) -> None:
    with run_service(tmp_path, "--workers", "2", environment={"CORS_ORIGINS": "*"}) as service:
        assert service.process.wait(60) is not None
    assert service.output.count("CORS_ORIGINS must be origins") <= 2


def test_a_port_in_use_stops_the_start_with_one_sentence(
    tmp_path: Path, client: httpx2.Client, database_url: str
) -> None:
    port = client.base_url.port or 0
    environment = {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET}
    with run_service(tmp_path, port=port, environment=environment) as second:
        assert second.process.wait(30) != 0
    assert "address already in use" in second.output.lower()
    assert "Traceback" not in second.output


def test_eight_workers_on_an_empty_database_make_the_schema_once(tmp_path: Path, empty_database: str) -> None:
    environment = {"DATABASE_URL": empty_database, "BETTER_AUTH_SECRET": SECRET}
    with run_service(tmp_path, "--workers", "8", environment=environment) as service:
        url = service.url()
        wait_until(lambda: service.output.count("Application startup complete") == 8, 60)
        assert httpx2.get(f"{url}/health/ready").status_code == 200

    assert "ERROR" not in service.output
    assert "Waiting for the database" not in service.output
    with psycopg.connect(empty_database) as connection:
        assert len(connection.execute("SELECT version_num FROM alembic_version").fetchall()) == 1


def test_a_developer_gets_a_token_for_the_service_that_make_run_starts() -> None:
    with data_folder() as folder, run_service(folder) as service:
        url = service.url()
        command = [sys.executable, str(ROOT / "dev.py"), "token", "alice"]
        token = subprocess.check_output(command, cwd=folder, text=True).strip()
        response = httpx2.get(f"{url}/api/alice/tasks", headers={"Authorization": f"Bearer {token}"})
        assert (response.status_code, response.json()) == (200, [])
        assert "Without DATABASE_URL, an embedded PostgreSQL keeps the tasks" in service.output
