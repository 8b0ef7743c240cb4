"""The service as a person starts it: a process of its own, with its own environment and folder."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx2

from tests.support.service import server_is_gone, wait_until

ROOT = Path(__file__).parent.parent.parent


class Process:
    """A running service, with what it has written."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process = process
        self._output = output

    @property
    def output(self) -> str:
        return self._output.read_text()

    def url(self) -> str:
        """The base URL, once the service answers."""

        def answers() -> str | None:
            assert self.process.poll() is None, self.output
            if found := re.search(r"running on (http://127.0.0.1:\d+)", self.output):
                with contextlib.suppress(httpx2.TransportError):
                    if httpx2.get(f"{found[1]}/health").status_code == 200:
                        return found[1]
            return None

        url: str = wait_until(answers, 60)
        return url

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def run_service(
    folder: Path,
    *options: str,
    port: int = 0,
    environment: Mapping[str, str] | None = None,
    project: Path = ROOT,
) -> Iterator[Process]:
    """Run the service in ``folder`` until the block ends, with no settings but these."""
    command = [sys.executable, str(project / "serve.py"), "--port", str(port), *options]
    with run(command, folder, environment or {}) as process:
        yield process


@contextlib.contextmanager
def run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Iterator[Process]:
    """Run a command that starts the service."""
    output = folder / "output.txt"
    plain = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
    with output.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=plain, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        yield Process(process, output)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)


@contextlib.contextmanager
def run_embedded(**environment: str) -> Iterator[Process]:
    """Run the service on a database of its own, in a folder that goes when both have ended."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root, PostgreSQL runs under another account, which must reach its data
        with run_service(folder, environment=environment) as service:
            yield service
        wait_until(lambda: server_is_gone(folder / ".data"))
