"""How long an image takes to build, first with nothing there, then after a change of its code alone.

    python tests/containers/rebuild.py [--image gpt_neo] [--engine docker|process]

It fails when the second build takes more than a fifth of the first.
"""

from __future__ import annotations

import argparse
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
TRAINING = ROOT / "images" / "training"
sys.path[:0] = [str(ROOT / "tests"), str(TRAINING)]

import choose_lock  # noqa: E402
import docker_machine  # noqa: E402

from atelier.cloud.engines import docker_client  # noqa: E402

LARGEST_SHARE = 0.2


def client(engine: str, folder: Path) -> list[str]:
    """Return the `docker` command of an engine that has built nothing yet."""
    if engine == "process":
        module = "atelier.cloud.engines.docker_command"
        return [sys.executable, "-m", module, str(folder / "home"), str(folder / "cache")]
    known = subprocess.run(
        ["docker", "network", "ls", "-q", "-f", "name=^bridge$"], capture_output=True, check=True
    )
    options = {"label": "atelier.home=rebuild", "has_bridge": bool(known.stdout)}
    return [str(docker_client.install(folder, os.environ, **options) / "docker")]


def timed(command: list[str], context: Path, name: str, lock: str) -> float:
    """Build the image; return the seconds that it took."""
    start = time.perf_counter()
    build = [*command, "build", "--quiet", "--tag", name, "--build-arg", f"LOCK={lock}", str(context)]
    subprocess.run(build, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def measure(image: str, engine: str, folder: Path) -> dict[str, object]:
    """Build, change the code, build again."""
    context, name = folder / "context", f"rebuild-{uuid.uuid4().hex[:8]}"
    tags = f"{name}:first", f"{name}:again"
    shutil.copytree(TRAINING / image, context, ignore=shutil.ignore_patterns("__pycache__"))
    lock = choose_lock.main(context)
    with (context / lock).open("a") as file:
        file.write(f"# {name}: no layer of another build has this lock\n")
    command = client(engine, folder / "engine")
    try:
        first = timed(command, context, tags[0], lock)
        with (context / image / "__init__.py").open("a") as file:
            file.write("# changed\n")
        again = timed(command, context, tags[1], lock)
    finally:
        if engine == "docker":
            subprocess.run([*command, "rmi", "--force", *tags], stdout=subprocess.DEVNULL, check=False)
    seconds = {"first_seconds": round(first, 1), "code_only_seconds": round(again, 1)}
    return {"image": image, "engine": engine, "lock": lock, **seconds, "share": round(again / first, 3)}


def main() -> int:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--image", choices=["gpt_neo", "diffusion"], default="gpt_neo")
    parser.add_argument("--engine", choices=["docker", "process"])
    given = parser.parse_args()
    engine = given.engine or ("process" if docker_machine.missing() else "docker")
    with tempfile.TemporaryDirectory(prefix="atelier-rebuild-") as folder:
        measured = measure(given.image, engine, Path(folder))
    sys.stdout.write(json.dumps(measured) + "\n")
    return int(float(str(measured["share"])) > LARGEST_SHARE)


if __name__ == "__main__":
    sys.exit(main())
