"""The parameters and tags that a CloudFormation action gives to its stack."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from atelier.cloud.services.codepipeline import artifacts
from atelier.cloud.services.codepipeline.job import ActionFailed, Job
from atelier.cloud.services.codepipeline.runs import Artifact

ATTRIBUTE = "Fn::GetArtifactAtt"
PARAMETER = "Fn::GetParam"


def configured(job: Job) -> tuple[dict[str, str], dict[str, str]]:
    """Return parameters and tags: the configuration file's, and over them the action's own."""
    configuration = _file(job, job.configuration.get("TemplateConfiguration"))
    if unknown := sorted(configuration.keys() - {"Parameters", "Tags"}):
        raise ActionFailed(
            f"Unsupported: {unknown[0]} in TemplateConfiguration is not part of the local cloud",
            code="ConfigurationError",
        )
    overrides = _object(job.configuration.get("ParameterOverrides", "{}"), "ParameterOverrides")
    parameters = {**configuration.get("Parameters", {}), **overrides}
    return {key: _value(job, each) for key, each in parameters.items()}, configuration.get("Tags", {})


def _file(job: Job, reference: str | None) -> dict[str, Any]:
    if reference is None:
        return {}
    return _object(named_file(job, reference).decode(), reference)


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ActionFailed(f"{where} is not JSON: {error}", code="ConfigurationError") from error
    if not isinstance(value, dict):
        raise ActionFailed(f"{where} is not a JSON object", code="ConfigurationError")
    return value


def _value(job: Job, value: Any) -> str:
    match value:
        case {"Fn::GetArtifactAtt": [name, attribute]}:
            return _attribute(_artifact(job, name), attribute, job.cloud.endpoint)
        case {"Fn::GetParam": [name, path, key]}:
            found = _object(named_file(job, f"{name}::{path}").decode(), f"{name}::{path}")
            if key not in found:
                raise ActionFailed(f"{name}::{path} has no {key}", code="ConfigurationError")
            return str(found[key])
        case str() | int() | float():
            return json.dumps(value) if isinstance(value, bool) else str(value)
        case list():
            return ",".join(str(each) for each in value)
    message = f"ParameterOverrides: {json.dumps(value)} is neither a value nor {ATTRIBUTE} nor {PARAMETER}"
    raise ActionFailed(message, code="ConfigurationError")


def _artifact(job: Job, name: str) -> Artifact:
    for artifact in job.inputs:
        if artifact.name == name:
            return artifact
    raise ActionFailed(f"{name} is no input artifact of this action", code="ConfigurationError")


def _attribute(artifact: Artifact, attribute: str, endpoint: str) -> str:
    values: Mapping[str, str] = {
        "BucketName": artifact.bucket,
        "ObjectKey": artifact.key,
        "URL": f"{endpoint}/{artifact.bucket}/{artifact.key}",
    }
    if attribute not in values:
        raise ActionFailed(f"{ATTRIBUTE} has no attribute {attribute}", code="ConfigurationError")
    return values[attribute]


def named_file(job: Job, reference: str) -> bytes:
    """Return the file that ``artifact::path`` names."""
    name, _, path = reference.partition("::")
    try:
        return artifacts.read(job.client("s3"), _artifact(job, name), path)
    except KeyError:
        message = f"File [{path}] does not exist in artifact [{name}]"
        raise ActionFailed(message, code="ConfigurationError") from None
