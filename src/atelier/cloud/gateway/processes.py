"""Processes named by pid and start time, because a pid alone comes back as another process."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path


def started(pid: int) -> str | None:
    """Return a token of when *pid* started, or None when no such process runs."""
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return _started_by_ps(pid)
    try:
        fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, start = fields[0], fields[19]
    return None if state in "ZX" else start


def _started_by_ps(pid: int) -> str | None:
    done = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, start = done.stdout.strip().partition(" ")
    return start.strip() or None if state and not state.startswith("Z") else None


def memory(pid: int) -> int | None:
    """Return the resident memory of *pid* in bytes, or None when it cannot be told."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return _memory_by_ps(pid)
    return pages * os.sysconf("SC_PAGE_SIZE")


def _memory_by_ps(pid: int) -> int | None:
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return int(done.stdout) * 1024 if done.stdout.strip().isdigit() else None


def end(pid: int, start: str, *, grace: float) -> bool:
    """End the process by SIGTERM, by SIGKILL after *grace* seconds; say whether it went willingly."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        if started(pid) != start:
            return True
        os.kill(pid, number)
        if gone(pid, start, patience):
            return number == signal.SIGTERM
    return False


def gone(pid: int, start: str, patience: float) -> bool:
    """Wait until the process is gone; say whether it is."""
    deadline = time.monotonic() + patience
    while started(pid) == start:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
