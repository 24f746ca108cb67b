"""Build with CodeBuild: a build on the input artifacts, its exported variables and artifacts handed on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from atelier.cloud.services.codepipeline.job import ActionFailed, Job, Outcome
from atelier.cloud.services.codepipeline.runs import Artifact

FAILED = frozenset({"FAILED", "FAULT", "TIMED_OUT", "STOPPED"})


def perform(job: Job) -> Outcome:
    """Start the build, or find the one that another process started, and wait for its end."""
    outputs = job.outputs()
    build_id = job.action.external_id or _start(job, outputs)
    build = job.poll(lambda: _ended(job, build_id))
    if build["buildStatus"] != "SUCCEEDED":
        summary = f"Build terminated with state: {build['buildStatus']}"
        raise ActionFailed(_reason(build) or summary, summary=summary)
    exported = build.get("exportedEnvironmentVariables", [])
    return Outcome(variables={each["name"]: each["value"] for each in exported}, outputs=outputs)


def _start(job: Job, outputs: tuple[Artifact, ...]) -> str:
    """Start a build; its token makes a second call, after a kill between call and note, find the same one."""
    primary = job.configuration.get("PrimarySource", job.inputs[0].name)
    first = next(artifact for artifact in job.inputs if artifact.name == primary)
    request: dict[str, Any] = {
        "projectName": job.configuration["ProjectName"],
        "idempotencyToken": job.id,
        "sourceLocationOverride": f"{first.bucket}/{first.key}",
        "secondarySourcesOverride": [
            {
                "type": "CODEPIPELINE",
                "location": f"{each.bucket}/{each.key}",
                "sourceIdentifier": each.name,
            }
            for each in job.inputs
            if each is not first
        ],
        "environmentVariablesOverride": _environment(job),
        **_artifacts(outputs),
    }
    if first.revision:
        request["sourceVersion"] = first.revision
    build = job.client("codebuild").start_build(**request)["build"]
    job.note(external_id=build["id"], **_links(build))
    return str(build["id"])


def _artifacts(outputs: tuple[Artifact, ...]) -> dict[str, Any]:
    """Say where artifacts go: one is the buildspec's own, several are its secondary ones by name."""
    if len(outputs) == 1:
        return {"artifactsOverride": _artifact(outputs[0])}
    return {
        "artifactsOverride": {"type": "NO_ARTIFACTS"},
        "secondaryArtifactsOverride": [
            {**_artifact(each), "artifactIdentifier": each.name} for each in outputs
        ],
    }


def _artifact(output: Artifact) -> dict[str, str]:
    path, _, name = output.key.rpartition("/")
    return {"type": "CODEPIPELINE", "location": output.bucket, "path": path, "name": name, "packaging": "ZIP"}


def _environment(job: Job) -> list[dict[str, str]]:
    text = job.configuration.get("EnvironmentVariables", "[]")
    try:
        given = json.loads(text)
        return [
            {"name": each["name"], "value": each["value"], "type": each.get("type", "PLAINTEXT")}
            for each in given
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"EnvironmentVariables must be a JSON array of objects with name and value, not {text}"
        raise ActionFailed(message, code="ConfigurationError") from error


def _ended(job: Job, build_id: str) -> Mapping[str, Any] | None:
    builds = job.client("codebuild").batch_get_builds(ids=[build_id])["builds"]
    if not builds:
        raise ActionFailed(f"The build {build_id} is not there any more")
    (build,) = builds
    if not job.action.log and (links := _links(build)):
        job.note(**links)
    return None if build["buildStatus"] == "IN_PROGRESS" else build


def _links(build: Mapping[str, Any]) -> dict[str, str]:
    logs = build.get("logs", {})
    found = {"external_url": logs.get("deepLink", ""), "log": logs.get("cloudWatchLogsArn", "")}
    return {name: value for name, value in found.items() if value}


def _reason(build: Mapping[str, Any]) -> str:
    """Say which phase failed, and why; a build that failed in several names the first."""
    for phase in build.get("phases", []):
        if phase.get("phaseStatus") in FAILED:
            words = [context.get("message", "") for context in phase.get("contexts", [])]
            if said := " ".join(word for word in words if word):
                return f"{phase['phaseType']}: {said}"
    return ""
