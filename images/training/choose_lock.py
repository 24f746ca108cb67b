"""Print which lock of a training image this machine can install: the CPU one wherever it will do.

publish.py asks it for a build; `python images/training/choose_lock.py images/training/gpt_neo` prints it.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

CPU, CUDA = "requirements-cpu.lock", "requirements-cuda.lock"
BIG = """\
No torch {version} for CPUs is configured here ({reason}): taking {lock}, a download of about 2.6 GB.
To avoid it, let pip see the CPU builds and start again:
    export PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
Without Docker, PIP_FIND_LINKS=folder does it too: an image's build does not see folders of this machine.
"""


def main(folder: Path) -> str:
    """Ask pip, as configured, for the CPU build that *folder*'s lock pins; return the lock to install."""
    lock = (folder / CPU).read_text(encoding="utf-8")
    version = pinned(lock)
    if not sys.platform.startswith("linux"):
        return CPU  # PyPI's torch has no CUDA in it elsewhere
    problem = unavailable(version, lock)
    if problem:
        sys.stderr.write(BIG.format(version=version, reason=problem, lock=CUDA))
    return CUDA if problem else CPU


def pinned(lock: str) -> str:
    """Read the version of the CPU build from *lock*."""
    found = re.search(r"^torch==(\S+\+cpu)\b", lock, re.MULTILINE)
    if not found:
        raise SystemExit(f"{CPU} pins no CPU build of torch; run `make lock`")
    return found[1]


def unavailable(version: str, lock: str) -> str | None:
    """Say why pip cannot install the CPU build, or nothing if it can; only metadata is downloaded."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--dry-run",
        "--no-deps",
        "--ignore-installed",
    ]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--report=-", f"torch=={version}"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode:
        return (asked.stderr.strip().splitlines() or ["pip failed"])[-1]
    found = json.loads(asked.stdout)["install"][0]["download_info"]
    digest = found.get("archive_info", {}).get("hashes", {}).get("sha256")
    if digest and digest not in lock:
        return f"{found['url']} is not a file that {CPU} knows"
    return None


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: choose_lock.py FOLDER")
    sys.stdout.write(main(Path(sys.argv[1])) + "\n")
