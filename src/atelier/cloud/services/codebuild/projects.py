"""Build projects: what is kept of them, and what of CodeBuild is not part of the local cloud."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.codebuild.journal import now
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Record

PROJECTS = "codebuild.projects"

READ: Mapping[str, frozenset[str]] = {
    "project": frozenset(
        {
            *("name", "description", "tags", "serviceRole", "environment", "cache", "logsConfig"),
            *("source", "sourceVersion", "secondarySources", "secondarySourceVersions"),
            *("artifacts", "secondaryArtifacts"),
            *("timeoutInMinutes", "queuedTimeoutInMinutes", "concurrentBuildLimit"),
        }
    ),
    "source": frozenset({"type", "location", "gitCloneDepth", "buildspec", "sourceIdentifier"}),
    "artifacts": frozenset(
        {"type", "location", "path", "namespaceType", "name", "packaging", "artifactIdentifier"}
    ),
    "environment": frozenset(
        {"type", "image", "computeType", "environmentVariables", "privilegedMode", "imagePullCredentialsType"}
    ),
    "cache": frozenset({"type", "modes"}),
    "logsConfig": frozenset({"cloudWatchLogs", "s3Logs"}),
}
"""The members that are read; all others are refused by name, unless they say "no"."""

CHOICES: Mapping[str, frozenset[str]] = {
    "source.type": frozenset({"CODEPIPELINE", "CODECOMMIT", "S3", "NO_SOURCE"}),
    "environment.type": frozenset({"LINUX_CONTAINER", "ARM_CONTAINER"}),
    "cache.type": frozenset({"NO_CACHE", "LOCAL"}),
    "cache.modes": frozenset({"LOCAL_DOCKER_LAYER_CACHE", "LOCAL_SOURCE_CACHE"}),
}
"""The values that are taken where CodeBuild's model allows more. Layers and sources are cached anyway."""

CURATED = re.compile(r"aws/codebuild/[\w.:/-]+")
RESERVED = "CODEBUILD_"


def create(cloud: Cloud, project: Document) -> Record:
    """Keep a new project."""
    check(project)
    table = cloud.store.table(PROJECTS)
    with table.lock:
        if project["name"] in table:
            raise ServiceError(
                "ResourceAlreadyExistsException", f"Project already exists: {arn(cloud, project['name'])}"
            )
        return _put(cloud, project, created=now())


def update(cloud: Cloud, changes: Document) -> Record:
    """Replace the members that *changes* names."""
    table = cloud.store.table(PROJECTS)
    with table.lock:
        old = find(cloud, changes["name"])
        project = {key: value for key, value in old.items() if key in READ["project"]} | changes
        check(project)
        return _put(cloud, project, created=old["created"])


def replace(cloud: Cloud, project: Document) -> Record:
    """Keep the project as it is given, whatever it was before."""
    check(project)
    table = cloud.store.table(PROJECTS)
    with table.lock:
        return _put(cloud, project, created=find(cloud, project["name"])["created"])


def delete(cloud: Cloud, name: str) -> None:
    """Forget a project; its builds stay to be looked at."""
    cloud.store.table(PROJECTS).delete(name)


def find(cloud: Cloud, name: str) -> Record:
    """Return the project; raise CodeBuild's error for one that is not there."""
    record = cloud.store.table(PROJECTS).get(name)
    if record is None:
        raise ServiceError("ResourceNotFoundException", f"Project cannot be found: {arn(cloud, name)}")
    return record


def arn(cloud: Cloud, name: str) -> str:
    """Return a project's ARN."""
    return cloud.arn("codebuild", f"project/{name}")


def name_of(reference: str) -> str:
    """Return the name of a project that is given by name or ARN."""
    return reference.rpartition(":project/")[2]


def _put(cloud: Cloud, project: Document, *, created: str) -> Record:
    defaults = {
        "timeoutInMinutes": 60,
        "queuedTimeoutInMinutes": 480,
        "cache": {"type": "NO_CACHE"},
        "encryptionKey": f"arn:aws:kms:{cloud.region}:{cloud.account}:alias/aws/s3",
        "badge": {"badgeEnabled": False},
        "projectVisibility": "PRIVATE",
    }
    times = {"arn": arn(cloud, project["name"]), "created": created, "lastModified": now()}
    record = {**defaults, **project, **times}
    cloud.store.table(PROJECTS).put(project["name"], record)
    return record


def check(project: Mapping[str, Any]) -> None:
    """Raise what is wrong with a project, or what of it the local cloud lacks."""
    check_parts(project)
    source, artifacts = project["source"]["type"], project["artifacts"]["type"]
    if (source == "CODEPIPELINE") != (artifacts == "CODEPIPELINE"):
        message = "source and artifacts must both be of type CODEPIPELINE, or neither"
        raise ServiceError("InvalidInputException", message)


def check_parts(project: Mapping[str, Any]) -> None:
    """Raise what is wrong with a project as one build sees it: a pipeline may want no artifact of it."""
    refuse(project, "project")
    for kind, part in parts(project):
        refuse(part, kind)
    for problem in _problems(project):
        raise ServiceError("InvalidInputException", problem)
    image = project["environment"]["image"]
    if not CURATED.fullmatch(image):
        raise Refused(
            f"environment.image: {image} cannot be run: builds are processes of this machine, "
            "which stand in for the images aws/codebuild/... only"
        )


def parts(project: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the structures of a project, each with its kind."""
    for key in ("source", "artifacts", "environment", "cache", "logsConfig"):
        if key in project:
            yield key, project[key]
    for key, single in (("secondarySources", "source"), ("secondaryArtifacts", "artifacts")):
        for each in project.get(key, []):
            yield single, each


def refuse(part: Mapping[str, Any], kind: str) -> None:
    """Raise Refused for a member or a value that is not read."""
    for key, value in part.items():
        place = key if kind == "project" else f"{kind}.{key}"
        if key not in READ[kind] and value not in (False, None, "", [], {}):
            raise Refused(f"{place} is not part of the local cloud")
        taken = CHOICES.get(place)
        for each in value if isinstance(value, list) else [value]:
            if taken is not None and each not in taken:
                raise Refused(
                    f"{place}: {each} is not part of the local cloud; it takes {', '.join(sorted(taken))}"
                )
    if kind == "logsConfig" and part.get("s3Logs", {}).get("status") == "ENABLED":
        raise Refused("logsConfig.s3Logs is not part of the local cloud: logs go to CloudWatch Logs")


def _problems(project: Mapping[str, Any]) -> Iterator[str]:
    source, artifacts = project["source"], project["artifacts"]
    hands_on_nothing = artifacts["type"] == "NO_ARTIFACTS" and source.get("location")  # a pipeline's override
    mixed = (source["type"] == "CODEPIPELINE") != (artifacts["type"] == "CODEPIPELINE")
    if mixed and not (source["type"] == "CODEPIPELINE" and hands_on_nothing):
        yield "source and artifacts must both be of type CODEPIPELINE, or neither"
    if source["type"] == "NO_SOURCE" and "\n" not in source.get("buildspec", ""):
        yield "a project without source needs its buildspec inline, as text of several lines"
    yield from _missing_places(project)
    yield from _missing_identifiers(project)
    for each in project["environment"].get("environmentVariables", []):
        if each["name"].startswith(RESERVED):
            yield f"{each['name']}: names that begin with {RESERVED} are CodeBuild's own"


def _missing_places(project: Mapping[str, Any]) -> Iterator[str]:
    for each in [project["source"], *project.get("secondarySources", [])]:
        if each["type"] in ("S3", "CODECOMMIT") and not each.get("location"):
            yield f"a source of type {each['type']} needs a location"
    for each in [project["artifacts"], *project.get("secondaryArtifacts", [])]:
        if each["type"] == "S3" and not (each.get("location") and each.get("name")):
            yield "artifacts of type S3 need a location and a name"


def _missing_identifiers(project: Mapping[str, Any]) -> Iterator[str]:
    for key, member in (
        ("secondarySources", "sourceIdentifier"),
        ("secondaryArtifacts", "artifactIdentifier"),
    ):
        names = [each.get(member, "") for each in project.get(key, [])]
        for name in names:
            if not re.fullmatch(r"\w{1,127}", name, re.ASCII) or names.count(name) > 1:
                yield f"{key}: each needs a {member} of its own, of letters, digits and _, not {name!r}"
