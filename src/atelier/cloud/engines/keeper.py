"""Ends containers when the cloud that started them is gone, however it went.

One small process per cloud, in a session of its own. The cloud tells it over a pipe what runs (``+pid
started mark``) and what has ended (``-pid``); when the pipe closes because the cloud was killed, what still
runs is killed with its group. It uses the standard library only and runs without site-packages, so it stays
small. A parent-death signal would reach a group's leader only, and fires when the thread that started it
ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def started(pid: int) -> str | None:
    """Return when the process started, which tells it from a later one with its number; None: it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _started_by_ps(pid) if not Path("/proc/self/stat").exists() else None
    return fields[19]


def _started_by_ps(pid: int) -> str | None:
    result = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return result.stdout.strip() or None


def kill_group(pid: int, began: str) -> bool:
    """Kill the group that the process leads if it is still the one that was started then."""
    if started(pid) != began:
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    return True


def marked(mark: str) -> Iterator[int]:
    """Return the processes whose environment holds *mark*: a container's, even those that left its group."""
    wanted = mark.encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)


def kill_marked(mark: str) -> None:
    """Kill the processes whose environment holds *mark*."""
    for pid in marked(mark):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Follow the cloud's messages until it is gone."""
    running: dict[str, list[str]] = {}
    for line in sys.stdin:
        pid, *rest = line[1:].split()
        if line.startswith("+"):
            running[pid] = rest
        else:
            running.pop(pid, None)
    for pid, (began, mark) in running.items():
        kill_group(int(pid), began)
        kill_marked(mark)


if __name__ == "__main__":
    main()
