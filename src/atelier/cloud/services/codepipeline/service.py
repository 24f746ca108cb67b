"""CodePipeline's service object, its engine, and the start of an execution; operations register on it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.codepipeline.actions import approval, build, deploy, invoke, source
from atelier.cloud.services.codepipeline.declaration import Declaration, each_action
from atelier.cloud.services.codepipeline.engine import Engine, Settings, Start
from atelier.cloud.services.codepipeline.job import carry
from atelier.cloud.services.wire import Document, Service, ServiceError
from atelier.cloud.store import Store

KINDS = {
    "CodeCommit": source.perform,
    "CodeBuild": build.perform,
    "CloudFormation": deploy.perform,
    "Lambda": invoke.perform,
    "Manual": approval.perform,
}

_ENGINES: weakref.WeakKeyDictionary[Store, Engine] = weakref.WeakKeyDictionary()
_MAKING = threading.Lock()


def engine_of(cloud: Cloud, settings: Settings | None = None) -> Engine:
    """Return the engine of this cloud, made at the first call."""
    with _MAKING:
        if cloud.store not in _ENGINES:
            _ENGINES[cloud.store] = Engine(cloud, _carry, settings or Settings())
        return _ENGINES[cloud.store]


def _carry(engine: Engine, run_id: str, action_id: str) -> None:
    carry(engine, run_id, action_id, KINDS)


def _resume(cloud: Cloud) -> None:
    engine_of(cloud).resume()


def _close(cloud: Cloud) -> None:
    engine_of(cloud).close()


SERVICE = Service("codepipeline", actions="codepipeline", start=_resume, stop=_close)


def arn(cloud: Cloud, name: str) -> str:
    """Return a pipeline's ARN."""
    return cloud.arn("codepipeline", name)


def on(key: str, *more: str) -> Callable[[Cloud, Document], str]:
    """Authorise on the pipeline, or the stage or action in it, that the request names."""

    def target(cloud: Cloud, request: Document) -> str:
        return "/".join([arn(cloud, request[key]), *(request[each] for each in more)])

    return target


def begin(
    cloud: Cloud,
    name: str,
    *,
    trigger: str,
    detail: str,
    given: Mapping[str, Any] | None = None,
    token: str = "",
) -> str:
    """Start an execution with what StartPipelineExecution or a rule's Input gives; return its id."""
    engine, given = engine_of(cloud), given or {}
    with engine.changed:
        declaration = engine.pipelines.declaration(name)
        start = Start(
            trigger=trigger,
            detail=detail,
            variables=_variables(declaration, given.get("variables", [])),
            revisions=_revisions(declaration, given.get("sourceRevisions", [])),
            token=token,
        )
        return engine.start(name, start)


def _variables(declaration: Declaration, given: Sequence[Document]) -> dict[str, str]:
    declared = declaration.get("variables", [])
    values = {each["name"]: each["defaultValue"] for each in declared if "defaultValue" in each}
    values |= {each["name"]: each["value"] for each in given}
    names = {each["name"] for each in declared}
    if unknown := sorted(values.keys() - names):
        raise ServiceError("ValidationException", f"The pipeline declares no variable {unknown[0]}")
    if missing := sorted(names - values.keys()):
        raise ServiceError("ValidationException", f"The variable {missing[0]} has no default and no value")
    return values


def _revisions(declaration: Declaration, given: Sequence[Document]) -> dict[str, str]:
    sources = {
        action["name"]
        for _, action in each_action(declaration)
        if action["actionTypeId"]["category"] == "Source"
    }
    for each in given:
        if each["actionName"] not in sources:
            raise ServiceError(
                "ValidationException", f"The pipeline has no source action {each['actionName']}"
            )
        if each["revisionType"] != "COMMIT_ID":
            raise ServiceError(
                "ValidationException", f"Unsupported: revisionType {each['revisionType']} for CodeCommit"
            )
    return {each["actionName"]: each["revisionValue"] for each in given}
