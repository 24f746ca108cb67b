"""What merges checkpoints, timed without imports: run by merge.py, the others in a venv of their own.

    python contestants.py atelier|webui|sd-mecha|mergekit A B OUT MULTIPLIER

Prints one JSON object: seconds, CPU seconds and the most memory that the process had.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

Timed = Callable[[], None]


def webui(a: Path, b: Path, out: Path, multiplier: float) -> Timed:
    """Do as AUTOMATIC1111's WebUI: both whole in memory, a tensor at a time in the parents' own precision."""
    from safetensors.torch import load_file, save_file

    def merge() -> None:
        second = load_file(b, device="cpu")
        first = load_file(a, device="cpu")
        for name in first:
            if "model" in name and name in second:
                first[name] = (1 - multiplier) * first[name] + multiplier * second[name]
        del second
        save_file(first, out, metadata={"format": "pt"})

    return merge


def sd_mecha(a: Path, b: Path, out: Path, multiplier: float) -> Timed:
    """Merge by sd-mecha, streamed, in fp32 as we do."""
    import sd_mecha
    import torch

    parents = [sd_mecha.model(each, "sd1-ldm") for each in (a, b)]
    recipe = sd_mecha.weighted_sum(*parents, alpha=multiplier)

    def merge() -> None:
        sd_mecha.merge(
            recipe,
            output=out,
            merge_device="cpu",
            merge_dtype=torch.float32,
            output_dtype=torch.float16,
            strict_mandatory_keys=False,
            check_extra_keys=False,
        )

    return merge


def mergekit(a: Path, b: Path, out: Path, multiplier: float) -> Timed:
    """Merge by mergekit-pytorch, in fp32 as we do."""
    from mergekit.scripts.merge_raw_pytorch import main

    models = [
        {"model": str(each), "parameters": {"weight": weight}}
        for each, weight in ((a, 1 - multiplier), (b, multiplier))
    ]
    config = {"merge_method": "linear", "models": models, "dtype": "float32", "out_dtype": "float16"}
    path = out.with_suffix(".json")
    path.write_text(json.dumps(config), encoding="utf-8")

    def merge() -> None:
        folder = out.with_suffix(".folder")
        main.main([str(path), str(folder), "--quiet"], standalone_mode=False)

    return merge


def atelier(a: Path, b: Path, out: Path, multiplier: float, *, hashed: bool = False) -> Timed:
    """Merge by what `atelier merge` runs; the others hash nothing."""
    from atelier.merging.merge import Parent, merge
    from atelier.merging.recipe import Recipe

    parents = [Parent(each, each.name) for each in (a, b)]

    def run() -> None:
        merge(Recipe("weighted_sum", multiplier), parents, out, hashed=hashed)

    return run


CONTESTANTS = {
    "atelier": atelier,
    "atelier, all files hashed": partial(atelier, hashed=True),
    "webui": webui,
    "sd-mecha": sd_mecha,
    "mergekit": mergekit,
}


def peak() -> int:
    """Return the most megabytes that this process had."""
    told = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(told.split("VmHWM:")[1].split()[0]) // 1024


def main(who: str, *given: str) -> dict[str, Any]:
    """Prepare one of them, merge, and return what it took."""
    a, b, out = map(Path, given[:3])
    merge = CONTESTANTS[who](a, b, out, float(given[3]))
    wall, cpu = time.perf_counter(), sum(os.times()[:2])
    merge()
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": sum(os.times()[:2]) - cpu,
        "megabytes": peak(),
    }


if __name__ == "__main__":
    found = json.dumps(main(*sys.argv[1:]))
    sys.stdout.write(f"\n{found}\n")
