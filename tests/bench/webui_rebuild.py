"""How long the WebUI's image takes to build: first with nothing there, then for a new commit of upstream.

    python tests/bench/webui_rebuild.py

Upstream is the tests' stand-in, whose requirements are installed from the package index the first time. It
fails when the build of a commit that changes no requirement takes more than a quarter of the first one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "images" / "webui")]

import build  # noqa: E402
import docker_machine  # noqa: E402
import standin_upstream  # noqa: E402

from atelier.cloud.engines import docker_client  # noqa: E402

LARGEST_SHARE = 0.25


def timed(project: Path, commit: str, image: str) -> float:
    """Take a commit to its image; return the seconds that it took."""
    start = time.perf_counter()
    checkout = [sys.executable, "images/webui/checkout.py", commit, "build/webui"]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(checkout, cwd=project, check=True, **silent)
    build.build(project / "build" / "webui", image, {"atelier.upstream.commit": commit}, [])
    return time.perf_counter() - start


def measure(folder: Path) -> dict[str, object]:
    """Build the first commit, and one more."""
    project, name = folder / "project", f"webui-rebuild-{uuid.uuid4().hex[:8]}"
    upstream = standin_upstream.Upstream(folder / "git")
    for each in ("images", "extension"):
        shutil.copytree(ROOT / each, project / each, ignore=shutil.ignore_patterns("__pycache__"))
    upstream.declare(project)
    images = f"{name}:first", f"{name}:again"
    try:
        # no layer of another build has these requirements
        first = timed(project, upstream.require(f"# {name}"), images[0])
        again = timed(project, upstream.commit(), images[1])
    finally:
        subprocess.run(["docker", "rmi", "--force", *images], capture_output=True, check=False)
    seconds = {"first_seconds": round(first, 1), "new_commit_seconds": round(again, 1)}
    return {"image": "webui", **seconds, "share": round(again / first, 3)}


def main() -> int:
    """Measure, where there is a Docker engine."""
    if problem := docker_machine.missing():
        sys.stdout.write(json.dumps({"image": "webui", "left_out": problem}) + "\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="atelier-rebuild-") as folder:
        listed = ["docker", "network", "ls", "-q", "-f", "name=^bridge$"]
        known = subprocess.run(listed, capture_output=True, check=True)
        options = {"label": "atelier.home=rebuild", "has_bridge": bool(known.stdout)}
        tools = docker_client.install(Path(folder) / "engine", os.environ, **options)
        os.environ["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
        measured = measure(Path(folder))
    sys.stdout.write(json.dumps(measured) + "\n")
    return int(float(str(measured["share"])) > LARGEST_SHARE)


if __name__ == "__main__":
    sys.exit(main())
