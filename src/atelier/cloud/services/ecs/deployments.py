"""Deployments of a service, as its record has them: the primary first, then those that make way for it."""

from __future__ import annotations

import secrets

from atelier.cloud.services.ecs import events
from atelier.cloud.services.ecs.planning import threshold
from atelier.cloud.services.ecs.service import now
from atelier.cloud.store import Record

COPIED = (
    "taskDefinition",
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
    "networkConfiguration",
)
BREAKER = "ECS deployment circuit breaker:"


def begin(service: Record, why: str | None = None) -> None:
    """Put a new primary deployment before the others."""
    id = f"ecs-svc/{secrets.randbelow(9 * 10**18) + 10**18}"
    moment = now()
    deployment = {
        "id": id,
        "status": "PRIMARY",
        **{name: service[name] for name in COPIED if name in service},
        "platformFamily": "Linux",
        "desiredCount": service["desiredCount"],
        "pendingCount": 0,
        "runningCount": 0,
        "failedTasks": 0,
        "createdAt": moment,
        "updatedAt": moment,
        "rolloutState": "IN_PROGRESS",
        "rolloutStateReason": why or f"ECS deployment {id} in progress.",
        "Balancers": service["loadBalancers"],
        "IsRollback": why is not None,
        "RetryAt": 0.0,
    }
    for each in service["deployments"]:
        each["status"] = "ACTIVE"
    service["deployments"] = [deployment, *service["deployments"]]
    service["IsSteady"] = False
    events.deployment_changed(service, deployment, "IN_PROGRESS")


def primary(service: Record) -> Record:
    """Return the deployment that a service is to have."""
    deployment: Record = service["deployments"][0]
    return deployment


def completed(service: Record) -> None:
    """Note that the primary deployment is all there is, and all of it healthy."""
    deployment = primary(service)
    kept = deployment["rolloutStateReason"] if deployment["IsRollback"] else None
    reason = kept or f"ECS deployment {deployment['id']} completed."
    deployment |= {"rolloutState": "COMPLETED", "rolloutStateReason": reason, "updatedAt": now()}
    kept_as_good = {name: deployment[name] for name in COPIED if name in deployment}
    service["Good"] = {"id": deployment["id"], **kept_as_good, "loadBalancers": deployment["Balancers"]}
    events.note(service, f"(deployment {deployment['id']}) deployment completed.")
    events.deployment_changed(service, deployment, "COMPLETED")


def is_broken(service: Record) -> bool:
    """Say whether the primary deployment has failed so often that its circuit breaker trips."""
    deployment = primary(service)
    breaker = service["deploymentConfiguration"].get("deploymentCircuitBreaker") or {}
    return bool(
        breaker.get("enable")
        and deployment["rolloutState"] == "IN_PROGRESS"
        and not deployment["IsRollback"]
        and deployment["failedTasks"] >= threshold(service["desiredCount"])
    )


def fail(service: Record) -> None:
    """Give the primary deployment up, and go back to the last good one where that is wanted."""
    bad = primary(service)
    bad |= {
        "rolloutState": "FAILED",
        "rolloutStateReason": f"{BREAKER} tasks failed to start.",
        "updatedAt": now(),
    }
    events.note(service, f"(deployment {bad['id']}) deployment failed: tasks failed to start.")
    events.deployment_changed(service, bad, "FAILED")
    good = service.get("Good")
    if not service["deploymentConfiguration"]["deploymentCircuitBreaker"].get("rollback") or good is None:
        return
    events.note(service, f"rolling back to deployment {good['id']}.")
    _go_back(service, good, f"{BREAKER} rolling back to deploymentId {good['id']}.")


def _go_back(service: Record, good: Record, why: str) -> None:
    service |= {name: good[name] for name in (*COPIED, "loadBalancers") if name in good}
    old = next((each for each in service["deployments"] if each["id"] == good["id"]), None)
    if old is None:
        begin(service, why)
        return
    others = [each for each in service["deployments"] if each is not old]
    for each in others:
        each["status"] = "ACTIVE"
    old |= {
        "status": "PRIMARY", "rolloutState": "IN_PROGRESS", "rolloutStateReason": why, "updatedAt": now(),
        "desiredCount": service["desiredCount"], "failedTasks": 0, "IsRollback": True, "RetryAt": 0.0,
    }  # fmt: skip
    service["deployments"] = [old, *others]
    service["IsSteady"] = False
    events.deployment_changed(service, old, "IN_PROGRESS")
