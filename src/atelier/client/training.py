"""A training job as it goes: its step, loss and perplexity, read from its log."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from atelier.contract.documents import Invalid, load
from atelier.contract.events import FlowInput

if TYPE_CHECKING:
    from atelier.client.session import Clients

LOGS = "/aws/sagemaker/TrainingJobs"
LINE = re.compile(
    r"^(?P<what>untrained|train|validation) step=(?P<step>\d+) of=(?P<steps>\d+) (?P<values>.*)$"
)
VALUE = re.compile(r"(\w+)=([-+.\w]+)")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a training job is; None is what it has not said yet."""

    job: str
    status: str = "Starting"
    step: int = 0
    steps: int | None = None
    loss: float | None = None
    perplexity: float | None = None
    perplexity_before: float | None = None
    validation_perplexity: float | None = None
    bits_per_byte: float | None = None
    last_line: str = ""


@dataclass
class Watch:
    """Reads what a flow's training job has written since the last look.

    The flow may start its job again, under the next number: the newest log counts.
    """

    clients: Clients
    name: str
    progress: Progress = field(init=False)
    _stream: str | None = None
    _token: str | None = None

    def __post_init__(self) -> None:
        """Begin with nothing known."""
        self.progress = Progress(job=self.name)

    def look(self) -> Progress:
        """Read what is new and return how far the job is."""
        for line in self._lines():
            self.progress = read(line, self.progress)
        return self.progress

    def _lines(self) -> list[str]:
        try:
            lines = self._more()
            if not lines and (newest := self._newest()) != self._stream:
                self._stream, self._token = newest, None
                self.progress = Progress(job=(newest or self.name).partition("/")[0])
                lines = self._more()
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return []
            raise
        return lines

    def _more(self) -> list[str]:
        if self._stream is None:
            return []
        token: Any = {"nextToken": self._token} if self._token else {}
        page = self.clients.logs.get_log_events(
            logGroupName=LOGS, logStreamName=self._stream, startFromHead=True, **token
        )
        self._token = page["nextForwardToken"]
        return [each["message"].rstrip() for each in page["events"]]

    def _newest(self) -> str | None:
        found = self.clients.logs.describe_log_streams(logGroupName=LOGS, logStreamNamePrefix=f"{self.name}-")
        return max((each["logStreamName"] for each in found["logStreams"]), default=None)


def read(line: str, progress: Progress) -> Progress:
    """Return *progress* with what one line of the log says."""
    match = LINE.match(line)
    if match is None:
        return replace(progress, last_line=line or progress.last_line)
    values = {name: _number(text) for name, text in VALUE.findall(match["values"])}
    progress = replace(progress, step=int(match["step"]), steps=int(match["steps"]), last_line=line)
    if match["what"] == "train":
        return replace(progress, loss=values.get("loss"), perplexity=values.get("perplexity"))
    if match["what"] == "untrained":
        return replace(progress, perplexity_before=values.get("perplexity"))
    return replace(
        progress,
        validation_perplexity=values.get("perplexity"),
        bits_per_byte=values.get("bits_per_byte"),
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def name_of(clients: Clients, flow: str) -> str | None:
    """Return how the training jobs of an execution of the train-and-deploy flow are named, if it is known."""
    try:
        return load(FlowInput, clients.stepfunctions.describe_execution(executionArn=flow)["input"]).name
    except (ClientError, Invalid):
        return None


def seconds(clients: Clients, job: str) -> float | None:
    """Return how long a finished job took, its data's download and its model's upload included."""
    try:
        found = clients.sagemaker.describe_training_job(TrainingJobName=job)
    except ClientError:
        return None
    return span(found.get("TrainingStartTime"), found.get("TrainingEndTime"))


def span(start: datetime | None, end: datetime | None) -> float | None:
    """Return the seconds between two moments, if both are known."""
    return (end - start).total_seconds() if start and end else None
