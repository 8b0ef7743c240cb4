"""The example frontend with the task API and its database, as ``make demo`` starts them, in a real browser."""

import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx2
import psycopg
import pytest

from embedded.watcher import pid_file
from tests.support.frontend import FRONTEND
from tests.support.process import ROOT, run
from tests.support.service import SECRET, data_folder, wait_until

HERE = Path(__file__).parent
SCREENSHOTS = HERE / "screenshots"
FORM = {"name": "Alice", "email": "alice@example.com", "password": "correct horse battery"}


class Demo(NamedTuple):
    """Where the page and the API are."""

    page: str
    api: str
    process: subprocess.Popen[bytes]
    home: Path  # of the database


@contextlib.contextmanager
def running(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Demo]:
    with data_folder() as folder:
        surroundings = {"HOME": os.environ["HOME"], "DATA_DIR": str(folder / ".data"), **environment}
        with run(command, folder, surroundings) as process:

            def addresses() -> re.Match[str] | None:
                assert process.process.poll() is None, process.output
                return re.search(r"^Open (\S+) \(the API: (\S+)/docs\)", process.output, re.MULTILINE)

            found = wait_until(addresses, 60)
            yield Demo(found[1], found[2], process.process, folder / ".data" / "postgres")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """Built as for production."""
    port, page_port = free_port(), free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "NEXT_PUBLIC_API_URL": f"http://localhost:{port}",
        "NEXT_TELEMETRY_DISABLED": "1",
    }
    subprocess.run(["npm", "run", "build"], cwd=FRONTEND, env=environment, check=True)
    command = [sys.executable, "-m", "examples.demo", "start", str(port), str(page_port)]
    with running(command, {"PYTHONPATH": str(ROOT)}) as demo:
        yield demo


@pytest.mark.parametrize("width", ["390", "1280"])
def test_a_person_works_in_two_windows_and_in_a_tunnel(demo: Demo, width: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    said = visit(demo, "person.mjs", WIDTH=width)
    (SCREENSHOTS / f"axe-{width}.txt").write_text(said)  # what isn't serious


def visit(demo: Demo, script: str, **environment: str) -> str:
    environment |= {"PATH": os.environ["PATH"], "PAGE": demo.page, "API": demo.api}
    visited = subprocess.run(
        ["node", script], cwd=HERE, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert visited.returncode == 0, visited.stderr
    return visited.stdout


def test_the_page_works_under_its_one_address_alone(demo: Demo) -> None:
    origin = demo.page.replace("localhost", "127.0.0.1")
    refused = httpx2.post(f"{demo.page}/api/auth/sign-up/email", json=FORM, headers={"Origin": origin})
    assert refused.status_code == 403
    assert refused.json()["code"] == "INVALID_ORIGIN"


def test_no_other_page_can_frame_this_one(demo: Demo) -> None:
    assert httpx2.get(demo.page).headers["Content-Security-Policy"] == "frame-ancestors 'none'"


def test_a_page_whose_database_is_away_at_start_serves_when_it_is_back(demo: Demo, tmp_path: Path) -> None:
    port, sockets = free_port(), tmp_path / "s"
    command = [str(FRONTEND / "node_modules" / ".bin" / "next"), "start", str(FRONTEND), "--port", str(port)]
    with psycopg.connect(
        f"postgresql://postgres@/postgres?host={pid_file(demo.home)[4]}", autocommit=True
    ) as connection:
        connection.execute("CREATE DATABASE away")
    settings = {
        "DATABASE_URL": f"postgresql://postgres@/away?host={sockets}",
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": f"http://localhost:{port}",
    }
    with run(command, tmp_path, settings) as page:
        wait_until(lambda: "can't be made" in page.output, 30)
        sockets.symlink_to(pid_file(demo.home)[4])
        with httpx2.Client(base_url=settings["BETTER_AUTH_URL"], timeout=30) as client:
            sign_up = client.post("/api/auth/sign-up/email", json=FORM, headers={"Origin": settings["BETTER_AUTH_URL"]})
        assert sign_up.is_success, page.output


def test_a_page_is_not_built_without_the_address_of_the_api() -> None:
    build = subprocess.run(
        ["npm", "run", "build"],
        cwd=FRONTEND,
        env={"PATH": os.environ["PATH"], "NEXT_PUBLIC_API_URL": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode != 0
    assert "Set NEXT_PUBLIC_API_URL" in build.stderr


def test_the_page_comes_while_the_api_hangs(demo: Demo) -> None:
    [service] = pids_of_api(demo)
    with httpx2.Client(base_url=demo.page, headers={"Origin": demo.page}) as client:
        assert client.post("/api/auth/sign-up/email", json=FORM).is_success
        os.kill(service, signal.SIGSTOP)
        try:
            page = client.get("/", timeout=15)  # of 3 s, and less than a call's own 20
        finally:
            os.kill(service, signal.SIGCONT)
    assert "What is to be done?" in page.text


def pids_of_api(demo: Demo) -> list[int]:
    return pids_of(f"serve.py --port {demo.api.rpartition(':')[2]}")


def pids_of(command: str) -> list[int]:
    return [int(pid) for pid in subprocess.check_output(["pgrep", "-f", command], text=True).split()]


@pytest.mark.parametrize("ends", ["demo", "service", "database"])
def test_make_demo_starts_all_and_stops_all(ends: str) -> None:
    venv = os.path.relpath(sys.prefix, ROOT)
    ports = [free_port(), free_port()]
    command = ["make", "-s", "-C", str(ROOT), f"VENV={venv}", "-o", f"{venv}/installed", "demo"]
    command += [f"PORT={ports[0]}", f"PAGE_PORT={ports[1]}"]
    with running(command, {}) as demo:
        assert httpx2.get(f"{demo.api}/health/ready").is_success
        if ends == "demo":
            second = subprocess.run(command, capture_output=True, text=True, check=False)
            assert f"Port {ports[0]} is taken" in second.stderr
            visit(demo, "developer.mjs")
            [main] = pids_of(f"examples.demo dev {ports[0]}")
            hung_up = itertools.cycle([signal.SIGHUP, signal.SIGTERM])  # as a terminal that closes and make send them

            def ended() -> bool:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(main, next(hung_up))
                return demo.process.poll() is not None

            wait_until(ended, 30)
            assert demo.process.returncode == 0
        else:
            [victim] = pids_of_api(demo) if ends == "service" else [int(pid_file(demo.home)[0])]
            os.kill(victim, signal.SIGKILL)
            assert demo.process.wait(30) != 0
    for port in ports:
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("localhost", port)):
            pass
