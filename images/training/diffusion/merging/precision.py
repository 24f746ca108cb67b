"""Numbers of 16 bits as numpy's fast operations see them: read into fp32, and rounded back.

numpy converts fp16 one number at a time. The same by integer operations on many at a time takes a fourth of
that; it rounds as the processor does, to the nearest, ties to even.
"""

import struct
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

#: Numbers that are worked on at a time: few enough for a cache, so many that Python itself takes no time.
BLOCK = 1 << 17
FLOATS = ("F16", "BF16", "F32", "F64")

Values = NDArray[np.float32]
Bytes = NDArray[np.uint8]

#: Between the exponents of fp16 and of fp32.
SHIFT = np.float32(2.0**112)
SIGN_AND_NUMBER = np.int32(-0x70002000)
EXPONENT = np.int32(0x7F800000)
#: Added to and taken from a number of exponent 0, it leaves as many bits as fp16 has.
ROUNDING = np.float32(1.5 * 2**13)
SMALLEST_NORMAL = np.full(BLOCK, 2.0**-14, np.float32)
#: The least that a type rounds to infinity.
LIMITS: Mapping[str, float] = {"F16": 65520.0, "BF16": (2 - 2**-8) * 2.0**127, "F32": float("inf")}
#: Below it lies whatever fp32 arithmetic makes of numbers that together are no larger than a limit's 0.9999.
NEARLY, LARGEST = 0.9999, float(np.finfo(np.float32).max)


class Scratch:
    """What one worker calculates with; nothing is allocated while it works."""

    def __init__(self) -> None:
        self.bytes = np.empty(8 * BLOCK, np.uint8)
        self.first, self.second, self.third, self.spare = (np.empty(BLOCK, np.float32) for _ in range(4))
        self.signs = np.empty(BLOCK, np.bool_)
        self.short = np.empty(BLOCK, np.uint16)


def magnitude(raw: Bytes, kind: str) -> float:
    """Return how large the largest is without its sign; infinite as well where something is no number.

    Numbers without a sign are in the order of their bits, and what is not finite has the largest exponent.
    """
    signed, unsigned, infinity, sign = _INFINITIES[kind]
    bits = max(int(raw.view(signed).max()), int(raw.view(unsigned).max()) - sign, 0)
    return _value(bits, kind) if bits < infinity else float("inf")


def _value(bits: int, kind: str) -> float:
    code, width, shift = _FORMS[kind]
    (found,) = struct.unpack(f"<{code}", (bits << shift).to_bytes(width, "little"))
    return float(found)


def decode(raw: Bytes, kind: str, weight: np.float32, out: Values) -> None:
    """Write *raw*, all finite, times *weight* to *out*."""
    _DECODERS[kind](raw, weight, out)


def encode(values: Values, kind: str, out: Bytes, scratch: Scratch, bound: float = float("inf")) -> bool:
    """Round *values*, which are lost, to *out*; return whether the type has numbers that large.

    What is known to stay below *bound*, however it was rounded, need not be looked at again.
    """
    limit = LIMITS[kind]
    # a comparison with what is no number is false
    if not bound < NEARLY * min(limit, LARGEST) and not max(values.max(), -values.min()) < limit:
        return False
    _ENCODERS[kind](values, out, scratch)
    return True


def _from_half(raw: Bytes, weight: np.float32, out: Values) -> None:
    bits = out.view(np.int32)
    np.copyto(bits, raw.view(np.int16))
    np.left_shift(bits, 13, out=bits)
    np.bitwise_and(bits, SIGN_AND_NUMBER, out=bits)
    np.multiply(out, weight * SHIFT, out=out)


def _from_brain(raw: Bytes, weight: np.float32, out: Values) -> None:
    bits = out.view(np.uint32)
    np.copyto(bits, raw.view(np.uint16))
    np.left_shift(bits, 16, out=bits)
    np.multiply(out, weight, out=out)


def _from_single(raw: Bytes, weight: np.float32, out: Values) -> None:
    np.multiply(raw.view(np.float32), weight, out=out)


def _from_double(raw: Bytes, weight: np.float32, out: Values) -> None:
    np.copyto(out, raw.view(np.float64), casting="same_kind")
    np.multiply(out, weight, out=out)


def _to_half(values: Values, out: Bytes, scratch: Scratch) -> None:
    count = len(values)
    bits, unit = values.view(np.int32), scratch.spare[:count]
    unit_bits, half = unit.view(np.int32), out.view(np.uint16)
    np.signbit(values, out=scratch.signs[:count])
    # the sum is so large that the processor rounds off what fp16 has no bits for
    np.bitwise_and(bits, EXPONENT, out=unit_bits)
    np.maximum(unit, SMALLEST_NORMAL[:count], out=unit)
    np.multiply(unit, ROUNDING, out=unit)
    np.add(values, unit, out=values)
    np.subtract(values, unit, out=values)
    np.multiply(values, 1 / SHIFT, out=values)
    np.right_shift(bits, 13, out=bits)
    np.copyto(half, bits, casting="unsafe")
    signs = scratch.short[:count]
    np.left_shift(scratch.signs[:count].view(np.uint8), 15, out=signs, dtype=np.uint16)
    np.bitwise_or(half, signs, out=half)


def _to_brain(values: Values, out: Bytes, scratch: Scratch) -> None:
    bits = values.view(np.uint32)
    odd = scratch.spare[: len(values)].view(np.uint32)
    np.right_shift(bits, 16, out=odd)
    np.bitwise_and(odd, 1, out=odd)
    np.add(bits, odd, out=bits)
    np.add(bits, np.uint32(0x7FFF), out=bits)
    np.right_shift(bits, 16, out=bits)
    np.copyto(out.view(np.uint16), bits, casting="unsafe")


def _to_single(values: Values, out: Bytes, scratch: Scratch) -> None:
    np.copyto(out.view(np.float32), values)


_INFINITIES: Mapping[str, "tuple[type, type, int, int]"] = {
    "F16": (np.int16, np.uint16, 0x7C00, 1 << 15),
    "BF16": (np.int16, np.uint16, 0x7F80, 1 << 15),
    "F32": (np.int32, np.uint32, 0x7F800000, 1 << 31),
    "F64": (np.int64, np.uint64, 0x7FF0000000000000, 1 << 63),
}
#: What struct calls a type, its bytes, and how far its bits lie from their place in that.
_FORMS: Mapping[str, "tuple[str, int, int]"] = {
    "F16": ("e", 2, 0),
    "BF16": ("f", 4, 16),
    "F32": ("f", 4, 0),
    "F64": ("d", 8, 0),
}
_DECODERS: Mapping[str, Callable[[Bytes, np.float32, Values], None]] = {
    "F16": _from_half,
    "BF16": _from_brain,
    "F32": _from_single,
    "F64": _from_double,
}
_ENCODERS: Mapping[str, Callable[[Values, Bytes, Scratch], None]] = {
    "F16": _to_half,
    "BF16": _to_brain,
    "F32": _to_single,
}
