"""How fast checkpoints are merged, and in how much memory, beside the WebUI's way and two libraries.

    python tests/bench/merge.py [--megabytes 1000] [--rounds 3] [--folder FOLDER]

Two fp16 checkpoints are made in memory (/dev/shm, if there is room), so that no disk decides. Each contestant
merges them in a process of its own, in turn, several times; its best time counts, without its imports. The
result must equal fp32 arithmetic in memory. It fails when the WebUI's way takes less than 1.5 times as long,
or another less than we do, or when we need more than 512 MB, at four times the size too.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OTHERS = ROOT / ".venv" / "merging" / "bin" / "python"
MULTIPLIER, MOST_MEGABYTES, FASTER = 0.3, 512, 1.5
OURS = ("atelier", "atelier, all files hashed")
NAMES = (*OURS, "webui", "sd-mecha", "mergekit")
MEGABYTE = 1_000_000
PIECE = 1 << 22


def layout(size: int) -> dict[str, dict[str, Any]]:
    """Return the header of as much of a Stable Diffusion 1 as fits *size* bytes, repeated if that is less."""
    sys.path.append(str(ROOT / "images" / "training" / "diffusion"))
    from diffusion.layout import STABLE_DIFFUSION_1, names

    table: dict[str, dict[str, Any]] = {}
    end, turn = 0, 0
    while end < size:
        for name, shape in names(STABLE_DIFFUSION_1):
            begin, end = end, end + 2 * int(np.prod(shape))
            key = f"{name}.{turn}" if turn else name
            table[key] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
            if end >= size:
                break
        turn += 1
    return table


def write(path: Path, size: int, seed: int | None) -> None:
    """Write a checkpoint of random numbers, or, without a seed, of zeros that take no room."""
    table = layout(size)
    header = json.dumps(table).encode()
    length = max(each["data_offsets"][1] for each in table.values())
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        if seed is None:
            file.truncate(8 + len(header) + length)
            return
        draw = np.random.default_rng(seed)
        for start in range(0, length, 2 * PIECE):
            count = min(PIECE, (length - start) // 2)
            file.write((draw.standard_normal(count, dtype=np.float32) * 0.05).astype(np.float16).tobytes())


def run(name: str, a: Path, b: Path, out: Path) -> dict[str, Any]:
    """Let one contestant merge; return what it took."""
    python = sys.executable if name in OURS else str(OTHERS)
    command = [
        python,
        str(HERE / "merging" / "contestants.py"),
        name,
        str(a),
        str(b),
        str(out),
        str(MULTIPLIER),
    ]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=offline)
    if done.returncode:
        raise SystemExit(f"{name} failed: {done.stderr.strip().splitlines()[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def tensors(path: Path) -> dict[str, np.memmap[Any, Any]]:
    """Map the tensors of a checkpoint."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        table = json.loads(file.read(length))
    table.pop("__metadata__", None)
    whole = np.memmap(path, np.uint8, "r", 8 + length)
    return {name: whole[slice(*each["data_offsets"])].view(np.float16) for name, each in table.items()}


def check(a: Path, b: Path, out: Path) -> None:
    """Compare a merge with fp32 arithmetic in memory, number by number."""
    first, second, merged = tensors(a), tensors(b), tensors(out)
    rest, much = np.float32(1 - MULTIPLIER), np.float32(MULTIPLIER)
    for name, own in first.items():
        for start in range(0, len(own), PIECE):
            piece = slice(start, start + PIECE)
            wanted = rest * own[piece].astype(np.float32) + much * second[name][piece].astype(np.float32)
            if not np.array_equal(wanted.astype(np.float16), merged[name][piece]):
                raise SystemExit(f"{name} is not what fp32 arithmetic in memory gives")


def emptied(folder: Path) -> Path:
    """Remove what a contestant wrote; return where the next one writes."""
    for each in folder.glob("out*"):
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    return folder / "out.safetensors"


def compared(folder: Path, megabytes: int, rounds: int) -> dict[str, dict[str, Any]]:
    """Let all merge the same in turn; return the best of each."""
    a, b = (folder / f"{each}.safetensors" for each in "ab")
    write(a, megabytes * MEGABYTE, 1)
    write(b, megabytes * MEGABYTE, 2)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    for at in range(rounds):
        for name in NAMES:
            found[name].append(run(name, a, b, emptied(folder)))
            sys.stderr.write(f"{name}: {found[name][-1]['seconds']:.1f} s\n")
            if name == OURS[0] and not at:
                check(a, b, folder / "out.safetensors")
    return {
        name: {measure: min(each[measure] for each in runs) for measure in runs[0]}
        | {"megabytes": max(each["megabytes"] for each in runs)}
        for name, runs in found.items()
    }


def large(folder: Path, megabytes: int) -> int:
    """Merge checkpoints of zeros, which take no room on a disk; return how much memory that took."""
    a, b = (folder / f"{each}.safetensors" for each in "ab")
    for each in (a, b):
        write(each, megabytes * MEGABYTE, None)
    return int(run(OURS[1], a, b, emptied(folder))["megabytes"])


def place(megabytes: int) -> str | None:
    """Return a folder in memory with room for three checkpoints and what reads them, if there is one."""
    memory = Path("/dev/shm")
    is_roomy = memory.is_dir() and shutil.disk_usage(memory).free > 8 * megabytes * MEGABYTE
    return str(memory) if is_roomy else None


def show(found: dict[str, dict[str, Any]], megabytes: int, at_large: int) -> None:
    """Print the table."""
    ours = found[OURS[0]]["seconds"]
    sys.stdout.write(f"Two fp16 checkpoints of {megabytes} MB\n")
    sys.stdout.write(f"{'':28}{'seconds':>10}{'times ours':>12}{'CPU s':>9}{'peak MB':>9}\n")
    for name, each in found.items():
        times = each["seconds"] / ours
        line = (
            f"{name:28}{each['seconds']:10.2f}{times:12.2f}{each['cpu_seconds']:9.2f}{each['megabytes']:9}\n"
        )
        sys.stdout.write(line)
    sys.stdout.write(f"{f'atelier, of {4 * megabytes} MB each':59}{at_large:9}\n")


def main() -> None:
    """Compare, print a table and one JSON object, and fail where we are not as good as we must be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--folder", help="where the checkpoints are made [default: in memory, if there is room]"
    )
    chosen = parser.parse_args()
    if not OTHERS.exists():
        sys.exit("run `make .venv/merging` first: it installs what we are compared with")
    with tempfile.TemporaryDirectory(dir=chosen.folder or place(chosen.megabytes)) as folder:
        found = compared(Path(folder), chosen.megabytes, chosen.rounds)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        at_large = large(Path(folder), 4 * chosen.megabytes)
    show(found, chosen.megabytes, at_large)
    json.dump({"merge": found, "peak_megabytes_at_four_times_the_size": at_large}, sys.stdout)
    sys.stdout.write("\n")
    ours, most = found[OURS[0]]["seconds"], max(at_large, *(found[each]["megabytes"] for each in OURS))
    if found["webui"]["seconds"] < FASTER * ours:
        sys.exit(f"the WebUI's way takes less than {FASTER} times as long")
    if slower := [name for name in ("sd-mecha", "mergekit") if found[name]["seconds"] < ours]:
        sys.exit(f"faster than we are: {', '.join(slower)}")
    if most > MOST_MEGABYTES:
        sys.exit(f"{most} MB of memory are more than {MOST_MEGABYTES}")


if __name__ == "__main__":
    main()
