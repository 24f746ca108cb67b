"""The sizes that a Fargate task can have."""

from __future__ import annotations

from atelier.cloud.context import Size
from atelier.cloud.services.ecs.service import refused

MIB = 1 << 20
SIZES: dict[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4097, 1024)),
    1024: tuple(range(2048, 8193, 1024)),
    2048: tuple(range(4096, 16385, 1024)),
    4096: tuple(range(8192, 30721, 1024)),
    8192: tuple(range(16384, 61441, 4096)),
    16384: tuple(range(32768, 122881, 8192)),
}
"""Memory in MiB by CPU units, as AWS offers them."""


def check(cpu: str | None, memory: str | None) -> tuple[str, str]:
    """Return a size in units and MiB; raise ServiceError for one that Fargate does not have."""
    if not cpu or not memory:
        raise refused("Fargate requires that 'cpu' and 'memory' be defined at the task level.")
    units, mib = _number(cpu, "vcpu", 1024), _number(memory, "gb", 1024)
    if mib not in SIZES.get(units, ()):
        raise refused(
            "No Fargate configuration exists for given values:"
            f" {units} CPU, {mib} memory. See the Amazon ECS documentation for the valid values."
        )
    return str(units), str(mib)


def size(cpu: str, memory: str) -> Size:
    """Return how big a machine a task is meant for."""
    return Size(vcpus=int(cpu) / 1024, memory=int(memory) * MIB)


def _number(value: str, unit: str, factor: int) -> int:
    text = value.lower().replace(" ", "")
    try:
        return int(float(text.removesuffix(unit)) * factor) if text.endswith(unit) else int(text)
    except ValueError:
        raise refused(f"Invalid value for cpu or memory: {value!r}") from None
