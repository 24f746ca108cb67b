"""Pipelines and their runs: what is going on, what went wrong, and the word of a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from atelier.client import builds
from atelier.client.errors import NotFound, Problem, Refusal

if TYPE_CHECKING:
    from mypy_boto3_codepipeline.type_defs import (
        ActionExecutionDetailTypeDef,
        PipelineDeclarationOutputTypeDef,
    )

    from atelier.client.session import Clients

NOT_STARTED = "NotStarted"
ENDED = frozenset({"Succeeded", "Failed", "Stopped", "Superseded", "Cancelled", "Abandoned"})
LONGEST_COMMENT = 512


@dataclass(frozen=True, kw_only=True)
class Action:
    """One action of a run; *status* is `NotStarted` until its turn comes."""

    stage: str
    name: str
    category: str
    provider: str
    status: str = NOT_STARTED
    started: datetime | None = None
    changed: datetime | None = None
    external_id: str = ""
    summary: str = ""
    reason: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    configuration: Mapping[str, str] = field(default_factory=dict)
    is_resolved: bool = True
    """Whether the values of variables are in the configuration: an action may begin before they are."""

    @property
    def is_approval(self) -> bool:
        """Whether a person decides."""
        return self.category == "Approval"

    @property
    def is_waiting(self) -> bool:
        """Whether a person has to decide now, and what to decide by is there."""
        return self.is_approval and self.status == "InProgress" and self.is_resolved

    @property
    def seconds(self) -> float:
        """How long it took, or has been going on."""
        if self.started is None:
            return 0.0
        end = self.changed if self.status in ENDED and self.changed else datetime.now(self.started.tzinfo)
        return max(0.0, (end - self.started).total_seconds())


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One run of a pipeline, with every action of the pipeline in its order."""

    pipeline: str
    id: str
    status: str
    summary: str = ""
    trigger: str = ""
    commit: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    actions: tuple[Action, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in ENDED

    @property
    def failure(self) -> Action | None:
        """The action that failed first."""
        return next((each for each in self.actions if each.status in {"Failed", "Abandoned"}), None)

    @property
    def waiting(self) -> Action | None:
        """The approval that waits for a person."""
        return next((each for each in self.actions if each.is_waiting), None)

    def action(self, name: str) -> Action | None:
        """Return the action of that name."""
        return next((each for each in self.actions if each.name == name), None)

    @property
    def outputs(self) -> dict[str, str]:
        """What the actions have handed on, the later word counting."""
        return {key: value for each in self.actions for key, value in each.variables.items()}


@dataclass(frozen=True, kw_only=True)
class Pipelines:
    """The pipelines of one account and region."""

    clients: Clients

    def names(self) -> list[str]:
        """Return the pipelines' names."""
        pages = self.clients.codepipeline.get_paginator("list_pipelines").paginate()
        return sorted(each["name"] for page in pages for each in page["pipelines"])

    def only(self, name: str | None, prefix: str = "") -> str:
        """Return *name*, or the one pipeline there is when none is given.

        Who names one need not be allowed to list them all.
        """
        if name is not None and self._is_there(name):
            return name
        names = [each for each in self.names() if each.startswith(prefix)]
        if name is not None:
            raise NotFound(f"there is no pipeline {name} in {self.clients.where}{_others(names)}")
        if len(names) == 1:
            return names[0]
        if not names:
            raise NotFound(f"there is no pipeline in {self.clients.where}: run `atelier deploy` first")
        raise Problem(f"say which pipeline: {', '.join(names)}")

    def _is_there(self, name: str) -> bool:
        codepipeline = self.clients.codepipeline
        try:
            codepipeline.get_pipeline(name=name)
        except codepipeline.exceptions.PipelineNotFoundException:
            return False
        return True

    def latest(self, name: str) -> str | None:
        """Return the id of the newest run, or None before the first."""
        found = self.clients.codepipeline.list_pipeline_executions(pipelineName=name, maxResults=1)
        runs = found["pipelineExecutionSummaries"]
        return runs[0]["pipelineExecutionId"] if runs else None

    def execution(self, name: str, execution_id: str) -> Execution:
        """Return a run with all its actions."""
        codepipeline = self.clients.codepipeline
        try:
            run = codepipeline.get_pipeline_execution(pipelineName=name, pipelineExecutionId=execution_id)
        except codepipeline.exceptions.PipelineExecutionNotFoundException as error:
            raise NotFound(f"pipeline {name} has no run {execution_id}") from error
        found = run["pipelineExecution"]
        revisions = found.get("artifactRevisions", [])
        return Execution(
            pipeline=name,
            id=execution_id,
            status=found["status"],
            summary=found.get("statusSummary", ""),
            trigger=found.get("trigger", {}).get("triggerType", ""),
            commit=revisions[0].get("revisionId", "") if revisions else "",
            variables={each["name"]: each["resolvedValue"] for each in found.get("variables", [])},
            actions=tuple(self._actions(name, execution_id)),
        )

    def _actions(self, name: str, execution_id: str) -> Iterator[Action]:
        pipeline = self.clients.codepipeline.get_pipeline(name=name)["pipeline"]
        pages = self.clients.codepipeline.get_paginator("list_action_executions").paginate(
            pipelineName=name, filter={"pipelineExecutionId": execution_id}
        )
        # newest first: of a retried action the last word counts
        happened: dict[tuple[str, str], ActionExecutionDetailTypeDef] = {}
        for page in pages:
            for each in page["actionExecutionDetails"]:
                happened.setdefault((each["stageName"], each["actionName"]), each)
        for planned in _planned(pipeline):
            detail = happened.get((planned.stage, planned.name))
            yield self._explained(_action(planned, detail)) if detail else planned

    def _explained(self, action: Action) -> Action:
        """Put the command that failed, and what it said, in the place of CodeBuild's general word."""
        if action.status != "Failed" or action.provider != "CodeBuild" or not action.external_id:
            return action
        reason = builds.failure(self.clients, action.external_id)
        return replace(action, reason=reason) if reason else action

    def start(self, name: str, variables: Mapping[str, str]) -> str:
        """Start a run and return its id."""
        given: Any = [{"name": key, "value": value} for key, value in variables.items()]
        more = {"variables": given} if given else {}
        started = self.clients.codepipeline.start_pipeline_execution(name=name, **more)
        return started["pipelineExecutionId"]

    def decide(self, name: str, *, approve: bool, comment: str, execution_id: str | None = None) -> Action:
        """Approve or reject what waits for a person; *execution_id* guards against another run."""
        if len(comment) > LONGEST_COMMENT:
            raise Problem(f"a comment has at most {LONGEST_COMMENT} characters, this one {len(comment)}")
        run, action, token = self._waiting(name, execution_id)
        status: Any = "Approved" if approve else "Rejected"
        try:
            self.clients.codepipeline.put_approval_result(
                pipelineName=name,
                stageName=action.stage,
                actionName=action.name,
                result={"summary": comment, "status": status},
                token=token,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in {
                "ApprovalAlreadyCompletedException",
                "InvalidApprovalTokenException",
            }:
                raise
            raise Refusal(f"someone has already decided on run {run} of {name}") from error
        return action

    def _waiting(self, name: str, execution_id: str | None) -> tuple[str, Action, str]:
        for run, action, token in self._approvals(name):
            if execution_id in {None, run}:
                return run, action, token
        which = f"run {execution_id} of {name}" if execution_id else name
        raise Problem(f"nothing waits for approval in {which}: see `atelier pipeline show {name}`")

    def waiting(self, name: str) -> str | None:
        """Return the run that waits for a person, if one does."""
        return next((run for run, _, _ in self._approvals(name)), None)

    def _approvals(self, name: str) -> Iterator[tuple[str, Action, str]]:
        """Yield the approvals that wait: their run, the action, and the token that a decision names."""
        for stage in self.clients.codepipeline.get_pipeline_state(name=name)["stageStates"]:
            run = stage.get("latestExecution", {}).get("pipelineExecutionId", "")
            for action in stage.get("actionStates", []):
                latest = action.get("latestExecution", {})
                if latest.get("status") == "InProgress" and "token" in latest:
                    found = Action(
                        stage=stage["stageName"],
                        name=action["actionName"],
                        category="Approval",
                        provider="Manual",
                    )
                    yield run, found, latest["token"]


def _planned(pipeline: PipelineDeclarationOutputTypeDef) -> Iterator[Action]:
    for stage in pipeline["stages"]:
        for action in sorted(stage["actions"], key=lambda each: each.get("runOrder", 1)):
            kind = action["actionTypeId"]
            yield Action(
                stage=stage["name"], name=action["name"], category=kind["category"], provider=kind["provider"]
            )


def _action(planned: Action, detail: ActionExecutionDetailTypeDef) -> Action:
    output, given = detail.get("output", {}), detail.get("input", {})
    result, resolved = output.get("executionResult", {}), given.get("resolvedConfiguration")
    error = result.get("errorDetails", {})
    summary = result.get("externalExecutionSummary", "")
    failed = detail["status"] in {"Failed", "Abandoned"}
    return Action(
        stage=planned.stage,
        name=planned.name,
        category=planned.category,
        provider=planned.provider,
        status=detail["status"],
        started=detail["startTime"],
        changed=detail.get("lastUpdateTime"),
        external_id=result.get("externalExecutionId", ""),
        summary=summary,
        reason=(error.get("message", "") or summary) if failed else "",
        variables=output.get("outputVariables", {}),
        configuration=resolved or given.get("configuration", {}),
        is_resolved=bool(resolved) or not given.get("configuration"),
    )


def _others(names: list[str]) -> str:
    return f"; there is {', '.join(names)}" if names else ": run `atelier deploy` first"
