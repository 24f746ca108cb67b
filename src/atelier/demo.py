"""The whole product once through: from a git push to an answer over HTTP.

Every step looks at what is there already, so a demo that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from atelier.client import completions, datasets, repositories, timing
from atelier.client.errors import Problem
from atelier.client.following import Asked, Event, Held, follow
from atelier.client.models import Models, Version
from atelier.client.outputs import PREFIX, output
from atelier.client.pipelines import Action, Execution, Pipelines

if TYPE_CHECKING:
    from atelier.client.session import Clients
    from atelier.stacks import Event as StackEvent

PROMPTS = ("The with statement", "A class definition", "If the expression")
GENERAL_PROMPTS = ("The ", "It is", "When")
SETTINGS: Mapping[str, Any] = {"max_new_tokens": 40, "temperature": 0.7, "seed": 7}
STARTS_WITHIN = 30.0


class Undecided(Problem):
    """A person has to approve, and none is here; the run waits."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A person's word on a model."""

    approve: bool
    comment: str


class View(Protocol):
    """Who watches: a terminal, a log, or a test."""

    def step(self, text: str) -> None:
        """Say what was done."""
        ...

    def warn(self, text: str) -> None:
        """Say what a person should know."""
        ...

    def stack(self, event: StackEvent) -> None:
        """Hear of a resource that is deployed."""
        ...

    def event(self, event: Event) -> None:
        """Hear of the pipeline."""
        ...

    def decide(self, execution: Execution, action: Action) -> Decision | None:
        """Decide on the model that waits; None leaves it waiting."""
        ...

    def clear_way(self, execution: Execution) -> bool:
        """Say whether to reject an earlier run that waits for approval and holds this one up."""
        ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the demo does it with."""

    folder: Path
    data: Path | None = None
    prefix: str = PREFIX

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return f"{self.prefix}-training"


@dataclass
class Clock:
    """How long each step took."""

    seconds: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time one step."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start

    def total(self) -> dict[str, float]:
        """Return every time, the whole included."""
        return {**self.seconds, "total": time.monotonic() - self.began}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the published model made of a prompt."""

    prompt: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a demo that went through has to show."""

    prefix: str
    execution: Execution
    version: Version
    previous: Version | None
    endpoint_status: str
    api: completions.Api
    answers: tuple[Answer, ...]
    seconds: Mapping[str, float]

    def document(self) -> dict[str, Any]:
        """Return the result as one JSON object."""
        return {
            "execution_id": self.execution.id,
            "commit": self.version.commit,
            "image_digest": self.version.image_digest,
            "data_version": self.version.data_version,
            "perplexity_before": self.version.perplexity_before,
            "perplexity_after": self.version.perplexity,
            "bits_per_byte": self.version.bits_per_byte,
            "model_version": self.version.version,
            "model_status": self.version.status,
            "endpoint_status": self.endpoint_status,
            "api_url": self.api.url,
            "completion": self.answers[0].text,
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
        }


def go(clients: Clients, plan: Plan, view: View, clock: Clock) -> Result:
    """Take a commit through the deployed pipeline and ask the model that it published."""
    data = upload(clients, plan, view, clock)
    run = begin(clients, plan, view, clock, joins=not data.is_new)
    execution = attend(clients, plan, view, clock, run)
    return conclude(clients, plan, view, clock, execution)


def upload(clients: Clients, plan: Plan, view: View, clock: Clock) -> datasets.Dataset:
    """Upload the training data, unless this version is there."""
    with clock.timed("data"):
        bucket = output(clients, f"{plan.prefix}-storage", "DataBucketName")
        if plan.data is None:
            found = datasets.upload_reference(clients, bucket)
        else:
            found = datasets.upload(clients, bucket, plan.data)
    what = "uploaded" if found.is_new else "already there"
    view.step(f"Data version {found.version}, {found.size:,} bytes of text: {what}")
    return found


def begin(clients: Clients, plan: Plan, view: View, clock: Clock, *, joins: bool) -> str:
    """Push what is checked out, or start the pipeline when it was pushed before; return the run's id.

    With *joins*, a run of the same commit that is still under way is the one to follow.
    """
    head = repositories.head(plan.folder)
    for warning in left_behind(head):
        view.warn(warning)
    pipelines = Pipelines(clients=clients)
    before = pipelines.latest(plan.pipeline)
    if before and joins and is_under_way(pipelines.execution(plan.pipeline, before), head.commit):
        view.step(f"Going on with run {before} of {head.commit[:8]} “{head.subject}”")
        return before
    clear(pipelines, plan, view, pipelines.waiting(plan.pipeline))
    with clock.timed("push"):
        pushed = repositories.push(clients, plan.folder, repositories.source(clients, plan.pipeline))
        if pushed.is_news:
            view.step(f"Pushed {head.commit[:8]} “{head.subject}”")
            return started(pipelines, plan.pipeline, before, head.commit)
    view.step(f"{head.commit[:8]} “{head.subject}” was pushed before: starting the pipeline itself")
    return pipelines.start(plan.pipeline, {})


def is_under_way(run: Execution, commit: str) -> bool:
    """Say whether a run still goes on with this commit."""
    return run.commit == commit and not run.has_ended


def left_behind(head: repositories.Head) -> Iterator[str]:
    """Say what is not committed and hence does not go."""
    if head.uncommitted:
        named, more = ", ".join(head.uncommitted[:5]), len(head.uncommitted) - 5
        rest = f" and {more} more" if more > 0 else ""
        yield f"only what is committed goes; not committed: {named}{rest}"


def clear(pipelines: Pipelines, plan: Plan, view: View, run: str | None) -> None:
    """Reject an earlier run that waits for approval: the approval stage holds one run at a time."""
    if run is None:
        return
    earlier = pipelines.execution(plan.pipeline, run)
    if not view.clear_way(earlier):
        raise Undecided(f"another run cannot pass this one: {undecided(plan.pipeline, run)}")
    pipelines.decide(plan.pipeline, approve=False, comment="a newer run takes its place", execution_id=run)
    view.step(f"Rejected run {run[:8]} of commit {earlier.commit[:8]}, which still waited for approval")


def started(
    pipelines: Pipelines,
    name: str,
    before: str | None,
    commit: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Return the run that a push has started."""
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline:
        run = pipelines.latest(name)
        if run is not None and run != before:
            return run
        sleep(0.1)
    raise Problem(
        f"{commit[:8]} was pushed, but pipeline {name} did not start within {STARTS_WITHIN:.0f} s: "
        f"start it with `atelier pipeline start {name}`, and see `atelier logs`"
    )


def attend(clients: Clients, plan: Plan, view: View, clock: Clock, run: str) -> Execution:
    """Follow a run to its end, asking for the approval on the way; raise Problem when it fails."""
    candidate = 0.0
    with clock.timed("pipeline"):
        for event in follow(clients, plan.pipeline, run):
            execution = event.execution
            view.event(event)
            if isinstance(event, Asked):
                candidate = sum(timing.endpoint(clients, each) for each in execution.actions)
                decide(clients, plan, view, event)
            elif isinstance(event, Held):
                clear(Pipelines(clients=clients), plan, view, event.by)
    clock.seconds.update(timing.of(clients, execution, candidate=candidate))
    if execution.status != "Succeeded":
        raise Problem(failed(execution, Models(clients=clients, prefix=plan.prefix)))
    return execution


def decide(clients: Clients, plan: Plan, view: View, asked: Asked) -> None:
    """Ask, and hand the answer on; raise Undecided when there is none."""
    decision = view.decide(asked.execution, asked.action)
    if decision is None:
        raise Undecided(undecided(plan.pipeline, asked.execution.id))
    Pipelines(clients=clients).decide(
        plan.pipeline, approve=decision.approve, comment=decision.comment, execution_id=asked.execution.id
    )


def undecided(pipeline: str, run: str) -> str:
    """Say how to go on without a terminal."""
    return (
        f"run {run} waits for approval: look with `atelier pipeline show {pipeline}`, then "
        f"`atelier pipeline approve {pipeline}` or `atelier pipeline reject {pipeline} --comment WHY`"
    )


def failed(execution: Execution, models: Models) -> str:
    """Say which action failed, why, and what serves now."""
    action = execution.failure
    what = f"{action.stage}: {action.reason or action.status}" if action else execution.summary
    serving = next((each for each in models.versions() if each.is_serving), None)
    now = f"version {serving.version} still serves" if serving else "nothing was served before"
    return f"run {execution.id} {execution.status.lower()}: {what or 'no reason given'} ({now})"


def conclude(clients: Clients, plan: Plan, view: View, clock: Clock, execution: Execution) -> Result:
    """Ask the published model, and read what the registry says of it."""
    versions = Models(clients=clients, prefix=plan.prefix).versions()
    version = next((each for each in versions if each.run == execution.id), None)
    if version is None:
        raise Problem(f"run {execution.id} succeeded, but the registry does not know its model")
    with clock.timed("completions"):
        api = completions.published(clients, plan.prefix)
        answers = tuple(ask(api, prompt) for prompt in (GENERAL_PROMPTS if plan.data else PROMPTS))
    endpoint = execution.outputs["ENDPOINT"]
    return Result(
        prefix=plan.prefix,
        execution=execution,
        version=version,
        previous=next((each for each in versions if each.published and each.version < version.version), None),
        endpoint_status=clients.sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointStatus"],
        api=api,
        answers=answers,
        seconds=clock.total(),
    )


def ask(api: completions.Api, prompt: str) -> Answer:
    """Ask the published model for one completion."""
    answer = completions.complete(api, {"prompt": prompt, **SETTINGS})
    return Answer(prompt=prompt, text=answer["completions"][0]["text"])
