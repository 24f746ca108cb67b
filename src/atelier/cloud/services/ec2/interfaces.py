"""What has an address in a subnet and is in security groups: none of both can go while it is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.store import Record

TABLES = (
    "ec2.instances",
    "ec2.natgateways",
    "ec2.vpc-endpoints",
    "efs.mount-targets",
    "elasticloadbalancing.load-balancers",
    "ecs.tasks",
    "sagemaker.notebook-instances",
)
SUBNETS = ("SubnetId", "SubnetIds", "Subnets", "subnets")
GROUPS = ("SecurityGroupIds", "SecurityGroups", "Groups", "securityGroups")
"""How the services' records name them."""

ENDED = ("terminated", "STOPPED")


def in_subnet(cloud: Cloud, id: str) -> Iterator[str]:
    """Return whose addresses are in a subnet."""
    return _holders(cloud, id, SUBNETS)


def in_group(cloud: Cloud, id: str) -> Iterator[str]:
    """Return what is in a security group."""
    return _holders(cloud, id, GROUPS)


def _holders(cloud: Cloud, id: str, members: tuple[str, ...]) -> Iterator[str]:
    for table in TABLES:
        for key, record in cloud.store.table(table).items():
            is_there = record.get("State") not in ENDED and record.get("lastStatus") not in ENDED
            if is_there and id in _named({**record, **record.get("Network", {})}, members):
                yield key


def _named(record: Record, members: tuple[str, ...]) -> set[Any]:
    found: set[Any] = set()
    for member in members:
        value = record.get(member) or ()
        found |= {value} if isinstance(value, str) else set(value)
    return found
