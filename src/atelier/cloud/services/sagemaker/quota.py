"""How many instances all endpoints together may have: each is a process of this machine."""

from __future__ import annotations

from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.sagemaker import live
from atelier.cloud.services.sagemaker.service import endpoints
from atelier.cloud.services.wire import ServiceError


def check(cloud: Cloud, name: str, plan: dict[str, Any], count: int) -> None:
    """Refuse *count* instances for an endpoint, in AWS's words, when the account would have too many."""
    kind, limit = plan.get("InstanceType", "ml"), live.of(cloud).settings.instance_limit
    others = [row for key, row in endpoints(cloud).items() if key != name]
    used = sum(_instances(row, kind) for row in others)
    if used + count > limit:
        raise ServiceError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{kind} for endpoint usage' is {limit} Instances, with current"
            f" utilization of {used} Instances and a request delta of {count} Instances. Please use AWS"
            " Service Quotas to request an increase for this quota (here: instance_limit in sagemaker.json).",
        )


def _instances(row: dict[str, Any], kind: str) -> int:
    plan = row.get("pending") or row.get("deployment") or {}
    is_counted = row["EndpointStatus"] != "Failed" and plan.get("InstanceType", "ml") == kind
    return int(plan.get("InstanceCount", 1)) if is_counted else 0
