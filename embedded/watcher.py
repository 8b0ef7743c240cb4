"""Stops the embedded PostgreSQL after its last user.

It is started by its path and imports the standard library alone, so that it stays small. So what it
shares with ``server`` and ``home`` stands here.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import sys
import time
from pathlib import Path

PROCESSES = Path("/proc")


def lock_file(path: Path, kind: int) -> int:
    """A file descriptor that holds a ``flock`` of this kind until it is closed. No link is followed."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, kind)
    except BaseException:
        os.close(file)
        raise
    return file


def try_lock(path: Path) -> int | None:
    """The lock, held alone, or None where somebody else has it."""
    try:
        return lock_file(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def pid_file(home: Path) -> list[str]:
    """The lines of ``postmaster.pid``: process id, data folder, start time, port, socket folder, …, status.

    The server's account writes it, so root follows no link there, and believes it about that account's things alone.
    """
    try:
        with open(home / "cluster" / "postmaster.pid", opener=_open_no_link) as file:
            lines = file.read(4096).splitlines()
    except FileNotFoundError:
        return []
    return lines if len(lines) > 4 else []


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def remove_sockets(home: Path, folder: Path) -> None:
    """Remove the folder of the server's socket."""
    # Only one that was made here: someone may have started the cluster by hand, with sockets elsewhere.
    if folder.parent == Path("/tmp") and folder.name.startswith("pg-") and _is_the_server_s(home, folder):  # noqa: S108
        shutil.rmtree(folder, ignore_errors=True)


def _is_the_server_s(home: Path, path: Path) -> bool:
    """Whether a folder, or that of a process in /proc, belongs to the account that owns the cluster."""
    with contextlib.suppress(FileNotFoundError):
        return path.lstat().st_uid == (home / "cluster").lstat().st_uid
    return False


def watch(home: Path, watcher_lock: int) -> None:
    """Wait until no process uses the server in ``home``, then stop it."""
    users = lock_file(home / "users.lock", fcntl.LOCK_EX)
    if not _is_at(users, home / "users.lock"):
        return  # the folder was removed: its server ends by itself, and what is there now is another's
    sockets = ""
    # While this lock is held, the server lives (or is being started), and its file names a process of its own.
    while (lock := try_lock(home / "server.lock")) is None:
        if lines := pid_file(home):
            sockets = lines[4]
            if not PROCESSES.exists() or _is_the_server_s(home, PROCESSES / lines[0]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(lines[0]), signal.SIGINT)  # PostgreSQL's "fast shutdown"
        time.sleep(0.05)
    os.close(lock)
    if sockets:
        remove_sockets(home, Path(sockets))
    # In this order: whoever gets users.lock next must find watcher.lock free.
    os.close(watcher_lock)
    os.close(users)


def _is_at(file: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), path.stat())
    return False


if __name__ == "__main__":
    if os.fork() == 0:  # so that whoever started this has no child to wait for
        with contextlib.suppress(FileNotFoundError):  # the folder is being removed
            watch(Path(sys.argv[1]), int(sys.argv[2]))
