"""What a process and its children have used, from /proc."""

import os
from pathlib import Path

TICK = 1_000_000 // os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    # The name in brackets may hold spaces; everything after it does not.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()


def tree(root: int) -> list[int]:
    """A process and its descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
            except OSError:  # it has ended meanwhile
                continue
    found = [root]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def microseconds(root: int) -> int:
    """CPU of a process tree, user and system, with children that have ended."""
    total = 0
    for pid in tree(root):
        try:
            total += sum(int(ticks) for ticks in _stat(pid)[11:15])
        except OSError:
            continue
    return total * TICK


def resident_bytes(root: int) -> int:
    """Resident memory of a process tree."""
    pages = 0
    for pid in tree(root):
        try:
            pages += int(_stat(pid)[21])
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


def model() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"
