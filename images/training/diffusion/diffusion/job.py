"""A job: what SageMaker laid out is read, one task done, and the result sent to where the request said.

The tasks are modules of their own, loaded by name: a merge and a crop need no torch.
"""

import hashlib
import importlib
import json
import sys
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusion import memory
from diffusion.channels import Channels, Parent
from diffusion.errors import Failure, Refused, Stopped
from diffusion.report import RESULT, Report
from diffusion.s3 import S3
from diffusion.stopping import Stopping

#: Each task and the module whose `run` does it.
TASKS: Mapping[str, str] = {
    "lora": "diffusion.trainings",
    "merge": "diffusion.merges",
    "crop": "diffusion.crops",
}
#: SIGTERM's conventional code: the job neither failed nor finished.
STOPPED = 143
#: SageMaker cuts a failure reason here.
REASON_LENGTH = 1024
NO_MEMORY = (
    "the machine ran out of memory: ask for less at a time (train_batch_size, resolution, network_dim)"
)
PIECE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a task works with."""

    channels: Channels
    config: Mapping[str, Any]
    models: list[Parent]
    scratch: Path
    report: Report
    store: S3
    stopping: Stopping

    def model(self, number: int = 0) -> Path:
        """Return the checkpoint of a channel: model, model2 or model3."""
        return self.channels.model(number)

    def parent(self, number: int, sha256: str) -> Parent:
        """Return a checkpoint's name, its digest compared with what the request said."""
        named = self.models[number] if number < len(self.models) else Parent(name=self.model(number).name)
        if named.sha256 not in {None, sha256}:
            raise Failure(f"{named.name} has the SHA-256 {sha256}, not {named.sha256}: upload it again")
        return Parent(name=named.name, sha256=sha256)

    def deliver(self, path: Path, extra: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Upload the job's file to where the request said; it appears there whole, or not at all."""
        address = self.config["output"]
        digest = file_digest(path)
        self.store.write(path, address, {"sha256": digest, **(extra or {})})
        return {"output": address, "size": path.stat().st_size, "sha256": digest}

    def pause(self, where: str) -> None:
        """Give up here if SageMaker asked to stop."""
        if self.stopping.requested:
            raise Stopped(where)


def main(base: Path, stopping: Stopping, store: S3) -> int:
    """Do the job that lies in *base*; on failure leave SageMaker its reason and a non-zero code."""
    try:
        run(base, stopping, store)
    except Stopped as stop:
        sys.stdout.write(f"stopped: {stop}\n")
        return STOPPED
    except Exception as error:  # whatever happens, SageMaker gets its reason
        leave_reason(base / "output" / "failure", reason(error))
        return 1
    return 0


def run(base: Path, stopping: Stopping, store: S3) -> None:
    """Do the task, and tell how it went whatever happens."""
    channels = Channels(base=base)
    task = channels.task(TASKS)
    channels.is_alone()
    config = channels.config()
    folder = _address(config, "report").rstrip("/")
    _address(config, "output")
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as told:
        report = Report(Path(told), lambda path, name: store.write(path, f"{folder}/{name}"))
        job = Job(
            channels=channels,
            config=config,
            models=channels.models(config),
            scratch=Path(scratch),
            report=report,
            store=store,
            stopping=stopping,
        )
        result = _done(task, job)
        body = json.dumps({"task": task, **result}, indent=2).encode()
        report.end()
        report.keep(RESULT, body)  # the last of all: who finds it has everything
        report.end()
        (base / "model").mkdir(parents=True, exist_ok=True)
        (base / "model" / RESULT).write_bytes(body)


def _done(task: str, job: Job) -> dict[str, Any]:
    """Do the task; if it does not end well, the report still says why."""
    try:
        result: dict[str, Any] = importlib.import_module(TASKS[task]).run(job)
    except BaseException as error:
        job.report.note(f"stopped: {error}" if isinstance(error, Stopped) else f"failed: {reason(error)}")
        with suppress(Refused, OSError):  # the first error is the one to tell
            job.report.end()
        raise
    return result


def reason(error: BaseException) -> str:
    """Say in an artist's words why a job failed; a mistake of ours has its traceback in the log."""
    if isinstance(error, Failure | Refused):
        return str(error)
    if memory.ran_out(error):
        return NO_MEMORY
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'a file'}: {error.strerror}"
    traceback.print_exception(error)
    return f"{type(error).__name__}: {error}"


def leave_reason(path: Path, text: str) -> None:
    """Write *text* where SageMaker looks for it, and to the log."""
    sys.stderr.write(f"failed: {text}\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text[:REASON_LENGTH], encoding="utf-8")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _address(config: Mapping[str, Any], name: str) -> str:
    address = config.get(name)
    if not isinstance(address, str) or not address.startswith("s3://"):
        raise Failure(f"config.json: {name} must be an address like s3://bucket/key")
    return address
