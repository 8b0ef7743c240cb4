"""The embedded PostgreSQL: started by its first user, stopped after its last, whatever was killed meanwhile."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from embedded.home import server_account
from embedded.server import EmbeddedServer
from embedded.watcher import pid_file, remove_sockets, try_lock, watch
from tests.support.process import ROOT
from tests.support.service import server_is_gone, wait_until

USE = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from embedded.server import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[2]))
print(server.url, flush=True)
sys.stdin.read()
"""


class Home:
    """A data folder, and the processes that use its server."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.pid_file = self.data / "postgres" / "cluster" / "postmaster.pid"
        self.users: list[subprocess.Popen[str]] = []

    def use(self) -> subprocess.Popen[str]:
        """Start a process that uses the server until its standard input closes."""
        command = [sys.executable, "-c", USE, str(ROOT), str(self.data)]
        self.users.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return self.users[-1]

    def url(self, user: subprocess.Popen[str]) -> str:
        assert user.stdout
        return user.stdout.readline().strip()

    def rows(self, url: str) -> int:
        """Add a row, and count all there are."""
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (id int)")
            connection.execute("INSERT INTO kept VALUES (1)")
            counted = connection.execute("SELECT count(*) FROM kept").fetchone()
            assert counted
            return int(counted[0])

    def server(self) -> int:
        return int(self.pid_file.read_text().splitlines()[0])

    def leave(self, user: subprocess.Popen[str]) -> None:
        user.communicate()

    def stopped(self) -> bool:
        return server_is_gone(self.data)


@pytest.fixture
def home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="a folder with spaces ") as name:
        folder = Path(name)
        folder.chmod(0o711)
        deep = folder / ("long " * 20) / ("name " * 20)
        deep.mkdir(parents=True)
        home = Home(deep)
        yield home
        for user in home.users:
            user.kill()
            user.communicate()
        wait_until(home.stopped)


def test_the_server_stops_with_its_last_user_and_keeps_the_data(home: Home) -> None:
    first, second = home.use(), home.use()
    url = home.url(first)
    assert home.url(second) == url
    assert home.rows(url) == 1
    home.leave(first)
    assert home.rows(url) == 2
    home.leave(second)
    wait_until(home.stopped)
    assert not Path(url.partition("host=")[2]).exists()
    assert home.rows(home.url(home.use())) == 3


def test_six_users_at_once_share_one_server(home: Home) -> None:
    users = [home.use() for _ in range(6)]
    assert len({home.url(user) for user in users}) == 1


def kill_user(home: Home) -> None:
    home.users[0].kill()
    wait_until(home.stopped)


def kill_server(home: Home) -> None:
    os.kill(home.server(), signal.SIGKILL)


def kill_both(home: Home) -> None:
    kill_server(home)
    home.users[0].kill()


@pytest.mark.parametrize("kill", [kill_user, kill_server, kill_both])
def test_data_survives_kill_9(home: Home, kill: Callable[[Home], None]) -> None:
    assert home.rows(home.url(home.use())) == 1

    kill(home)

    assert home.rows(home.url(home.use())) == 2


def test_a_process_that_took_over_the_server_s_id_is_left_alone(home: Home) -> None:
    user = home.use()
    home.url(user)
    kill_server(home)
    with subprocess.Popen(["sleep", "60"]) as innocent, tempfile.TemporaryDirectory(dir="/tmp") as precious:
        lines = home.pid_file.read_text().splitlines()
        home.pid_file.write_text("\n".join([str(innocent.pid), *lines[1:4], precious, *lines[5:]]))
        home.leave(user)
        wait_until(home.stopped)
        assert home.rows(home.url(home.use()))
        assert innocent.poll() is None
        assert Path(precious).exists()
        innocent.kill()


@pytest.mark.parametrize("debris", ["", "12", "{reused}\n/elsewhere\n1\n5432\n/tmp/pg-gone\n\n1 1\nready\n"])
def test_what_a_crash_leaves_behind_is_no_hindrance(home: Home, debris: str) -> None:
    user = home.use()
    assert home.rows(home.url(user)) == 1
    home.leave(user)
    wait_until(home.stopped)
    home.pid_file.write_text(debris.format(reused=os.getpid()))
    (home.data / "postgres" / "cluster.new").mkdir()

    assert home.rows(home.url(home.use())) == 2


def test_a_removed_folder_s_watcher_leaves_the_next_server_alone(home: Home) -> None:
    first = home.use()
    sockets = home.url(first).partition("host=")[2]
    old = home.server()
    # Not removed in earnest: that server would die by itself within 15 seconds, and its id be another's.
    removed = home.data.rename(home.data.with_name("removed"))
    url = home.url(home.use())
    home.leave(first)
    assert home.server() != old
    for _ in range(10):
        assert home.rows(url)
        time.sleep(0.05)  # long enough for the first watcher to have done harm
    os.kill(old, signal.SIGINT)
    wait_until(lambda: try_lock(removed / "postgres" / "server.lock"))
    remove_sockets(removed / "postgres", Path(sockets))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account run PostgreSQL")
def test_root_in_a_closed_folder_needs_not_open_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "data"
        server = EmbeddedServer(data)
        elsewhere = (data / "postgres").resolve()
        assert stat.S_IMODE(Path(name).stat().st_mode) == 0o700
        assert not elsewhere.is_relative_to(name)
        assert caplog.messages == [f"PostgreSQL's account can't reach {data}, so its data is in {elsewhere}"]
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        server.release()
        wait_until(lambda: server_is_gone(data))
        again = EmbeddedServer(data)
        assert (data / "postgres").resolve() == elsewhere
        again.release()
        wait_until(lambda: server_is_gone(data))
        shutil.rmtree(elsewhere)
        anew = EmbeddedServer(data)  # as in a container that was made anew around the same clone
        elsewhere = (data / "postgres").resolve()
        anew.release()
        wait_until(lambda: server_is_gone(data))
        shutil.rmtree(elsewhere)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be led where it should not go")
def test_root_follows_no_link_and_signals_no_process_but_the_server_s(tmp_path: Path) -> None:
    account = server_account()
    assert account
    home, victim = tmp_path / "postgres", tmp_path / "victim"
    (home / "cluster").mkdir(parents=True)
    os.chown(home / "cluster", account.pw_uid, account.pw_gid)
    victim.write_text("1\n2\n3\n4\n5\n6\n7\nready")
    for link in ("turn.lock", "cluster/postmaster.pid"):
        (home / link).symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        try_lock(home / "turn.lock")
    with pytest.raises(OSError, match="symbolic links"):
        pid_file(home)

    (home / "cluster" / "postmaster.pid").unlink()
    foreign = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # root's own
    with subprocess.Popen(["sleep", "60"]) as bystander:
        lines = [str(bystander.pid), "", "", "5432", str(foreign), "", "", "ready"]
        (home / "cluster" / "postmaster.pid").write_text("\n".join(lines))
        running, watcher = try_lock(home / "server.lock"), try_lock(home / "watcher.lock")
        assert running is not None
        assert watcher is not None
        thread = threading.Thread(target=watch, args=(home, watcher))
        thread.start()
        time.sleep(0.3)  # several looks at the file
        os.close(running)
        thread.join()
        assert bystander.poll() is None
        bystander.kill()
    assert foreign.exists()
    foreign.rmdir()


@pytest.mark.embedded
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account run PostgreSQL")
def test_locks_and_programs_stay_root_s_own(database_url: str) -> None:
    home = Path(os.environ["TASK_API_TEST_DATA_DIR"]) / "postgres"
    assert database_url
    assert {path.lstat().st_uid for path in home.iterdir() if path.name != "cluster"} == {0}
    assert (home / "cluster").stat().st_uid != 0
    assert home.stat().st_uid == 0
