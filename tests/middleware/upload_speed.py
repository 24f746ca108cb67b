"""How fast the extension uploads a checkpoint, compared with curl and the same parts.

    python tests/middleware/upload_speed.py [--megabytes 400] [--rounds 5]

Both put the parts through presigned links into the local cloud's S3, four at a time, in turns; the shared
machine is as slow for the one as for the other.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [
    str(Path(__file__).parent),
    *(str(Path(__file__).parents[1] / each) for each in ("", "../extension")),
]

import studio as shop  # noqa: E402

from atelier.cloud.gateway import launch  # noqa: E402
from atelier_webui.accounts import account  # noqa: E402
from atelier_webui.client import Client  # noqa: E402
from atelier_webui.uploads import WORKERS, Upload, part_size  # noqa: E402

WANTED = 0.8


def tensors(path, size):
    count = size - 200
    header = b'{"t":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (count, count)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        while left := count - (file.tell() - 8 - len(header)):
            file.write(os.urandom(min(left, 1 << 20)))
    return path


def split(path, folder):
    """Write the parts of a file as files of their own: curl uploads nothing less."""
    parts = []
    with path.open("rb") as file:
        while body := file.read(part_size(path.stat().st_size)):
            parts.append(folder / f"part{len(parts)}")
            parts[-1].write_bytes(body)
    return parts


def by_curl(client, path, parts):
    """Return the seconds that curl takes for the parts alone."""
    made = client.create_checkpoint("Stable-diffusion", {path.name: len(parts)})
    lines = [
        f'url = "{link}"\nupload-file = "{part}"\noutput = "/dev/null"\nheader = "Content-Type:"\n'
        for link, part in zip(made.s3PresignUrl[path.name], parts, strict=True)
    ]
    start = time.perf_counter()
    command = ["curl", "--silent", "--fail", "--parallel", "--parallel-max", str(WORKERS), "--noproxy", "*"]
    subprocess.run(
        [*command, "--config", "-"], input="\n".join(lines), text=True, check=True, stderr=subprocess.DEVNULL
    )
    taken = time.perf_counter() - start
    client.delete_checkpoints([made.checkpoint.id])
    return taken


def by_us(client, path):
    """Return the seconds that our own upload takes for the parts alone."""
    upload = Upload(client, [path], "Stable-diffusion")
    complete, times = client.complete_checkpoint, []
    create = client.create_checkpoint

    def begun(*given, **more):
        made = create(*given, **more)
        times.append(time.perf_counter())
        return made

    client.create_checkpoint = begun
    client.complete_checkpoint = lambda *given: times.append(time.perf_counter())
    upload.run()
    upload.discard()
    client.create_checkpoint, client.complete_checkpoint = create, complete
    return times[1] - times[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="atelier-uploads-"))
    try:
        studio = shop.opened(place / "home")
        client = Client(account("bench", studio.url, studio.token, "api"))
        path = tensors(place / "bench.safetensors", chosen.megabytes * 1_000_000)
        parts = split(path, place)
        rounds = [(by_curl(client, path, parts), by_us(client, path)) for _ in range(chosen.rounds)]
    finally:
        launch.stop(place / "home")
        shutil.rmtree(place, ignore_errors=True)
    ratios = [curl / ours for curl, ours in rounds]
    document = {
        "megabytes": chosen.megabytes,
        "parts": len(parts),
        "curl_mb_per_second": [round(chosen.megabytes / curl) for curl, _ in rounds],
        "extension_mb_per_second": [round(chosen.megabytes / ours) for _, ours in rounds],
        "ratio": round(statistics.median(ratios), 2),
    }
    sys.stdout.write(json.dumps(document) + "\n")
    sys.exit(0 if document["ratio"] >= WANTED else 1)


if __name__ == "__main__":
    main()
