"""Builds: how one starts from a project and its overrides, and how it is found again."""

from __future__ import annotations

import copy
import logging
import uuid
from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.codebuild import events, projects
from atelier.cloud.services.codebuild.journal import BUILDS, complete, end_phase, now
from atelier.cloud.services.codebuild.run import Run
from atelier.cloud.services.codebuild.shell import kill_marked
from atelier.cloud.services.codebuild.workbench import Workbench
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

logger = logging.getLogger(__name__)

COUNTERS = "codebuild.counters"

OVERRIDES: Mapping[str, tuple[str, ...]] = {
    "sourceTypeOverride": ("source", "type"),
    "sourceLocationOverride": ("source", "location"),
    "buildspecOverride": ("source", "buildspec"),
    "gitCloneDepthOverride": ("source", "gitCloneDepth"),
    "sourceVersion": ("sourceVersion",),
    "secondarySourcesOverride": ("secondarySources",),
    "secondarySourcesVersionOverride": ("secondarySourceVersions",),
    "artifactsOverride": ("artifacts",),
    "secondaryArtifactsOverride": ("secondaryArtifacts",),
    "imageOverride": ("environment", "image"),
    "computeTypeOverride": ("environment", "computeType"),
    "environmentTypeOverride": ("environment", "type"),
    "privilegedModeOverride": ("environment", "privilegedMode"),
    "cacheOverride": ("cache",),
    "logsConfigOverride": ("logsConfig",),
    "serviceRoleOverride": ("serviceRole",),
    "timeoutInMinutesOverride": ("timeoutInMinutes",),
    "queuedTimeoutInMinutesOverride": ("queuedTimeoutInMinutes",),
}
ELSE = {"projectName", "environmentVariablesOverride", "idempotencyToken"}

_running: dict[str, Run] = {}


def start(cloud: Cloud, request: Document) -> Record:
    """Start a build; one that was started with the same token already is returned instead."""
    project = overridden(projects.find(cloud, projects.name_of(request["projectName"])), request)
    table = cloud.store.table(BUILDS)
    with table.lock:
        if again := _same_token(cloud, project["name"], request):
            return again
        _check_limit(cloud, project)
        build = _build(cloud, project, request)
        table.put(build["id"], build)
    events.publish_state(cloud, build)
    run = _running[build["id"]] = Run(cloud, copy.deepcopy(build))
    cloud.spawn(_execute, run)
    return build


def _execute(run: Run) -> None:
    try:
        run()
    finally:
        _running.pop(run.build["id"], None)


def overridden(project: Mapping[str, Any], request: Document) -> Record:
    """Return the project as this build sees it; refuse overrides that are not read."""
    if unknown := sorted(request.keys() - OVERRIDES.keys() - ELSE):
        raise Refused(f"StartBuild: {unknown[0]} is not part of the local cloud")
    effective = copy.deepcopy(
        {key: value for key, value in project.items() if key in projects.READ["project"]}
    )
    for override, place in OVERRIDES.items():
        if override in request:
            target: Any = effective
            for step in place[:-1]:
                target = target[step]
            target[place[-1]] = request[override]
    variables = {each["name"]: each for each in effective["environment"].get("environmentVariables", [])}
    variables |= {each["name"]: each for each in request.get("environmentVariablesOverride", [])}
    effective["environment"]["environmentVariables"] = list(variables.values())
    projects.check_parts(effective)
    _check_pipeline(effective)
    return effective


def _check_pipeline(project: Record) -> None:
    """Refuse to build what only a pipeline can name."""
    sources = [project["source"], *project.get("secondarySources", [])]
    targets = [project["artifacts"], *project.get("secondaryArtifacts", [])]
    for each in sources:
        if each["type"] == "CODEPIPELINE" and not each.get("location"):
            raise ServiceError(
                "InvalidInputException",
                "Project type CODEPIPELINE can be started only by a pipeline, which names a source",
            )
    for each in targets:
        if each["type"] == "CODEPIPELINE" and not (each.get("location") and each.get("name")):
            raise ServiceError(
                "InvalidInputException", "artifacts of type CODEPIPELINE need a location and a name"
            )


def _same_token(cloud: Cloud, project: str, request: Document) -> Record | None:
    token = request.get("idempotencyToken")
    for _, build in cloud.store.table(BUILDS).items() if token else ():
        if build["projectName"] == project and build["plan"]["token"] == token:
            if build["plan"]["request"] != _plain(request):
                raise ServiceError(
                    "InvalidInputException", "idempotencyToken was used with other parameters before"
                )
            return build
    return None


def _check_limit(cloud: Cloud, project: Record) -> None:
    limit = project.get("concurrentBuildLimit")
    busy = [key for key, each in cloud.store.table(BUILDS).items() if not each["buildComplete"]]
    if limit and sum(key.startswith(f"{project['name']}:") for key in busy) >= limit:
        raise ServiceError(
            "AccountLimitExceededException", f"Project-level concurrent build limit cannot exceed {limit}"
        )


def _plain(request: Document) -> Document:
    return {key: value for key, value in request.items() if key != "idempotencyToken"}


def _build(cloud: Cloud, project: Record, request: Document) -> Record:
    number, begun = str(uuid.uuid4()), now()
    identifier = f"{project['name']}:{number}"
    build = {
        "id": identifier,
        "arn": cloud.arn("codebuild", f"build/{identifier}"),
        "buildNumber": _count(cloud, project["name"]),
        "startTime": begun,
        "currentPhase": "SUBMITTED",
        "buildStatus": "IN_PROGRESS",
        "buildComplete": False,
        "projectName": project["name"],
        "initiator": _initiator(cloud, project),
        "phases": [
            {
                "phaseType": "SUBMITTED",
                "phaseStatus": "SUCCEEDED",
                "startTime": begun,
                "endTime": begun,
                "durationInSeconds": 0,
            }
        ],
        "logs": _logs(cloud, project, number),
        "artifacts": {},
        "encryptionKey": f"arn:aws:kms:{cloud.region}:{cloud.account}:alias/aws/s3",
        "plan": {
            "artifacts": project["artifacts"],
            "secondaryArtifacts": project.get("secondaryArtifacts", []),
            "secondarySourceVersions": project.get("secondarySourceVersions", []),
            "token": request.get("idempotencyToken"),
            "request": _plain(request),
        },
    }
    same = [
        *("source", "secondarySources", "sourceVersion", "secondarySourceVersions"),
        "environment",
        "cache",
    ]
    same += ["serviceRole", "timeoutInMinutes", "queuedTimeoutInMinutes"]
    return build | {key: project[key] for key in same if key in project}


def _count(cloud: Cloud, project: str) -> int:
    table = cloud.store.table(COUNTERS)
    number: int = (table.get(project) or {"last": 0})["last"] + 1
    table.put(project, {"last": number})
    return number


def _initiator(cloud: Cloud, project: Record) -> str:
    """Return who started it: a user's name, a role and its session, or a pipeline."""
    who = cloud.identity.caller().arn.rpartition(":")[2].partition("/")[2] or "root"
    if project["source"]["type"] == "CODEPIPELINE":
        return f"codepipeline/{who.rpartition('/')[2]}"
    return who


def _logs(cloud: Cloud, project: Record, number: str) -> Document:
    config = project.get("logsConfig", {}).get("cloudWatchLogs", {"status": "ENABLED"})
    if config["status"] == "DISABLED":
        return {}
    group = config.get("groupName") or f"/aws/codebuild/{project['name']}"
    stream = "/".join(filter(None, [config.get("streamName"), number]))
    return {
        "groupName": group,
        "streamName": stream,
        "cloudWatchLogsArn": cloud.arn("logs", f"log-group:{group}:log-stream:{stream}"),
        "cloudWatchLogs": {"status": "ENABLED", "groupName": group},
    }


def find(cloud: Cloud, reference: str) -> Record | None:
    """Return the build with this id or ARN, or None."""
    return cloud.store.table(BUILDS).get(reference.rpartition(":build/")[2])


def stop(cloud: Cloud, reference: str) -> Record:
    """Stop a build; one that has ended stays as it is."""
    build = find(cloud, reference)
    if build is None:
        raise ServiceError("ResourceNotFoundException", f"Build cannot be found: {reference}")
    if run := _running.get(build["id"]):
        run.end("STOPPED")
        run.finished.wait(10)
    return find(cloud, reference) or build


def resume(cloud: Cloud) -> None:
    """Record what a kill of the cloud interrupted, and clear away what it left running."""
    for key, build in list(cloud.store.table(BUILDS).items()):
        if build["buildComplete"]:
            continue
        kill_marked(key)
        Workbench.of(cloud, key).remove()
        _interrupt(build)
        complete(cloud, build)


def _interrupt(build: Record) -> None:
    why = "The local cloud ended while this build was running."
    end_phase(build["phases"][-1], "FAILED", "INTERRUPTED", why)
    build["buildStatus"] = "FAILED"


def interrupt(cloud: Cloud) -> None:
    """Stop every build, because the cloud stops."""
    runs = [run for run in list(_running.values()) if run.cloud.store is cloud.store]
    for run in runs:
        run.end("STOPPED", "The local cloud was stopped while this build was running.")
    for run in runs:
        run.finished.wait(10)
