"""Parameters of jobs: JSON objects, read more strictly than Python reads JSON."""

from __future__ import annotations

import json
import math
from typing import Any

from atelier.lambdas.errors import Invalid

DEEPEST = 64
"""Objects and arrays within one another: the containers' own readers have their limits, too."""


def read(body: bytes | str, *, what: str) -> dict[str, Any]:
    """Return the object that *what* is; refuse anything else."""
    try:
        value = json.loads(body, parse_constant=_finite, parse_float=_finite)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{what} must be valid json string") from error
    if not isinstance(value, dict):
        raise Invalid(f"{what} must be a json object")
    if _is_deeper(value, DEEPEST):
        raise Invalid(f"{what} must not be nested deeper than {DEEPEST}")
    return value


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError(number)
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(levels == 0 or _is_deeper(each, levels - 1) for each in held if isinstance(each, dict | list))
