"""What is registered with target groups: by API calls, and by ECS in this process."""

from __future__ import annotations

import ipaddress
import time
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.elasticloadbalancing import live, places, pool
from atelier.cloud.services.elasticloadbalancing.service import (
    SERVICE,
    group,
    on,
    targets,
    unsupported,
    users,
)
from atelier.cloud.services.wire import Document, ServiceError

DELAY = "deregistration_delay.timeout_seconds"


def register(cloud: Cloud, target_group_arn: str, address: str, port: int) -> None:
    """Let an address and a port get requests as soon as it is healthy; one that drains begins anew."""
    _put(cloud, target_group_arn, [(address, port)])


def deregister(cloud: Cloud, target_group_arn: str, address: str, port: int) -> None:
    """Send it no more requests; those under way have the group's deregistration delay to end."""
    _drain(cloud, target_group_arn, [(address, port)])


def state(cloud: Cloud, target_group_arn: str, address: str, port: int) -> tuple[str, str | None]:
    """Return a target's state (initial, healthy, unhealthy, draining, unused) and the reason in words."""
    verdict = _verdict(cloud, target_group_arn, (address, port))
    return verdict[0], verdict[2]


def outstanding(cloud: Cloud, target_group_arn: str, address: str, port: int) -> int:
    """Return how many requests a target is working on."""
    found = live.of(cloud).groups.get(target_group_arn)
    target = found.targets.get((address, port)) if found else None
    return len(target.busy) if target else 0


def is_used(cloud: Cloud, target_group_arn: str) -> bool:
    """Say whether a load balancer forwards to a target group; raise ServiceError when there is none."""
    group(cloud, target_group_arn)
    return bool(users(cloud, target_group_arn))


def _put(cloud: Cloud, arn: str, keys: list[pool.Key]) -> None:
    group(cloud, arn)
    with targets(cloud).lock:
        for address, port in keys:
            record = {"Group": arn, "Id": address, "Port": port, "Until": None}
            targets(cloud).put(places.target(arn, address, port), record)
    live.of(cloud).refresh()


def _drain(cloud: Cloud, arn: str, keys: list[pool.Key]) -> None:
    seconds = float(group(cloud, arn)["Attributes"][DELAY])
    with targets(cloud).lock:
        for address, port in keys:
            record = targets(cloud).get(places.target(arn, address, port))
            if record is not None and record["Until"] is None:
                targets(cloud).change(places.target(arn, address, port), Until=time.time() + seconds)
    live.of(cloud).refresh()


def _verdict(cloud: Cloud, arn: str, key: pool.Key) -> pool.Verdict:
    found = live.of(cloud).groups.get(arn)
    target = found.targets.get(key) if found else None
    return target.verdict if target else pool.NOT_REGISTERED


@SERVICE.operation("RegisterTargets", on=on("TargetGroupArn"))
def register_targets(cloud: Cloud, request: Document) -> None:
    """Register addresses with a target group."""
    _put(cloud, request["TargetGroupArn"], _keys(cloud, request))


@SERVICE.operation("DeregisterTargets", on=on("TargetGroupArn"))
def deregister_targets(cloud: Cloud, request: Document) -> None:
    """Take addresses out of a target group."""
    _drain(cloud, request["TargetGroupArn"], _keys(cloud, request))


@SERVICE.operation("DescribeTargetHealth", on=on("TargetGroupArn"))
def describe_health(cloud: Cloud, request: Document) -> Document:
    """Tell the state of all targets of a group, or of those that are asked for."""
    unsupported(request, ("TargetGroupArn", "Targets"), "DescribeTargetHealth")
    arn, record = request["TargetGroupArn"], group(cloud, request["TargetGroupArn"])
    if "Targets" in request:
        keys = _keys(cloud, request)
    else:
        keys = [(each["Id"], each["Port"]) for _, each in targets(cloud).items() if each["Group"] == arn]
    port = record["HealthCheck"]["Port"]
    return {"TargetHealthDescriptions": [_shown(_verdict(cloud, arn, key), key, port) for key in keys]}


def _shown(verdict: pool.Verdict, key: pool.Key, port: str) -> dict[str, Any]:
    health = dict(zip(("State", "Reason", "Description"), verdict, strict=True))
    return {
        "Target": {"Id": key[0], "Port": key[1], "AvailabilityZone": "all"},
        "HealthCheckPort": str(key[1]) if port == "traffic-port" else port,
        "TargetHealth": {name: each for name, each in health.items() if each is not None},
    }


def _keys(cloud: Cloud, request: Document) -> list[pool.Key]:
    usual = group(cloud, request["TargetGroupArn"])["Port"]
    return [_key(each, usual) for each in request["Targets"]]


def _key(target: Document, usual: int) -> pool.Key:
    unsupported(target, ("Id", "Port", "AvailabilityZone"), "Targets")
    try:
        address = ipaddress.IPv4Address(target["Id"])
    except ValueError as error:
        raise ServiceError("ValidationError", f"The IP address '{target['Id']}' is not valid") from error
    if not address.is_loopback:
        raise ServiceError(
            "InvalidTarget",
            f"The IP address '{address}' is not within this machine: targets of the local cloud"
            " have addresses of the loopback interface, 127.0.0.0/8",
        )
    return str(address), target.get("Port", usual)
