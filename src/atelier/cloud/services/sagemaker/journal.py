"""The recorded course of one training job: its statuses, their times, and the events they cause."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.sagemaker.service import jobs, now, plain, shorten
from atelier.cloud.store import Record

MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
}


class Journal:
    """Writes one job's record. Every step is an event, to be published when no lock is held any more."""

    def __init__(self, cloud: Cloud, name: str) -> None:
        self._cloud = cloud
        self._name = name
        self._table = jobs(cloud)

    def enter(self, secondary: str, **values: Any) -> Record:
        """Record the next secondary status, and other *values* with it."""
        with self._table.lock:
            record, time = self._record(), now()
            _move(record, secondary, time)
            if secondary == "Training":
                record["TrainingStartTime"] = time
            record.update(values)
            self._table.put(self._name, record)
        return record

    def end(self, status: str, secondary: str, reason: str | None = None, **values: Any) -> Record:
        """Record the job's end."""
        if reason is not None:
            values["FailureReason"] = shorten(reason)
        with self._table.lock:
            record, time = self._record(), now()
            _move(record, secondary, time)
            record["SecondaryStatusTransitions"][-1]["EndTime"] = time
            if "TrainingStartTime" in record:
                record["TrainingEndTime"] = time
                record |= dict.fromkeys(("TrainingTimeInSeconds", "BillableTimeInSeconds"), _seconds(record))
            record.update(values, TrainingJobStatus=status)
            self._table.put(self._name, record)
        return record

    def publish(self, record: Record) -> None:
        """Send the job's state to the default event bus."""
        arn = record["TrainingJobArn"]
        self._cloud.events.publish(
            "aws.sagemaker", "SageMaker Training Job State Change", plain(record), [arn]
        )

    def _record(self) -> Record:
        record = self._table.get(self._name)
        if record is None:
            raise KeyError(self._name)
        return record


def _move(record: Record, secondary: str, time: str) -> None:
    transitions = record["SecondaryStatusTransitions"]
    if transitions:
        transitions[-1].setdefault("EndTime", time)
    transitions.append({"Status": secondary, "StartTime": time, "StatusMessage": MESSAGES[secondary]})
    record.update(SecondaryStatus=secondary, LastModifiedTime=time)


def _seconds(record: Record) -> int:
    start, end = (datetime.fromisoformat(record[f"Training{each}Time"]) for each in ("Start", "End"))
    return max(1, round((end - start).total_seconds()))
