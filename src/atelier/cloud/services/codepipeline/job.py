"""One action at work: what it may use, and how whatever ends it is reported."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from atelier.cloud.context import Cloud, Credentials, Refused
from atelier.cloud.services.codepipeline import artifacts, catalogue, variables
from atelier.cloud.services.codepipeline.declaration import Action, action_named, each_action
from atelier.cloud.services.codepipeline.engine import Engine
from atelier.cloud.services.codepipeline.runs import ActionRun, Artifact, Failure, Run
from atelier.cloud.services.wire import ServiceError

logger = logging.getLogger(__name__)

CREDENTIALS_LAST = timedelta(minutes=15)
CONFIGURATION_BYTES = 100 * 1024
DENIED = ("AccessDenied", "UnauthorizedOperation", "NotAuthorized")


class Gone(Exception):
    """The action was settled or abandoned by somebody else, or the cloud goes down: just end."""


class ActionFailed(Exception):
    """The action failed; *code* is what errorDetails says beside the message."""

    def __init__(self, message: str, *, code: str = "JobFailed", summary: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.summary = summary


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a successful action leaves."""

    variables: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[Artifact, ...] = ()
    summary: str = ""
    revision: Mapping[str, str] | None = None


Perform = Callable[["Job"], Outcome]


class Job:
    """What an action sees of its pipeline, and the hands it has."""

    def __init__(self, engine: Engine, run: Run, action: ActionRun) -> None:
        pipeline = engine.pipelines.declaration(run.pipeline, run.version)
        self.engine = engine
        self.run = run
        self.id = action.id
        self.pipeline = pipeline
        self.declared: Action = action_named(pipeline, action.stage, action.action)
        self.role: str = self.declared.get("roleArn", pipeline["roleArn"])
        self.bucket: str = pipeline["artifactStore"]["location"]
        self.configuration: Mapping[str, str] = {}
        self.inputs: tuple[Artifact, ...] = ()
        self._credentials: tuple[datetime, Credentials] | None = None
        self._clients: dict[str, Any] = {}

    @property
    def cloud(self) -> Cloud:
        """The cloud around."""
        return self.engine.cloud

    @property
    def action(self) -> ActionRun:
        """The action as it is now; raise Gone when it no longer goes on."""
        action = self.engine.live(self.run.id, self.id)
        if action is None or self.engine.closing:
            raise Gone
        return action

    @property
    def memory(self) -> Mapping[str, Any]:
        """What this action noted for whoever takes it up again."""
        return self.action.memory

    def note(self, **values: Any) -> None:
        """Change the action's record; raise Gone when it no longer goes on."""
        if not self.engine.note(self.run.id, self.id, **values):
            raise Gone

    def remember(self, **values: Any) -> None:
        """Add to the action's memory."""
        with self.engine.changed:
            self.note(memory={**self.memory, **values})

    def prepare(self) -> None:
        """Resolve the configuration's references and find the input artifacts."""
        made, known = self.run.artifacts(), self._known()
        names = [artifact["name"] for artifact in self.declared.get("inputArtifacts", [])]
        if missing := [name for name in names if name not in made]:
            raise ActionFailed(f"The input artifact {missing[0]} was not made", code="ConfigurationError")
        self.inputs = tuple(made[name] for name in names)
        try:
            self.configuration = {
                key: variables.resolve(value, known)
                for key, value in self.declared.get("configuration", {}).items()
            }
        except variables.Unresolved as error:
            message = f"The variable #{{{error}}} does not exist: no action has set it"
            raise ActionFailed(message, code="ConfigurationError") from error
        if sum(map(len, self.configuration.values())) > CONFIGURATION_BYTES:
            raise ActionFailed("The resolved configuration is over 100 KB", code="ConfigurationError")
        self.note(configuration=self.configuration, inputs=self.inputs)

    def _known(self) -> dict[str, Mapping[str, str]]:
        known: dict[str, Mapping[str, str]] = {
            variables.PIPELINE: {"PipelineExecutionId": self.run.id},
            variables.DECLARED: self.run.variables,
        }
        for stage, action in each_action(self.pipeline):
            if namespace := action.get("namespace"):
                known[namespace] = self.run.outputs(stage["name"], action["name"])
        return known

    def outputs(self) -> tuple[Artifact, ...]:
        """Return the places of the output artifacts, the same for whoever takes the action up again."""
        action = self.action
        if not action.outputs and self.declared.get("outputArtifacts"):
            names = [artifact["name"] for artifact in self.declared["outputArtifacts"]]
            places = (artifacts.place(self.run.pipeline, name, self.bucket) for name in names)
            self.note(outputs=tuple(places))
        return self.action.outputs

    def credentials(self) -> Credentials:
        """Return credentials of the action's role, or the pipeline's."""
        now = self.engine.settings.now()
        if self._credentials is None or now - self._credentials[0] > CREDENTIALS_LAST:
            self._credentials = (now, self.assume())
            self.close()
        return self._credentials[1]

    def assume(self, policy: Mapping[str, Any] | None = None) -> Credentials:
        """Return new credentials of the action's role, narrowed to *policy*."""
        narrowed: dict[str, Any] = {} if policy is None else {"policy": policy}
        return self.cloud.identity.assume(
            self.role, service="codepipeline.amazonaws.com", session=self.run.pipeline[:64], **narrowed
        )

    def client(self, service: str, **options: Any) -> Any:
        """Return a client that acts as the action's role."""
        credentials = self.credentials()
        if service not in self._clients:
            self._clients[service] = self.cloud.client(service, credentials, **options)
        return self._clients[service]

    def close(self) -> None:
        """Give up the clients and their connections."""
        for each in self._clients.values():
            each.close()
        self._clients = {}

    @property
    def deadline(self) -> datetime:
        """When the action times out."""
        kind = catalogue.find(self.declared["actionTypeId"])
        minutes = self.declared.get("timeoutInMinutes", kind.minutes if kind else 0)
        return datetime.fromisoformat(self.action.started) + timedelta(minutes=minutes)

    def pause(self, seconds: float | None = None) -> None:
        """Wait until *seconds* passed or the action's record changed; fail the action past its deadline."""
        with self.engine.changed:
            left = (self.deadline - self.engine.settings.now()).total_seconds()
            if left <= 0:
                raise ActionFailed("The action timed out: its time was over before it ended", code="Timeout")
            self.engine.changed.wait(min(left, 60.0 if seconds is None else seconds))
            self.action  # noqa: B018 - raises Gone

    def poll(self, look: Callable[[], Any]) -> Any:
        """Look until there is an answer other than None; a connection that breaks once is no failure."""
        broken = 0
        while True:
            try:
                answer = look()
                broken = 0
            except HTTPClientError:
                broken += 1
                if broken == 5:
                    raise
                answer = None
            if answer is not None:
                return answer
            self.rest()

    def rest(self) -> None:
        """Wait for the time between two looks, whatever else changes meanwhile."""
        end = self.engine.settings.poll
        with self.engine.changed:
            self.engine.changed.wait_for(lambda: self._is_gone(), timeout=end)
        self.pause(0)

    def _is_gone(self) -> bool:
        return self.engine.closing or self.engine.live(self.run.id, self.id) is None


def carry(engine: Engine, run_id: str, action_id: str, kinds: Mapping[str, Perform]) -> None:
    """Carry one action to its end, and report that end exactly once."""
    try:
        action = engine.live(run_id, action_id)
        if action is None:
            return
        with closing(Job(engine, engine.history.get(run_id), action)) as job:
            settled = _outcome(job, kinds)
    except (Gone, KeyError, ServiceError):  # the two latter: the pipeline was deleted meanwhile
        return
    if not engine.closing:  # what fails while the cloud goes down is taken up again at the next start
        engine.settle(run_id, action_id, **settled)


def _outcome(job: Job, kinds: Mapping[str, Perform]) -> dict[str, Any]:
    try:
        job.prepare()
        outcome = kinds[job.declared["actionTypeId"]["provider"]](job)
    except Gone:
        raise
    except ActionFailed as error:
        return _failed(error.code, str(error), error.summary)
    except Refused as error:
        return _failed("PermissionError", str(error))
    except ClientError as error:
        return _failed(*_explained(error, job))
    except BotoCoreError as error:
        job.engine.wait_for_close(10)  # a cloud that goes down cuts connections just before it says so
        return _failed("JobFailed", f"The call did not reach its service: {error}")
    except Exception:  # the edge of this thread: every failure becomes a report, its text stays in the log
        logger.exception("action %s of %s failed", job.declared["name"], job.run.pipeline)
        return _failed("InternalError", "An unexpected error: see `atelier logs`")
    return {
        "status": "Succeeded",
        "outputs": outcome.outputs,
        "variables": dict(outcome.variables),
        "revision": outcome.revision,
        **({"summary": outcome.summary} if outcome.summary else {}),
    }


def _failed(code: str, message: str, summary: str = "") -> dict[str, Any]:
    failure = Failure(code=code, message=message[:5000] or code)
    return {
        "status": "Failed",
        "failure": failure,
        "outputs": (),
        **({"summary": summary} if summary else {}),
    }


def _explained(error: ClientError, job: Job) -> tuple[str, str]:
    code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    denied = any(word in code for word in DENIED) or code == "403"
    text = f"{error.operation_name}: {code}: {message}" + (f" (role {job.role})" if denied else "")
    return "PermissionError" if denied else "ConfigurationError", text


def with_revision(artifact: Artifact, revision: str) -> Artifact:
    """Return the artifact with the revision it was made from."""
    return replace(artifact, revision=revision)
