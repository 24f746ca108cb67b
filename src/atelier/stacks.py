"""One CloudFormation stack at a time, through change sets; AWS and the local cloud alike."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from atelier.client.errors import Problem

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef, StackTypeDef

LARGEST_BODY = 51_200
"""Bytes of a template that a request may carry; a larger one goes through S3."""

CAPABILITIES: Any = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
NEVER_SUCCEEDED = frozenset({"REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"})
GOOD = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})
NO_CHANGES = ("didn't contain changes", "No updates are to be performed")

Change = Literal["created", "updated", "unchanged"]


class RolledBack(Problem):
    """CloudFormation took a change back; the text names the first cause."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened to a resource of a stack."""

    stack: str
    resource: str
    type: str
    status: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack as it should be."""

    name: str
    template: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    keeps: bool = True
    """Whether a parameter that is not given keeps what was chosen before; it has its default otherwise."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a stack; *kept* are the parameters that nobody gave and that were chosen before."""

    name: str
    change: Change
    outputs: Mapping[str, str]
    kept: Mapping[str, str]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Stacks:
    """The stacks of one account and region.

    *upload* puts a template that is too large for a request where CloudFormation can read it and returns its
    URL. *progress* hears every event as it happens.
    """

    cloudformation: CloudFormationClient
    progress: Callable[[Event], None] = lambda event: None
    upload: Callable[[str, bytes], str] | None = None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def apply(self, stack: Stack) -> Outcome:
        """Create or update the stack and wait for the end; raise RolledBack with the first cause."""
        start = self.clock()
        current = self._ready(stack.name)
        kept = self._kept(stack, current) if current and stack.keeps else {}
        change_set = self._propose(stack, current, kept)
        if change_set is None:
            return self._outcome(stack.name, "unchanged", kept, start)
        seen = {event["EventId"] for event in self._events(change_set["StackId"])}
        self.cloudformation.execute_change_set(
            ChangeSetName=change_set["ChangeSetId"],
            StackName=change_set["StackId"],
            RetainExceptOnCreate=True,
        )
        self._finish(stack.name, change_set["StackId"], seen)
        return self._outcome(stack.name, "updated" if current else "created", kept, start)

    def outputs(self, name: str) -> dict[str, str] | None:
        """Return a stack's outputs, or None when there is no such stack."""
        stack = self._find(name)
        if stack is None:
            return None
        return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}

    def _outcome(self, name: str, change: Change, kept: Mapping[str, str], start: float) -> Outcome:
        outputs = self.outputs(name) or {}
        return Outcome(name=name, change=change, outputs=outputs, kept=kept, seconds=self.clock() - start)

    def _kept(self, stack: Stack, current: StackTypeDef) -> dict[str, str]:
        """Return what was chosen before and is not given now.

        A value that was the default then was not chosen: it follows the default when that changes.
        """
        declared = json.loads(stack.template).get("Parameters", {})
        before = {
            each["ParameterKey"]: each["ParameterValue"]
            for each in current.get("Parameters", [])
            if "Default" in declared.get(each["ParameterKey"], {})
            if each["ParameterKey"] not in stack.parameters
        }
        if not before:
            return {}
        summary = self.cloudformation.get_template_summary(StackName=current["StackId"])
        defaults = {each["ParameterKey"]: each.get("DefaultValue") for each in summary["Parameters"]}
        return {name: value for name, value in before.items() if value != defaults.get(name)}

    def _find(self, name: str) -> StackTypeDef | None:
        try:
            found = self.cloudformation.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return found[0] if found and found[0]["StackStatus"] != "DELETE_COMPLETE" else None

    def _ready(self, name: str) -> StackTypeDef | None:
        """Return the stack once nothing is going on with it; one that never succeeded is removed first."""
        stack = self._find(name)
        if (
            stack
            and stack["StackStatus"].endswith("_IN_PROGRESS")
            and stack["StackStatus"] not in NEVER_SUCCEEDED
        ):
            self._settled(stack["StackId"], lambda: None)
            stack = self._find(name)
        if stack and stack["StackStatus"] in NEVER_SUCCEEDED:
            self._remove(stack)
            return None
        if stack and stack["StackStatus"] in {"UPDATE_ROLLBACK_FAILED", "DELETE_FAILED"}:
            reason = stack.get("StackStatusReason", "no reason given")
            raise Problem(
                f"stack {name} is {stack['StackStatus']}: {reason}. "
                "Continue its rollback, or delete it, before the next deployment"
            )
        return stack

    def _remove(self, stack: StackTypeDef) -> None:
        self.progress(_about(stack, "removed: it never succeeded"))
        self.cloudformation.delete_stack(StackName=stack["StackId"])
        status = self._settled(stack["StackId"], lambda: None)
        if status not in {None, "DELETE_COMPLETE"}:
            raise Problem(f"stack {stack['StackName']} never succeeded and cannot be deleted: it is {status}")

    def _propose(self, stack: Stack, current: StackTypeDef | None, kept: Mapping[str, str]) -> Any | None:
        """Make a change set; None when it holds no changes."""
        request = {
            "StackName": stack.name,
            "ChangeSetName": f"atelier-{time.time_ns():x}",
            "ChangeSetType": "UPDATE" if current else "CREATE",
            "Capabilities": CAPABILITIES,
            "Parameters": _parameters(stack, current, kept),
            "Tags": [{"Key": key, "Value": value} for key, value in sorted(stack.tags.items())],
            **self._template(stack),
        }
        made = self.cloudformation.create_change_set(**request)
        for pause in self._pauses():
            found = self.cloudformation.describe_change_set(
                ChangeSetName=made["Id"], StackName=made["StackId"]
            )
            if found["Status"] in {"CREATE_COMPLETE", "FAILED"}:
                break
            self.sleep(pause)
        if found["Status"] == "CREATE_COMPLETE":
            return found
        self.cloudformation.delete_change_set(ChangeSetName=made["Id"], StackName=made["StackId"])
        reason = found.get("StatusReason", "no reason given")
        if any(words in reason for words in NO_CHANGES):
            return None
        raise Problem(f"CloudFormation refuses the change of stack {stack.name}: {reason}")

    def _template(self, stack: Stack) -> dict[str, str]:
        body = stack.template.encode()
        if len(body) <= LARGEST_BODY:
            return {"TemplateBody": stack.template}
        if self.upload is None:
            raise Problem(
                f"the template of stack {stack.name} has {len(body):,} bytes and needs a bucket first"
            )
        key = f"templates/{stack.name}-{hashlib.sha256(body).hexdigest()[:16]}.json"
        return {"TemplateURL": self.upload(key, body)}

    def _finish(self, name: str, stack_id: str, seen: set[str]) -> None:
        happened: list[StackEventTypeDef] = []

        def report() -> None:
            for event in reversed(list(self._events(stack_id, seen))):
                seen.add(event["EventId"])
                happened.append(event)
                self.progress(_event(event))

        status = self._settled(stack_id, report)
        if status not in GOOD:
            cause = self._first_cause(happened) or f"it is {status}, and CloudFormation gives no reason"
            raise RolledBack(f"stack {name} was rolled back: {cause}")

    def _settled(self, stack_id: str, report: Callable[[], None]) -> str | None:
        """Wait until nothing is going on with the stack and return its status; None when it is gone."""
        for pause in self._pauses():
            stack = self._find(stack_id)
            report()
            if stack is None or not stack["StackStatus"].endswith("_IN_PROGRESS"):
                break
            self.sleep(pause)
        return stack["StackStatus"] if stack else None

    def _pauses(self) -> Iterator[float]:
        """Yield pauses that grow with the time already waited: quick on one machine, polite to AWS."""
        start = self.clock()
        while True:
            yield min(3.0, max(0.05, (self.clock() - start) * 0.15))

    def _events(self, stack_id: str, seen: set[str] | None = None) -> Iterator[StackEventTypeDef]:
        """Yield the stack's events, newest first, up to the first one that was *seen*."""
        for page in self.cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id):
            for event in page["StackEvents"]:
                if seen and event["EventId"] in seen:
                    return
                yield event

    def _first_cause(self, events: list[StackEventTypeDef]) -> str | None:
        """Name what failed first, in a nested stack too; what CloudFormation cancelled is no cause."""
        for event in events:
            reason = event.get("ResourceStatusReason", "")
            if not event["ResourceStatus"].endswith("_FAILED") or "cancelled" in reason:
                continue
            physical = event.get("PhysicalResourceId", "")
            if event["ResourceType"] == "AWS::CloudFormation::Stack" and physical not in {
                "",
                event["StackId"],
            }:
                inner = self._first_cause(list(reversed(list(self._events(physical)))))
                return f"{event['LogicalResourceId']} / {inner}" if inner else f"nested stack {reason}"
            return f"{event['LogicalResourceId']} ({event['ResourceType']}): {reason or 'no reason given'}"
        return None


def _parameters(stack: Stack, current: StackTypeDef | None, kept: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return what the template declares: a value given, or what the stack had before, or its default."""
    before = {each["ParameterKey"] for each in current.get("Parameters", [])} if current else set()
    chosen: list[dict[str, Any]] = []
    for name, declared in json.loads(stack.template).get("Parameters", {}).items():
        if name in stack.parameters:
            chosen.append({"ParameterKey": name, "ParameterValue": stack.parameters[name]})
        elif name in kept or ("Default" not in declared and name in before):
            chosen.append({"ParameterKey": name, "UsePreviousValue": True})
        elif "Default" not in declared:
            raise Problem(f"stack {stack.name} needs the parameter {name}, which no earlier stack outputs")
    return chosen


def _event(event: StackEventTypeDef) -> Event:
    return Event(
        stack=event["StackName"],
        resource=event["LogicalResourceId"],
        type=event["ResourceType"],
        status=event["ResourceStatus"],
        reason=event.get("ResourceStatusReason", ""),
    )


def _about(stack: StackTypeDef, reason: str) -> Event:
    return Event(
        stack=stack["StackName"],
        resource=stack["StackName"],
        type="AWS::CloudFormation::Stack",
        status="DELETE_IN_PROGRESS",
        reason=reason,
    )
