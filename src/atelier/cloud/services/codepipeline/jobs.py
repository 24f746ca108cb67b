"""Jobs: what a function is told, and how its report is tied to the action that waits for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from atelier.cloud.context import Credentials
from atelier.cloud.services.codepipeline.engine import Engine
from atelier.cloud.services.codepipeline.runs import ActionRun, Artifact
from atelier.cloud.services.wire import Document, ServiceError
from atelier.cloud.store import Store

TABLE = "codepipeline.jobs"
OPEN = frozenset({"call", "wait"})


def keep(store: Store, job_id: str, run_id: str, action_id: str) -> None:
    """Remember which action a job belongs to."""
    store.table(TABLE).put(job_id, {"run": run_id, "action": action_id})


def find(engine: Engine, job_id: str) -> tuple[str, ActionRun]:
    """Return a job's run and action; raise JobNotFoundException."""
    record = engine.cloud.store.table(TABLE).get(job_id)
    try:
        if record is not None:
            return record["run"], engine.history.get(record["run"]).action(record["action"])
    except KeyError:  # the pipeline was deleted
        pass
    raise ServiceError("JobNotFoundException", f"There is no job {job_id}")


def waiting(engine: Engine, job_id: str) -> tuple[str, ActionRun]:
    """Return run and action of a job that nobody reported yet; hold the engine's lock around it."""
    run_id, action = find(engine, job_id)
    memory = action.memory
    if not action.is_live or memory.get("job") != job_id or memory.get("phase") not in OPEN:
        message = f"The job {job_id} is not in progress: its result was reported, or its action ended"
        raise ServiceError("InvalidJobStateException", message)
    return run_id, action


def details(
    *, job_id: str, account: str, action: ActionRun, credentials: Credentials | None = None
) -> Document:
    """Return the job as a function gets it in ``CodePipeline.job``."""
    data: dict[str, Any] = {
        "actionConfiguration": {"configuration": dict(action.configuration)},
        "inputArtifacts": [_artifact(each) for each in action.inputs],
        "outputArtifacts": [_artifact(each) for each in action.outputs],
    }
    if credentials is not None:
        data["artifactCredentials"] = {
            "accessKeyId": credentials.access_key,
            "secretAccessKey": credentials.secret_key,
            "sessionToken": credentials.token,
        }
    if continuation := action.memory.get("continuation"):
        data["continuationToken"] = continuation
    return {"id": job_id, "accountId": account, "data": data}


def due(now: datetime, seconds: float) -> str:
    """Return when a function that asked to be called again is due."""
    return (now + timedelta(seconds=seconds)).isoformat()


def _artifact(artifact: Artifact) -> Document:
    location = {"bucketName": artifact.bucket, "objectKey": artifact.key}
    return {
        "name": artifact.name,
        "revision": artifact.revision,
        "location": {"type": "S3", "s3Location": location},
    }
