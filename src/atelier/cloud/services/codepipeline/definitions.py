"""Operations on pipelines: create, read, change, delete, tag, and open or close transitions."""

from __future__ import annotations

from atelier.cloud.context import Cloud, Refused
from atelier.cloud.services.codepipeline import declaration as rules
from atelier.cloud.services.codepipeline.engine import Engine
from atelier.cloud.services.codepipeline.paging import page
from atelier.cloud.services.codepipeline.service import SERVICE, arn, begin, engine_of, on
from atelier.cloud.services.wire import Document, ServiceError, everything


def create(cloud: Cloud, declaration: Document, tags: list[Document]) -> Document:
    """Make a pipeline and start its first execution, as AWS does."""
    checked = _checked(cloud, declaration)
    engine = engine_of(cloud)
    with engine.changed:
        engine.pipelines.create(checked, {tag["key"]: tag["value"] for tag in tags}, engine.now())
        _begin_if_possible(cloud, checked["name"], "CreatePipeline")
        return engine.pipelines.declaration(checked["name"])


def update(cloud: Cloud, declaration: Document) -> Document:
    """Give a pipeline its next version."""
    checked = _checked(cloud, declaration)
    engine = engine_of(cloud)
    with engine.changed:
        engine.update(checked)
        return engine.pipelines.declaration(checked["name"])


def _begin_if_possible(cloud: Cloud, name: str, trigger: str) -> None:
    """Start it, unless a variable has no default: then only a start with a value can."""
    try:
        begin(cloud, name, trigger=trigger, detail=cloud.identity.caller().arn)
    except ServiceError as error:
        if error.code != "ValidationException":
            raise


def _checked(cloud: Cloud, declaration: Document) -> Document:
    rules.check(declaration, cloud.region)
    try:
        cloud.identity.assume(declaration["roleArn"], service="codepipeline.amazonaws.com", session="check")
    except Refused as error:
        message = (
            f"CodePipeline is not authorized to perform AssumeRole on role {declaration['roleArn']}: {error}"
        )
        raise rules.InvalidStructure(message) from error
    kept = {key: value for key, value in declaration.items() if key != "version"}
    return {"executionMode": "SUPERSEDED", **kept}


def _named(cloud: Cloud, request: Document) -> str:
    return arn(cloud, request["pipeline"]["name"])


def _resource(_cloud: Cloud, request: Document) -> str:
    return str(request["resourceArn"])


@SERVICE.operation("CreatePipeline", on=_named)
def create_pipeline(cloud: Cloud, request: Document) -> Document:
    """Make a pipeline."""
    tags = request.get("tags", [])
    return {"pipeline": create(cloud, request["pipeline"], tags), "tags": tags}


@SERVICE.operation("UpdatePipeline", on=_named)
def update_pipeline(cloud: Cloud, request: Document) -> Document:
    """Change a pipeline."""
    return {"pipeline": update(cloud, request["pipeline"])}


@SERVICE.operation("GetPipeline", on=on("name"))
def get_pipeline(cloud: Cloud, request: Document) -> Document:
    """Show a pipeline's declaration."""
    pipelines = engine_of(cloud).pipelines
    record = pipelines.get(request["name"])
    metadata = {
        "pipelineArn": arn(cloud, request["name"]),
        "created": record["created"],
        "updated": record["updated"],
    }
    return {"pipeline": pipelines.declaration(request["name"], request.get("version")), "metadata": metadata}


@SERVICE.operation("DeletePipeline", on=on("name"))
def delete_pipeline(cloud: Cloud, request: Document) -> None:
    """Delete a pipeline; like AWS, without complaint when there is none."""
    delete(cloud, request["name"])


def delete(cloud: Cloud, name: str) -> None:
    """Delete a pipeline if there is one."""
    engine = engine_of(cloud)
    with engine.changed:
        if name in engine.pipelines.names():
            engine.delete(name)


@SERVICE.operation("ListPipelines", on=everything)
def list_pipelines(cloud: Cloud, request: Document) -> Document:
    """List the pipelines."""
    engine = engine_of(cloud)
    found, token = page(engine.pipelines.names(), request, 1000)
    return {"pipelines": [_summary(engine, name) for name in found], "nextToken": token}


def _summary(engine: Engine, name: str) -> Document:
    record, declaration = engine.pipelines.get(name), engine.pipelines.declaration(name)
    return {
        "name": name,
        "version": record["version"],
        "pipelineType": declaration["pipelineType"],
        "executionMode": declaration["executionMode"],
        "created": record["created"],
        "updated": record["updated"],
    }


@SERVICE.operation("ListTagsForResource", on=_resource)
def list_tags(cloud: Cloud, request: Document) -> Document:
    """List a pipeline's tags."""
    record = engine_of(cloud).pipelines.get(_tagged(cloud, request))
    found, token = page(sorted(record["tags"].items()), request, 100)
    return {"tags": [{"key": key, "value": value} for key, value in found], "nextToken": token}


@SERVICE.operation("TagResource", on=_resource)
def tag(cloud: Cloud, request: Document) -> None:
    """Add tags to a pipeline."""
    engine, name = engine_of(cloud), _tagged(cloud, request)
    with engine.changed:
        tags = engine.pipelines.get(name)["tags"] | {each["key"]: each["value"] for each in request["tags"]}
        if len(tags) > 50:
            raise ServiceError("TooManyTagsException", "A pipeline has at most 50 tags")
        engine.pipelines.change(name, tags=tags)


def replace_tags(cloud: Cloud, name: str, tags: list[Document]) -> None:
    """Give a pipeline exactly these tags."""
    engine_of(cloud).pipelines.change(name, tags={each["key"]: each["value"] for each in tags})


@SERVICE.operation("UntagResource", on=_resource)
def untag(cloud: Cloud, request: Document) -> None:
    """Take tags from a pipeline."""
    engine, name = engine_of(cloud), _tagged(cloud, request)
    with engine.changed:
        tags = engine.pipelines.get(name)["tags"]
        kept = {key: value for key, value in tags.items() if key not in request["tagKeys"]}
        engine.pipelines.change(name, tags=kept)


def _tagged(cloud: Cloud, request: Document) -> str:
    name: str = request["resourceArn"].rsplit(":", 1)[-1]
    if request["resourceArn"] != arn(cloud, name):
        raise ServiceError("InvalidArnException", f"{request['resourceArn']} is no pipeline of this account")
    if name not in engine_of(cloud).pipelines.names():
        raise ServiceError("ResourceNotFoundException", f"There is no pipeline {name}")
    return name


@SERVICE.operation("DisableStageTransition", on=on("pipelineName", "stageName"))
def disable_transition(cloud: Cloud, request: Document) -> None:
    """Close the way into or out of a stage."""
    closed = {"reason": request["reason"], "by": cloud.identity.caller().arn, "at": engine_of(cloud).now()}
    _set_transition(cloud, request, closed)


@SERVICE.operation("EnableStageTransition", on=on("pipelineName", "stageName"))
def enable_transition(cloud: Cloud, request: Document) -> None:
    """Open the way into or out of a stage."""
    _set_transition(cloud, request, None)


def _set_transition(cloud: Cloud, request: Document, value: Document | None) -> None:
    engine, name = engine_of(cloud), request["pipelineName"]
    with engine.changed:
        stages = engine.pipelines.declaration(name)["stages"]
        if request["stageName"] not in {stage["name"] for stage in stages}:
            raise ServiceError(
                "StageNotFoundException", f"Pipeline {name} has no stage {request['stageName']}"
            )
        transition = f"{request['stageName']}:{request['transitionType']}"
        closed = {**engine.pipelines.get(name)["closed"], transition: value}
        engine.pipelines.change(name, closed={key: each for key, each in closed.items() if each})
        engine.advance(name)
