"""Make a random Stable Diffusion of a few MB, tokenizer included, in the community's single-file layout.

    python -m diffusion tiny OUT.safetensors [--seed N]

It needs nothing but Python. It paints coloured noise, but goes wherever a real checkpoint goes.
"""

import json
import math
import random
import struct
from collections.abc import Iterator
from pathlib import Path

from diffusion import layout, vocabulary
from diffusion.layout import Architecture, Shape

MERGES = 1486
SIZES = Architecture(
    unet=(32, 64),
    unet_blocks=1,
    attention=(True, False),
    vae=(32, 32, 32, 32),
    vae_blocks=1,
    words=2 * 256 + MERGES + 2,
    text=64,
    text_layers=2,
    text_inner=256,
)
#: Random weights keep the strength of what passes through them; a last layer that is louder paints more.
GAIN = {"decoder.conv_out.weight": 3.0}


def write(path: Path, seed: int) -> int:
    """Write the checkpoint of *seed* to *path*; return its size."""
    tensors = [("F16", name, shape, _tensor(name, shape, seed)) for name, shape in layout.names(SIZES)]
    positions = struct.pack(f"<{layout.TOKENS}q", *range(layout.TOKENS))
    # eight-byte numbers go first, where they are aligned
    tensors.insert(0, ("I64", f"{layout.TEXT}embeddings.position_ids", (1, layout.TOKENS), positions))
    table: dict[str, object] = {"__metadata__": _metadata(seed)}
    end = 0
    for kind, name, shape, body in tensors:
        table[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + len(body)]}
        end += len(body)
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.writelines(body for *_, body in tensors)
    return 8 + len(header) + end


def _metadata(seed: int) -> dict[str, str]:
    return {
        "format": "pt",
        "title": f"random Stable Diffusion, seed {seed}",
        vocabulary.METADATA: "\n".join(vocabulary.merges(MERGES)),
    }


def _tensor(name: str, shape: Shape, seed: int) -> bytes:
    """Make a tensor; its values depend on its name and the seed alone."""
    size = math.prod(shape)
    if len(shape) == 1:
        return struct.pack("<e", 1.0 if name.endswith(".weight") else 0.0) * size
    inputs = shape[1] if "embedding" in name else math.prod(shape[1:])
    gain = next((gain for end, gain in GAIN.items() if name.endswith(end)), 1.0)
    # uniform, not normal: it takes no function of the platform's libm, so every machine makes the same
    limit = gain * (3 / inputs) ** 0.5
    return struct.pack(f"<{size}e", *_uniform(f"{seed} {name}", limit, size))


def _uniform(key: str, limit: float, size: int) -> Iterator[float]:
    draw = random.Random(key).random
    return ((2 * draw() - 1) * limit for _ in range(size))
