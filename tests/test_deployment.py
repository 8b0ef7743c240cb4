"""What the Dockerfile does, done by hand: nothing here builds an image."""

import json
import re
import shutil
import socket
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
import yaml  # type: ignore[import-untyped]

from tests.support.process import ROOT, run
from tests.support.service import SECRET, User, wait_until

DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
PRIVATE = [".env", ".data/secret", ".git/config", ".venv/bin/python", "auth/__pycache__/x.pyc"]


def instruction(name: str) -> str:
    """What follows an instruction; the last one counts."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)[-1]  # type: ignore[no-any-return]


def is_copied(path: str) -> bool:
    """Whether a file is in the build's context: the last pattern counts that fits it, or a folder above it."""
    places = [path, *map(str, Path(path).parents)][:-1]
    fitting = [pattern for pattern in IGNORED if any(fits(place, pattern.removeprefix("!")) for place in places)]
    return not fitting or fitting[-1].startswith("!")


def fits(place: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        place, pattern = Path(place).name, pattern.removeprefix("**/")
    return fnmatch(place, pattern) and place.count("/") == pattern.count("/")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The folder that the image would have, with this Python's packages."""
    folder = tmp_path / "app"
    for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines():
        if is_copied(name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def test_the_image_has_what_runs_and_nothing_else(image: Path) -> None:
    places = {path.name for path in image.iterdir()}
    assert {"main.py", "serve.py", "queries", "routes", "migrations"} <= places
    assert not places & {"tests", "faults", "e2e", "bench", "examples", "docs", "Makefile", "dev.py"}
    assert not [path for path in PRIVATE if is_copied(path)]
    assert (image / "routes" / "pages" / "docs.html").exists()


def test_the_image_runs_as_nobody_what_the_page_says_and_installs_what_is_pinned() -> None:
    assert int(instruction("USER").partition(":")[0]) > 0
    assert instruction("CMD").startswith("[")  # a shell would keep SIGTERM to itself
    documented = re.findall(r"^python serve.py --host \S+", (ROOT / "docs" / "deploy.md").read_text(), re.MULTILINE)
    assert [" ".join(json.loads(instruction("CMD")))] == documented
    assert "--require-hashes" in instruction("RUN")


def test_the_image_s_command_serves_and_stops_and_its_health_check_knows(image: Path, database_url: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environment = dict(pair.split("=") for pair in instruction("ENV").split())
    environment |= {"DATABASE_URL": database_url, "BETTER_AUTH_SECRET": SECRET, "PORT": str(port)}
    environment["FORWARDED_ALLOW_IPS"] = "*"
    command, check = (
        [sys.executable, *json.loads(instruction(name).rpartition("CMD ")[2])[1:]] for name in ("CMD", "HEALTHCHECK")
    )

    def is_healthy() -> bool:
        return subprocess.run(check, env=environment, stderr=subprocess.DEVNULL, check=False).returncode == 0

    before = sorted(image.rglob("*"))
    assert not is_healthy()
    with run(command, image, environment) as service:
        wait_until(is_healthy)
        wait_until(
            lambda: service.output.count("Application startup complete") == 2
        )  # one worker answers before the other
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
            User(client).create()
            answer = client.get("/health", headers={"X-Forwarded-Proto": "https"})
        service.process.terminate()
        assert service.process.wait(30) == 0
    assert "Strict-Transport-Security" in answer.headers, "the platform's proxy is not believed"
    assert service.output.count("Application startup complete") == 2
    assert sorted(image.rglob("*")) == sorted([*before, image / "output.txt"])  # that is run's own


def test_compose_gives_the_service_the_database_that_it_starts() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    url = urlsplit(services["api"]["environment"]["DATABASE_URL"])
    assert url.hostname in services
    assert set(services["api"]["depends_on"]) == {url.hostname}
    assert services["api"]["environment"]["PGPASSWORD"] == services[url.hostname]["environment"]["POSTGRES_PASSWORD"]
    assert int(services[url.hostname]["image"].removeprefix("postgres:")) >= 17
    published, inside = services["api"]["ports"][0].split(":")
    assert published == inside == instruction("EXPOSE")
