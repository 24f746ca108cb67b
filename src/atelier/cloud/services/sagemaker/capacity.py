"""What an instance type is: processors, memory, GPUs; and what only some engines can do for it."""

from __future__ import annotations

import re
from typing import Any

from atelier.cloud.context import Cloud, Refused, Size

GIB = 1 << 30

TYPE = re.compile(r"ml\.(?P<family>[a-z]+\d[\w-]*)\.(?:(?P<times>\d*)xlarge|(?P<small>large|medium))")

PER_VCPU = {"c": 2, "m": 4, "r": 8, "g": 4}
"""GiB of memory for each virtual processor, by the first letter of the family."""

BIG_GPUS = {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8}

EXCEPTIONS = {
    **{f"ml.{family}.medium": Size(vcpus=2, memory=4 * GIB) for family in ("t2", "t3")},
    **{
        f"ml.{family}.{name}": Size(vcpus=vcpus, memory=memory * GIB)
        for family in ("t2", "t3")
        for name, vcpus, memory in (("large", 2, 8), ("xlarge", 4, 16), ("2xlarge", 8, 32))
    },
    "ml.c4.8xlarge": Size(vcpus=36, memory=60 * GIB),
    "ml.p2.xlarge": Size(vcpus=4, memory=61 * GIB, gpus=1),
    "ml.p2.8xlarge": Size(vcpus=32, memory=488 * GIB, gpus=8),
    "ml.p2.16xlarge": Size(vcpus=64, memory=732 * GIB, gpus=16),
    "ml.p3.2xlarge": Size(vcpus=8, memory=61 * GIB, gpus=1),
    "ml.p3.8xlarge": Size(vcpus=32, memory=244 * GIB, gpus=4),
    "ml.p3.16xlarge": Size(vcpus=64, memory=488 * GIB, gpus=8),
    "ml.p3dn.24xlarge": Size(vcpus=96, memory=768 * GIB, gpus=8),
    "ml.p4d.24xlarge": Size(vcpus=96, memory=1152 * GIB, gpus=8),
    "ml.p4de.24xlarge": Size(vcpus=96, memory=1152 * GIB, gpus=8),
    **{
        f"ml.{family}.48xlarge": Size(vcpus=192, memory=2048 * GIB, gpus=8)
        for family in ("p5", "p5e", "p5en")
    },
}


def size_of(instance_type: str) -> Size:
    """Return how big an instance of this type is; refuse accelerators that are found in AWS only."""
    if known := EXCEPTIONS.get(instance_type):
        return known
    match = TYPE.fullmatch(instance_type)
    per_vcpu = PER_VCPU.get(instance_type[3]) if match else None
    if match is None or per_vcpu is None:
        raise Refused(f"Unsupported: instance type {instance_type} is not part of the local cloud")
    vcpus = {"medium": 1, "large": 2}.get(match["small"], 4 * int(match["times"] or 1))
    per_vcpu = 8 if match["family"] == "g6e" else per_vcpu
    gpus = BIG_GPUS.get(instance_type.rpartition(".")[2], 1) if match["family"].startswith("g") else 0
    return Size(vcpus=vcpus, memory=vcpus * per_vcpu * GIB, gpus=gpus)


def check_isolation(cloud: Cloud, where: str, request: dict[str, Any]) -> None:
    """Refuse a network isolation that the cloud's engine cannot give."""
    if request.get("EnableNetworkIsolation") and not cloud.engine.isolates:
        raise Refused(
            f"Unsupported: {where}.EnableNetworkIsolation needs Docker (`atelier up --engine docker`);"
            f" this cloud runs containers by the {cloud.engine.name} engine"
        )
