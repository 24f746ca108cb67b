"""What CodePipeline checks before it accepts a pipeline, beyond the service model's own constraints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from atelier.cloud.context import Refused
from atelier.cloud.services.codepipeline import catalogue, variables
from atelier.cloud.services.codepipeline.catalogue import ActionType
from atelier.cloud.services.wire import ServiceError

Action = Mapping[str, Any]
Stage = Mapping[str, Any]
Declaration = Mapping[str, Any]

STAGES = (2, 50)
ACTIONS_PER_STAGE = 50
ACTIONS = 500
RESERVED = frozenset({variables.PIPELINE, variables.DECLARED})


class InvalidStructure(ServiceError):
    """The pipeline as a whole is not valid."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidStructureException", message)


class InvalidStage(ServiceError):
    """A stage is not valid."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidStageDeclarationException", message)


class InvalidAction(ServiceError):
    """An action is not valid."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidActionDeclarationException", message)


def check(declaration: Declaration, region: str) -> None:
    """Raise the error that AWS answers with, or Refused for what only AWS has."""
    _refuse_features(declaration, region)
    _check_stages(declaration["stages"])
    for stage, action in each_action(declaration):
        _check_action(stage, action)
    _check_artifacts(declaration["stages"])
    _check_variables(declaration)


def each_action(declaration: Declaration) -> Iterator[tuple[Stage, Action]]:
    """Yield all actions with their stages."""
    return ((stage, action) for stage in declaration["stages"] for action in stage["actions"])


def action_named(declaration: Declaration, stage_name: str, action_name: str) -> Action:
    """Return one action's declaration; raise KeyError."""
    for stage, action in each_action(declaration):
        if (stage["name"], action["name"]) == (stage_name, action_name):
            return action
    raise KeyError(f"{stage_name}/{action_name}")


def unsupported(what: str) -> Refused:
    """Return the refusal of a feature by its name."""
    return Refused(f"Unsupported: {what} is not part of the local cloud")


def _refuse_features(declaration: Declaration, region: str) -> None:
    if (kind := declaration.get("pipelineType", "V1")) != "V2":
        raise unsupported(f"pipelineType {kind} (AWS's default; say V2)")
    if (mode := declaration.get("executionMode", "SUPERSEDED")) != "SUPERSEDED":
        raise unsupported(f"executionMode {mode}")
    for name in ("triggers", "artifactStores"):
        if declaration.get(name):
            raise unsupported(name)
    if "artifactStore" not in declaration:
        raise InvalidStructure("The pipeline has no artifactStore")
    if declaration["artifactStore"].get("encryptionKey"):
        raise unsupported("artifactStore.encryptionKey")
    for stage, action in each_action(declaration):
        _refuse_stage_features(stage)
        _refuse_action_features(f"{stage['name']}/{action['name']}", action, region)


def _refuse_stage_features(stage: Stage) -> None:
    for name in ("blockers", "onFailure", "onSuccess", "beforeEntry"):
        if stage.get(name):
            raise unsupported(f"{name} of stage {stage['name']}")


def _refuse_action_features(where: str, action: Action, region: str) -> None:
    for name in ("commands", "outputVariables", "environmentVariables"):
        if action.get(name):
            raise unsupported(f"{name} of action {where}")
    if any(artifact.get("files") for artifact in action.get("outputArtifacts", [])):
        raise unsupported(f"outputArtifacts.files of action {where}")
    if action.get("region", region) != region:
        raise unsupported(f"region {action['region']} of action {where} (this cloud is {region})")


def _check_stages(stages: Iterable[Stage]) -> None:
    stages = list(stages)
    low, high = STAGES
    if not low <= len(stages) <= high:
        raise InvalidStructure(f"Pipeline has {len(stages)} stage(s). It must have {low} to {high} stages")
    if sum(len(stage["actions"]) for stage in stages) > ACTIONS:
        raise InvalidStructure(f"A pipeline has at most {ACTIONS} actions")
    if twice := _repeated(stage["name"] for stage in stages):
        raise InvalidStructure(f"Stage names must be unique within a pipeline: {twice} is there twice")
    for index, stage in enumerate(stages):
        _check_stage(index, stage)


def _check_stage(index: int, stage: Stage) -> None:
    name, actions = stage["name"], stage["actions"]
    if not 1 <= len(actions) <= ACTIONS_PER_STAGE:
        raise InvalidStage(f"Stage {name} must have 1 to {ACTIONS_PER_STAGE} actions, not {len(actions)}")
    if twice := _repeated(action["name"] for action in actions):
        raise InvalidStage(f"Action names must be unique within a stage: {twice} is in {name} twice")
    sources = [action["actionTypeId"]["category"] == "Source" for action in actions]
    if index == 0 and not all(sources):
        raise InvalidStructure("Pipeline should start with a stage that only contains source actions")
    if index > 0 and any(sources):
        raise InvalidStructure(f"Only the first stage may contain source actions, but {name} has one")


def _check_action(stage: Stage, action: Action) -> None:
    where, type_id = f"{stage['name']}/{action['name']}", action["actionTypeId"]
    kind = catalogue.find(type_id)
    if kind is None:
        names = " ".join(type_id[part] for part in ("owner", "category", "provider", "version"))
        raise unsupported(f"action type {names} of action {where}")
    if "timeoutInMinutes" in action and kind is not catalogue.MANUAL:
        raise InvalidAction(f"{where}: timeoutInMinutes is for manual approval actions only")
    for side, allowed in (("inputArtifacts", kind.inputs), ("outputArtifacts", kind.outputs)):
        _check_count(where, kind, side, len(action.get(side, [])), allowed)
    _check_configuration(where, kind, action.get("configuration", {}))
    _check_rules(where, kind, action)


def _check_count(where: str, kind: ActionType, side: str, count: int, allowed: tuple[int, int]) -> None:
    low, high = allowed
    if not low <= count <= high:
        raise InvalidAction(f"{where}: {kind.provider} takes {low} to {high} {side}, not {count}")


def _check_configuration(where: str, kind: ActionType, configuration: Mapping[str, str]) -> None:
    if missing := sorted(kind.required - configuration.keys()):
        raise InvalidAction(
            f"Action configuration for action '{where}' is missing required configuration '{missing[0]}'"
        )
    if unknown := sorted(configuration.keys() - kind.required - kind.optional):
        raise InvalidAction(
            f"Action configuration for action '{where}' contains unknown configuration '{unknown[0]}'"
        )
    for key, known in kind.values.items():
        if configuration.get(key, min(known)) not in known:
            raise unsupported(f"{key} {configuration[key]} of action {where}")


def _check_code_commit(where: str, action: Action) -> None:
    if "PollForSourceChanges" not in action["configuration"]:
        raise unsupported(f"PollForSourceChanges true of action {where} (AWS's default; say false)")


def _check_code_build(where: str, action: Action) -> None:
    names = [artifact["name"] for artifact in action["inputArtifacts"]]
    primary = action["configuration"].get("PrimarySource", names[0] if len(names) == 1 else None)
    if primary not in names:
        raise InvalidAction(f"{where}: PrimarySource must name one of the input artifacts, not {primary}")


def _check_cloud_formation(where: str, action: Action) -> None:
    configuration = action["configuration"]
    if configuration["ActionMode"] != "DELETE_ONLY" and "TemplatePath" not in configuration:
        raise InvalidAction(
            f"Action configuration for action '{where}' is missing required configuration 'TemplatePath'"
        )
    names = {artifact["name"] for artifact in action.get("inputArtifacts", [])}
    for key in ("TemplatePath", "TemplateConfiguration"):
        artifact, separator, file = configuration.get(key, "").partition("::")
        if key in configuration and not (separator and file and artifact in names):
            raise InvalidAction(f"{where}: {key} must be <input artifact>::<file>, not {configuration[key]}")
    if action.get("outputArtifacts") and "OutputFileName" not in configuration:
        raise InvalidAction(f"{where}: an output artifact needs OutputFileName")


_RULES: Mapping[str, Callable[[str, Action], None]] = {
    "CodeCommit": _check_code_commit,
    "CodeBuild": _check_code_build,
    "CloudFormation": _check_cloud_formation,
}


def _check_rules(where: str, kind: ActionType, action: Action) -> None:
    if rule := _RULES.get(kind.provider):
        rule(where, action)


def _check_artifacts(stages: Iterable[Stage]) -> None:
    made: set[str] = set()
    for stage, group in groups(stages):
        for action in group:
            for artifact in action.get("inputArtifacts", []):
                if artifact["name"] not in made:
                    raise InvalidStructure(
                        f"Input Artifact Bundle {artifact['name']} in action {action['name']} of stage"
                        f" {stage['name']} is not the output of an earlier action"
                    )
        for action in group:
            for artifact in action.get("outputArtifacts", []):
                if artifact["name"] in made:
                    raise InvalidStructure(
                        f"Output Artifact Bundle name must be unique within the pipeline:"
                        f" {artifact['name']} has been used more than once"
                    )
                made.add(artifact["name"])


def groups(stages: Iterable[Stage]) -> Iterator[tuple[Stage, list[Action]]]:
    """Yield the groups of actions that run in parallel, in the order in which they run."""
    for stage in stages:
        for order in sorted({action.get("runOrder", 1) for action in stage["actions"]}):
            yield stage, [action for action in stage["actions"] if action.get("runOrder", 1) == order]


def _check_variables(declaration: Declaration) -> None:
    declared = [variable["name"] for variable in declaration.get("variables", [])]
    if twice := _repeated(declared):
        raise InvalidStructure(f"Pipeline variable names must be unique: {twice} is there twice")
    known: dict[str, frozenset[str] | None] = {
        variables.PIPELINE: variables.EXECUTION,
        variables.DECLARED: frozenset(declared),
    }
    for stage, group in groups(declaration["stages"]):
        for action in group:
            _check_references(stage, action, known)
        for action in group:
            if namespace := action.get("namespace"):
                _check_namespace(namespace, known)
                known[namespace] = None


def _check_namespace(namespace: str, known: Mapping[str, object]) -> None:
    if namespace in RESERVED:
        raise InvalidStructure(f"The namespace {namespace} is reserved")
    if namespace in known:
        raise InvalidStructure(
            f"Namespaces must be unique within a pipeline: {namespace} has been used more than once"
        )


def _check_references(stage: Stage, action: Action, known: Mapping[str, frozenset[str] | None]) -> None:
    for key, value in action.get("configuration", {}).items():
        for reference in variables.references(value):
            place = (
                f"StageName=[{stage['name']}], ActionName=[{action['name']}],"
                f" ActionConfigurationKey=[{key}], VariableReferenceText=[{reference.text}]"
            )
            if not reference.namespace:
                raise InvalidStructure(
                    "Valid format for a pipeline execution variable reference is a namespace and a key"
                    f" separated by a period (.). {place}"
                )
            if reference.namespace not in known:
                raise InvalidStructure(
                    "The following pipeline execution variables are referencing a namespace that does not"
                    f" exist or is not the namespace of an earlier action. {place}"
                )
            keys = known[reference.namespace]
            if keys is not None and reference.key not in keys:
                raise InvalidStructure(f"The namespace {reference.namespace} has no such variable. {place}")


def _repeated(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)
