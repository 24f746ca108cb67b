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
    """Writes one job's record; every step is an event on the default bus."""

    def __init__(self, cloud: Cloud, name: str) -> None:
        self._cloud = cloud
        self._name = name
        self._table = jobs(cloud)

    def enter(self, secondary: str, **values: Any) -> None:
        """Record the next secondary status, and other *values* with it."""
        with self._table.lock:
            record = self._record()
            time = now()
            transitions = record["SecondaryStatusTransitions"]
            if transitions:
                transitions[-1].setdefault("EndTime", time)
            transitions.append({"Status": secondary, "StartTime": time, "StatusMessage": MESSAGES[secondary]})
            if secondary == "Training":
                record["TrainingStartTime"] = time
            record.update(values, SecondaryStatus=secondary, LastModifiedTime=time)
            self._table.put(self._name, record)
        self._publish(record)

    def end(self, status: str, secondary: str, reason: str | None = None, **values: Any) -> None:
        """Record the job's end."""
        if reason is not None:
            values["FailureReason"] = shorten(reason)
        with self._table.lock:
            time = now()
            self.enter(secondary, TrainingJobStatus=status, **values)
            record = self._record()
            record["SecondaryStatusTransitions"][-1].update(EndTime=time, StatusMessage=MESSAGES[secondary])
            if "TrainingStartTime" in record:
                record["TrainingEndTime"] = time
                record |= dict.fromkeys(("TrainingTimeInSeconds", "BillableTimeInSeconds"), _seconds(record))
            self._table.put(self._name, record)

    def _record(self) -> Record:
        record = self._table.get(self._name)
        if record is None:
            raise KeyError(self._name)
        return record

    def _publish(self, record: Record) -> None:
        arn = record["TrainingJobArn"]
        self._cloud.events.publish(
            "aws.sagemaker", "SageMaker Training Job State Change", plain(record), [arn]
        )


def _seconds(record: Record) -> int:
    start, end = (datetime.fromisoformat(record[f"Training{each}Time"]) for each in ("Start", "End"))
    return max(1, round((end - start).total_seconds()))
