"""What one build hands on: code, layer and the serving API's template under keys that name their content."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from atelier import bundle, synth


def release(out: Path) -> dict[str, str]:
    """Write everything to the folder *out* as the code bucket will have it; return the keys by variable."""
    template = synth.text("serving-api").encode()
    named = f"templates/{hashlib.sha256(template).hexdigest()[:16]}/serving-api.json"
    contents = {
        "CODE_KEY": bundle.functions(),
        "LAYER_KEY": bundle.layer(),
        "SERVING_TEMPLATE_KEY": (named, template),
    }
    for key, body in contents.values():
        path = out / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return {variable: key for variable, (key, _) in contents.items()}


def main(out: str) -> None:
    """Write a release, and print its keys as assignments for a shell."""
    for variable, key in release(Path(out)).items():
        sys.stdout.write(f"{variable}={key}\n")


if __name__ == "__main__":
    main(*sys.argv[1:] or ["build/release"])
