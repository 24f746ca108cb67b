"""What EventBridge hears of a build."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.wire import Document

TIME = "%b %d, %Y %I:%M:%S %p"


def publish_state(cloud: Cloud, build: Mapping[str, Any]) -> None:
    """Publish that the build is in another state, with what AWS tells of it."""
    detail = {
        "build-status": build["buildStatus"],
        "project-name": build["projectName"],
        "build-id": build["arn"],
        "additional-information": {
            "artifact": build.get("artifacts", {}),
            "environment": _environment(build["environment"]),
            "timeout-in-minutes": build["timeoutInMinutes"],
            "build-complete": build["buildComplete"],
            "build-number": build["buildNumber"],
            "initiator": build["initiator"],
            "build-start-time": _time(build["startTime"]),
            "source": {key: build["source"][key] for key in ("type", "location") if key in build["source"]},
            "source-version": build.get("sourceVersion", ""),
            "logs": _logs(build),
            "phases": [_phase(each) for each in build["phases"]],
        },
        "current-phase": build["currentPhase"],
        "current-phase-context": "[]",
        "version": "1",
    }
    cloud.events.publish("aws.codebuild", "CodeBuild Build State Change", detail, [build["arn"]])


def _environment(environment: Mapping[str, Any]) -> Document:
    return {
        "image": environment["image"],
        "type": environment["type"],
        "compute-type": environment["computeType"],
        "privileged-mode": environment.get("privilegedMode", False),
        "environment-variables": environment.get("environmentVariables", []),
    }


def _logs(build: Mapping[str, Any]) -> Document:
    logs = build.get("logs", {})
    return {"group-name": logs.get("groupName"), "stream-name": logs.get("streamName")}


def _phase(phase: Mapping[str, Any]) -> Document:
    contexts = [f"{each['statusCode']}: {each['message']}".strip(": ") for each in phase.get("contexts", [])]
    told = {
        "phase-type": phase["phaseType"],
        "phase-status": phase.get("phaseStatus"),
        "phase-context": contexts,
        "start-time": _time(phase["startTime"]),
        "end-time": _time(phase.get("endTime")),
        "duration-in-seconds": phase.get("durationInSeconds"),
    }
    return {key: value for key, value in told.items() if value is not None}


def _time(value: str | None) -> str | None:
    return None if value is None else datetime.fromisoformat(value).strftime(TIME)
