"""Pushes to a registry on a disk of few megabytes; run by its test in a mount namespace of its own.

Prints as JSON what the client saw, what ECR lists, and what came of a push after room was made.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from registry_world import RegistryWorld

DISK = "16m"


def main(home: Path) -> None:
    """Fill the disk by a push, make room, and push again."""
    registry = home / "registry"
    registry.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(registry)], check=True)
    world = RegistryWorld(home)
    world.repository("small")
    filler = registry / "filler"
    before = world.push("small", "before", "one")
    filler.write_bytes(b"f" * 12_000_000)
    refused = world.upload("small", os.urandom(8_000_000))
    listed = world.images("small")
    filler.unlink()
    after = world.push("small", "after", "two")
    seen = {
        "refused": [refused.status_code, refused.json()],
        "listed": listed == {before: ["before"]},
        "after": world.images("small").get(after),
        "pulled": world.http.get("/v2/small/manifests/before").status_code,
    }
    world.close()
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
