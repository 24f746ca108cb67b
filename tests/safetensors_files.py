"""Checkpoints written and read by hand, with nothing of what is tested."""

from __future__ import annotations

import json
import math

import numpy as np

TYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64, "I64": np.int64, "I32": np.int32}
UNET = "model.diffusion_model."
FIRST = f"{UNET}input_blocks.0.0.weight"


def brain(values):
    """Round to bf16 by exact arithmetic: the nearest, ties to even."""
    bits = np.asarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def raw(kind, values):
    return (brain(values) if kind == "BF16" else np.asarray(values).astype(TYPES[kind])).tobytes()


def write(path, tensors, metadata=None):
    """Write {name: (kind, values)}, in that order."""
    table, bodies, end = {}, [], 0
    if metadata is not None:
        table["__metadata__"] = metadata
    for name, (kind, values) in tensors.items():
        bodies.append(raw(kind, values))
        table[name] = {
            "dtype": kind,
            "shape": list(np.shape(values)),
            "data_offsets": [end, end + len(bodies[-1])],
        }
        end += len(bodies[-1])
    return write_raw(path, json.dumps(table).encode(), b"".join(bodies))


def write_raw(path, header, body):
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)
    return path


def header(path):
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])


def read(path):
    """Return {name: values}, bf16 as fp32; the types are in the header."""
    content, table = path.read_bytes(), header(path)
    start = 8 + int.from_bytes(content[:8], "little")
    table.pop("__metadata__", None)
    return {name: _values(entry, content[start:]) for name, entry in table.items()}


def _values(entry, body):
    begin, end = entry["data_offsets"]
    assert begin % (8 if entry["dtype"] in ("I64", "F64") else 2) == 0
    if entry["dtype"] == "BF16":
        found = (np.frombuffer(body[begin:end], np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        found = np.frombuffer(body[begin:end], TYPES[entry["dtype"]])
    assert found.size == math.prod(entry["shape"])
    return found.reshape(entry["shape"])


def numbers(*shape, seed=0, scale=0.05):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def small(kind="F16", seed=0, **more):
    """A checkpoint's worth of tensors: a first layer, one layer more, and whatever else is named."""
    return {
        FIRST: (kind, numbers(8, 4, 3, 3, seed=seed)),
        f"{UNET}out.2.bias": (kind, numbers(7, seed=seed + 1)),
        **more,
    }
