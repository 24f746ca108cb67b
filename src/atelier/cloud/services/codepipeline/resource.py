"""AWS::CodePipeline::Pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.codepipeline import definitions
from atelier.cloud.services.codepipeline.service import SERVICE, begin
from atelier.cloud.services.resources import Made, Request, ResourceType, from_cloudformation
from atelier.cloud.services.wire import Document, accept

TYPE = "AWS::CodePipeline::Pipeline"
DECLARED = frozenset(
    {"Name", "RoleArn", "PipelineType", "ExecutionMode", "ArtifactStore", "Stages", "Variables"}
)
ASIDE = frozenset({"RestartExecutionOnUpdate", "Tags"})


def create(cloud: Cloud, request: Request) -> Made:
    """Make the pipeline; like AWS, its first execution starts at once."""
    pipeline = definitions.create(cloud, _declaration(request), _tags(request))
    return _made(pipeline)


def update(cloud: Cloud, physical_id: str, request: Request) -> Made:
    """Change the pipeline, or make another one when its name changes."""
    declaration = _declaration(request)
    if declaration["name"] != physical_id:
        return create(cloud, request)
    pipeline = definitions.update(cloud, declaration)
    definitions.replace_tags(cloud, physical_id, _tags(request))
    if str(request.properties.get("RestartExecutionOnUpdate", False)).lower() == "true":
        begin(cloud, physical_id, trigger="StartPipelineExecution", detail=cloud.identity.caller().arn)
    return _made(pipeline)


def delete(cloud: Cloud, physical_id: str, _properties: Mapping[str, Any]) -> None:
    """Delete the pipeline; its artifacts stay in their bucket."""
    definitions.delete(cloud, physical_id)


def _declaration(request: Request) -> Document:
    properties = {"Name": request.name, **request.properties}
    shape = SERVICE.shapes.shape_for("PipelineDeclaration")
    given = {key: value for key, value in properties.items() if key in DECLARED}
    renamed = from_cloudformation(given, shape, TYPE)
    return dict(
        accept({"pipeline": renamed}, SERVICE.shapes.operation_model("CreatePipeline").input_shape)[
            "pipeline"
        ]
    )


def _tags(request: Request) -> list[Document]:
    return [{"key": tag["Key"], "value": tag["Value"]} for tag in request.properties.get("Tags", [])]


def _made(pipeline: Document) -> Made:
    return Made(ref=pipeline["name"], attributes={"Version": str(pipeline["version"])})


PIPELINE = ResourceType(type=TYPE, properties=DECLARED | ASIDE, create=create, update=update, delete=delete)
