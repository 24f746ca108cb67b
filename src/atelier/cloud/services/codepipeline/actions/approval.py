"""Manual approval: a token for whoever decides, a note to a topic, and an expiry."""

from __future__ import annotations

import json
import uuid
from typing import NoReturn

from atelier.cloud.services.codepipeline.job import ActionFailed, Job


def perform(job: Job) -> NoReturn:
    """Wait for PutApprovalResult, which settles the action, or for the end of its time."""
    if not job.action.token:
        token = str(uuid.uuid4())
        job.note(token=token, external_id=token)
    if "NotificationArn" in job.configuration and not job.memory.get("notified"):
        _notify(job)
        job.remember(notified=True)
    while True:
        if job.deadline <= job.engine.settings.now():
            raise ActionFailed("The approval expired: nobody approved or rejected in time", code="Timeout")
        job.pause()


def _notify(job: Job) -> None:
    action, region = job.action, job.cloud.region
    link = f"{job.cloud.endpoint}/codesuite/codepipeline/pipelines/{job.run.pipeline}/view?region={region}"
    approval = {
        "pipelineName": job.run.pipeline,
        "stageName": action.stage,
        "actionName": action.action,
        "token": action.token,
        "expires": job.deadline.strftime("%Y-%m-%dT%H:%MZ"),
        "externalEntityLink": job.configuration.get("ExternalEntityLink"),
        "approvalReviewLink": link,
        "customData": job.configuration.get("CustomData"),
    }
    job.client("sns").publish(
        TopicArn=job.configuration["NotificationArn"],
        Subject=f"APPROVAL NEEDED: AWS CodePipeline {job.run.pipeline} for action {action.action}"[:100],
        Message=json.dumps({"region": region, "consoleLink": link, "approval": approval}),
    )
