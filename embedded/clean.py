"""Remove an embedded server's data folder: ``python -m embedded.clean .data``, behind ``make clean``.

It imports the standard library alone, since the virtual environment may be broken or gone.
"""

import shutil
import sys
from pathlib import Path

from embedded.home import is_elsewhere
from embedded.watcher import try_lock


def in_use(home: Path) -> bool:
    """Whether somebody uses the server in ``home``, or it still runs. If not, none starts before this process ends."""
    locks = [home / f"{name}.lock" for name in ("users", "watcher", "server")]
    return any(try_lock(lock) is None for lock in locks if lock.exists())


def clean(data_dir: Path) -> None:
    """Remove the data folder, and what this service made elsewhere for it. Another's link is not followed.

    Raises:
        SystemExit: the server is in use.
        OSError: something can't be removed.
    """
    home = (data_dir / "postgres").resolve()
    if in_use(home):
        sys.exit(f"A service uses {data_dir}: stop it first, then try again.")
    if data_dir.is_symlink():
        data_dir.unlink()
    elif data_dir.exists():
        if is_elsewhere(home) and home.exists():
            shutil.rmtree(home)
        shutil.rmtree(data_dir)


if __name__ == "__main__":
    try:
        clean(Path(sys.argv[1]))
    except OSError as error:
        sys.exit(f"{error.filename} can't be removed: {error.strerror}.")
