"""``make demo``: a database, the task API and the example frontend, together until Ctrl-C."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2

from auth.secret import shared_secret
from config import load_settings
from embedded.server import EmbeddedServer

ROOT = Path(__file__).parent.parent
FRONTEND = ROOT / "examples" / "frontend"
LONGEST_STOP = 15  # seconds
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(script: str, port: str, page_port: str) -> None:
    """``script`` is the frontend's own: dev, or start for what was built."""
    numbers = {int(number) for number in (port, page_port) if re.fullmatch("[1-9][0-9]{0,4}", number)}
    if len(numbers) < 2 or max(numbers) > 65535:
        sys.exit("PORT and PAGE_PORT must be two numbers from 1 to 65535.")
    page, api = f"http://localhost:{page_port}", f"http://localhost:{port}"
    settings = load_settings()
    server = EmbeddedServer(settings.data_dir)
    database = {"DATABASE_URL": server.url, "BETTER_AUTH_URL": page}
    # The one beside the data, whatever .env says: by another, Better Auth could not read its keys there.
    secret = shared_secret(settings.model_copy(update={"better_auth_secret": None}))
    of_page = {**database, "NEXT_PUBLIC_API_URL": api, "BETTER_AUTH_SECRET": secret}
    next_ = ["npm", "run", script, "--", "--hostname", "localhost", "--port", page_port]
    for taken in filter(is_taken, (port, page_port)):
        sys.exit(f"Port {taken} is taken, maybe by an earlier demo: end that, or make demo PORT=8001 PAGE_PORT=3001.")
    processes: list[subprocess.Popen[bytes]] = []
    for ending in ENDINGS:
        signal.signal(ending, end)
    try:
        # First the page: the API fetches the keys of Better Auth from it.
        processes.append(start(next_, FRONTEND, {**of_page, "NEXT_TELEMETRY_DISABLED": "1"}))
        wait_for(f"{page}/api/auth/jwks", processes)
        # Not in the project's folder, whose .env may say whom another service trusts.
        service = [sys.executable, str(ROOT / "serve.py"), "--port", port]
        processes.append(start(service, FRONTEND, {**database, "CORS_ORIGINS": page}))
        wait_for(f"{api}/health/ready", processes)
        if running(processes):
            sys.stdout.write(f"\nOpen {page} (the API: {api}/docs). Ctrl-C stops all.\n\n")
            sys.stdout.flush()
        while running(processes) and server.answers():
            time.sleep(0.2)
        sys.exit("One of them or their database has ended, so all is stopped.")
    except KeyboardInterrupt:
        pass
    finally:
        ignore_signals()
        for process in processes:
            with contextlib.suppress(ProcessLookupError):  # it is what has ended
                os.killpg(process.pid, signal.SIGTERM)
        for process in processes:
            try:
                process.wait(LONGEST_STOP)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def end(*_: object) -> None:
    ignore_signals()
    raise KeyboardInterrupt


def ignore_signals() -> None:
    """A terminal that closes and make each send one, and the second must not cut short what the first has begun."""
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)


def start(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # In a group of its own, which ends as a whole: npm starts more processes.
    return subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, start_new_session=True)


def is_taken(port: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("localhost", int(port)), timeout=1):
        return True
    return False


def running(processes: Sequence[subprocess.Popen[bytes]]) -> bool:
    return all(process.poll() is None for process in processes)


def wait_for(url: str, processes: Sequence[subprocess.Popen[bytes]]) -> None:
    while running(processes):
        try:
            if httpx2.get(url, timeout=30).is_success:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
