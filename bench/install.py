"""What the benchmark needs beside the project: wrk, the peers in Node, the peers in Python."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = HERE / ".venv" / "bin" / "python"


def say(text: str) -> None:
    """Show progress; the figures themselves go to standard output."""
    print(text, file=sys.stderr, flush=True)


def _quietly(*command: str | Path, folder: Path = HERE) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")


def _wrk() -> None:
    if shutil.which("wrk"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit("The benchmark needs wrk: install it (on Debian: sudo apt-get install wrk) and try again.")
    say("Installing wrk …")
    _quietly("apt-get", "update")
    _quietly("apt-get", "install", "-y", "wrk")


def _newer(source: Path, stamp: Path) -> bool:
    return not stamp.exists() or source.stat().st_mtime > stamp.stat().st_mtime


def _node() -> None:
    if not (shutil.which("node") and shutil.which("npm")):
        raise SystemExit("The benchmark needs Node 20 or later, with npm, for Express and Fastify.")
    stamp = HERE / "node_modules" / "installed"
    if _newer(HERE / "package-lock.json", stamp):
        say("Installing the peers in Node …")
        _quietly("npm", "ci", "--no-audit", "--no-fund")
        stamp.touch()


def _python() -> None:
    stamp = HERE / ".venv" / "installed"
    if _newer(HERE / "requirements.txt", stamp):
        say("Installing the peers in Python …")
        _quietly(sys.executable, "-m", "venv", HERE / ".venv")
        _quietly(PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "-r", "requirements.txt")
        stamp.touch()


def install() -> None:
    """Install what is missing, or end with a sentence that says what to install."""
    _wrk()
    _node()
    _python()
