"""Deploy with CloudFormation: create, update or delete a stack, and hand on its outputs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from atelier.cloud.services.codepipeline import artifacts
from atelier.cloud.services.codepipeline.job import ActionFailed, Job, Outcome
from atelier.cloud.services.codepipeline.parameters import configured, named_file
from atelier.cloud.services.codepipeline.runs import Artifact

INLINE_BYTES = 51_200
FAILED = frozenset(
    {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED"}
)
SUCCEEDED = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE"})
NO_CHANGE = "No updates are to be performed"
CONSEQUENCES = ("cancelled", "The following resource(s) failed")


def perform(job: Job) -> Outcome:
    """Bring the stack to what the template says, or away."""
    if job.configuration["ActionMode"] == "DELETE_ONLY":
        _delete(job)
        return Outcome(summary="Stack deleted")
    if "token" not in job.memory or _is_lost(job, job.memory["token"]):
        _replace_failed(job)
        _change(job)
    if job.memory["token"] is None:
        stack = _stack(job)
        if stack is None:
            raise ActionFailed(f"The stack {job.configuration['StackName']} is not there any more")
        return _outcome(job, stack, "No updates are to be performed.")
    stack = job.poll(lambda: _settled(job))
    if stack["StackStatus"] not in SUCCEEDED:
        raise ActionFailed(_cause(job, stack), summary=f"Stack is in {stack['StackStatus']}")
    return _outcome(job, stack, f"Deployment {stack['StackStatus']}")


def _stack(job: Job) -> Mapping[str, Any] | None:
    try:
        name = job.memory.get("stack") or job.configuration["StackName"]
        stacks = job.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    return dict(stacks[0])


def _settled(job: Job) -> Mapping[str, Any] | None:
    stack = _stack(job)
    if stack is None:
        raise ActionFailed(f"The stack {job.configuration['StackName']} was deleted meanwhile")
    return None if stack["StackStatus"].endswith("_IN_PROGRESS") else stack


def _is_lost(job: Job, token: str | None) -> bool:
    """Say whether a change that another process asked for never came, or is forgotten by a killed cloud."""
    stack = _stack(job)
    if token is None or stack is None:
        return token is not None
    events = _events(job, stack["StackId"])
    return not any(event.get("ClientRequestToken") == token for event in events)


def _events(job: Job, stack_id: str) -> list[Mapping[str, Any]]:
    pages = job.client("cloudformation").get_paginator("describe_stack_events")
    return [event for page in pages.paginate(StackName=stack_id) for event in page["StackEvents"]]


def _replace_failed(job: Job) -> None:
    if job.configuration["ActionMode"] == "REPLACE_ON_FAILURE":
        stack = _stack(job)
        if stack and stack["StackStatus"] in FAILED:
            _delete(job)


def _delete(job: Job) -> None:
    stack = _stack(job)
    if stack is None:
        return
    request = {"StackName": stack["StackId"], "RoleARN": job.configuration["RoleArn"]}
    job.client("cloudformation").delete_stack(**request)
    job.poll(lambda: _deleted(job, stack["StackId"]))


def _deleted(job: Job, stack_id: str) -> bool | None:
    try:
        stack = job.client("cloudformation").describe_stacks(StackName=stack_id)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return True
        raise
    if stack["StackStatus"] == "DELETE_FAILED":
        raise ActionFailed(_cause(job, stack), summary="Stack is in DELETE_FAILED")
    return True if stack["StackStatus"] == "DELETE_COMPLETE" else None


def _change(job: Job) -> None:
    """Start the change; its token, kept before the call, tells its events from earlier ones."""
    stack = _stack(job)
    exists = stack is not None and stack["StackStatus"] != "REVIEW_IN_PROGRESS"
    token = f"codepipeline-{uuid.uuid4()}"
    request = {**_request(job), "ClientRequestToken": token}
    cloudformation = job.client("cloudformation")
    job.remember(token=token)
    try:
        answer = cloudformation.update_stack(**request) if exists else cloudformation.create_stack(**request)
    except ClientError as error:
        if NO_CHANGE not in str(error):
            raise
        job.remember(token=None)
        return
    job.note(external_id=answer["StackId"])
    job.remember(stack=answer["StackId"])


def _request(job: Job) -> dict[str, Any]:
    parameters, tags = configured(job)
    capabilities = [each.strip() for each in job.configuration.get("Capabilities", "").split(",")]
    return {
        "StackName": job.configuration["StackName"],
        "RoleARN": job.configuration["RoleArn"],
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": [each for each in capabilities if each],
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        **_template(job),
    }


def _template(job: Job) -> dict[str, str]:
    """Return the template inline, or through the artifact bucket when it is too long for that."""
    body = named_file(job, job.configuration["TemplatePath"])
    if len(body) <= INLINE_BYTES:
        return {"TemplateBody": body.decode()}
    place = artifacts.place(job.run.pipeline, "Template", job.bucket)
    s3 = job.client("s3")
    s3.put_object(Bucket=place.bucket, Key=place.key, Body=body)
    url = s3.generate_presigned_url("get_object", {"Bucket": place.bucket, "Key": place.key}, ExpiresIn=3600)
    return {"TemplateURL": url.partition("?")[0]}


def _outcome(job: Job, stack: Mapping[str, Any], summary: str) -> Outcome:
    values = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    outputs: tuple[Artifact, ...] = job.outputs()
    for output in outputs:
        content = json.dumps(values, indent=2, sort_keys=True).encode()
        artifacts.write(job.client("s3"), output, {job.configuration["OutputFileName"]: content})
    job.note(external_id=stack["StackId"])
    return Outcome(variables=values, outputs=outputs, summary=summary)


def _cause(job: Job, stack: Mapping[str, Any]) -> str:
    """Return the first failure that is no consequence of another one."""
    token = job.memory.get("token")
    for event in reversed(_events(job, stack["StackId"])):
        mine = token is None or event.get("ClientRequestToken", token) == token
        reason = event.get("ResourceStatusReason", "")
        is_failure = event["ResourceStatus"].endswith("FAILED") and reason
        if mine and is_failure and not any(word in reason for word in CONSEQUENCES):
            return (
                f"{event['ResourceStatus']} {event['LogicalResourceId']} ({event['ResourceType']}): {reason}"
            )
    return str(stack.get("StackStatusReason") or f"The stack is in {stack['StackStatus']}")
