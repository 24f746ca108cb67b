"""Derive an image's requirements-cpu.lock from its requirements-cuda.lock: the same packages, without CUDA.

`make lock` runs `python images/training/lock.py FOLDER...`, one folder for each image.

PyPI's torch for Linux needs 2.6 GB of NVIDIA's libraries; the +cpu build of the same release needs none.
pip prefers a file whose hash an index page tells to one in a folder, so a lock that listed PyPI's Linux
hashes too would take PyPI's. Hence the local version is pinned, with the hashes in torch-cpu.sha256 (those
that https://download.pytorch.org/whl/cpu tells; update them together with the release in requirements.in).
"""

import re
import sys
from pathlib import Path

WHEELS = Path(__file__).parent / "torch-cpu.sha256"
CUDA_ONLY = re.compile(r"(nvidia-|cuda-|triton\b)")


def derive(cuda: str, wheels: str) -> str:
    """Return the lock for CPUs, given the one for CUDA and the sha256sum listing of torch's +cpu wheels."""
    kept = [each for each in re.split(r"\n(?=\S)", cuda.strip()) if not CUDA_ONLY.match(each)]
    return "\n".join(_torch(each, wheels) if each.startswith("torch==") else each for each in kept) + "\n"


def _torch(pinned: str, wheels: str) -> str:
    """Pin the +cpu build on Linux; elsewhere PyPI's torch has no CUDA in it."""
    requirement, *hashes = pinned.split(" \\\n")
    listed = [line.split() for line in wheels.splitlines()]
    strange = [name for _, name in listed if f"-{requirement.removeprefix('torch==')}+cpu-" not in name]
    if strange:
        raise SystemExit(
            f"torch-cpu.sha256 lists {', '.join(strange)}, which is no +cpu wheel of {requirement}"
        )
    cpu = [f"    --hash=sha256:{digest}" for digest, _ in listed]
    return "\n".join(
        [
            " \\\n".join([f"{requirement}+cpu ; sys_platform == 'linux'", *cpu]),
            " \\\n".join([f"{requirement} ; sys_platform != 'linux'", *hashes]),
        ]
    )


def main(folders: list[str]) -> None:
    """Write the lock for CPUs beside each one for CUDA."""
    if not folders:
        raise SystemExit("usage: lock.py FOLDER...")
    for folder in map(Path, folders):
        source = (folder / "requirements-cuda.lock").read_text(encoding="utf-8")
        target = derive(source, WHEELS.read_text(encoding="utf-8"))
        (folder / "requirements-cpu.lock").write_text(target, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
