"""Scaling activities: what was changed, why, and how that ended."""

from __future__ import annotations

import uuid

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.autoscaling.scalables import check_place, of
from atelier.cloud.services.autoscaling.service import (
    SERVICE,
    activities,
    now,
    page,
)
from atelier.cloud.services.wire import Document, everything
from atelier.cloud.store import Record

KEPT = 200
"""Activities of a resource; AWS keeps those of six weeks."""


@SERVICE.operation("DescribeScalingActivities", on=everything)
def describe(cloud: Cloud, request: Document) -> Document:
    """List activities, newest first."""
    check_place(request)
    if request.get("IncludeNotScaledActivities"):
        raise Refused("Unsupported: IncludeNotScaledActivities is not part of the local cloud")
    wanted = request.get("ResourceId")
    rows = [
        row
        for _, row in activities(cloud).items()
        if wanted in (None, row["ResourceId"]) and row["ServiceNamespace"] == request["ServiceNamespace"]
    ]
    shown, token = page(rows[::-1], request)
    return {
        "ScalingActivities": [
            {key: row[key] for key in row if key not in ("wanted", "move")} for row in shown
        ],
        "NextToken": token,
    }


def begin(cloud: Cloud, target: Record, count: int, cause: str, move: Record | None) -> None:
    """Note that a target is being brought to *count*; *move* is the policy's change, if one's."""
    resource = target["ResourceId"]
    key = str(uuid.uuid4())
    record = {
        "ActivityId": key,
        "ServiceNamespace": target["ServiceNamespace"],
        "ResourceId": resource,
        "ScalableDimension": target["ScalableDimension"],
        "Description": f"Setting desired {of(target).unit} count to {count}.",
        "Cause": cause,
        "StartTime": now(),
        "StatusCode": "InProgress",
        "wanted": count,
        "move": move,
    }
    activities(cloud).put(key, record)
    mine = [name for name, row in activities(cloud).items() if row["ResourceId"] == resource]
    for name in mine[:-KEPT]:
        activities(cloud).delete(name)


def running(cloud: Cloud, resource: str) -> Record | None:
    """Return the activity of a resource that has not ended."""
    return next(
        (
            row
            for _, row in activities(cloud).items()
            if row["ResourceId"] == resource and row["StatusCode"] == "InProgress"
        ),
        None,
    )


def end(cloud: Cloud, activity: Record, capacity: int) -> None:
    """Note how an activity ended."""
    count, what, by = activity["wanted"], f"{of(activity).unit} count", activity["ServiceNamespace"]
    if capacity == count:
        status = "Successful"
        said = f"Successfully set desired {what} to {count}. Change successfully fulfilled by {by}."
    else:
        status = "Failed"
        said = f"Failed to set desired {what} to {count}: {by} has {capacity}."
    activities(cloud).change(activity["ActivityId"], StatusCode=status, StatusMessage=said, EndTime=now())
