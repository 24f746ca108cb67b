"""Metrics of a training job: regular expressions over its log."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from atelier.cloud.services.sagemaker.service import invalid

NAMESPACE = "/aws/sagemaker/TrainingJobs"
BATCH = 500
PENDING_LIMIT = 20_000

logger = logging.getLogger(__name__)


def check(definitions: Iterable[Mapping[str, str]]) -> None:
    """Refuse a definition whose regular expression is none, or captures nothing."""
    for each in definitions:
        try:
            groups = re.compile(each["Regex"]).groups
        except re.error as error:
            raise invalid(f"MetricDefinitions: the Regex of {each['Name']} is invalid: {error}") from error
        if not groups:
            raise invalid(f"MetricDefinitions: the Regex of {each['Name']} has no capture group")


class Metrics:
    """The values that a job's log has shown so far."""

    def __init__(self, job: str, definitions: Iterable[Mapping[str, str]]) -> None:
        self._job = job
        self._patterns = [(each["Name"], re.compile(each["Regex"])) for each in definitions]
        self._latest: dict[str, dict[str, Any]] = {}
        self._pending: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._publishes = True

    def read(self, line: str) -> None:
        """Take the metrics that a line of the log holds."""
        for name, pattern in self._patterns:
            match = pattern.search(line)
            value = _number(match.group(1)) if match else None
            if value is not None:
                self._add(name, value)

    def latest(self) -> list[dict[str, Any]]:
        """Return the last value of each metric, in the order of their definitions, as the API shows it."""
        with self._lock:
            return [self._latest[name] for name, _ in self._patterns if name in self._latest]

    def is_pending(self) -> bool:
        """Say whether there is anything new for CloudWatch."""
        return bool(self._pending) and self._publishes

    def publish(self, cloudwatch: Any) -> None:
        """Send what is new to CloudWatch; a role that may not is asked once, as training goes on without."""
        with self._lock:
            data, self._pending = self._pending, []
        try:
            for first in range(0, len(data) if self._publishes else 0, BATCH):
                cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data[first : first + BATCH])
        except (ClientError, BotoCoreError) as error:
            self._publishes = False
            logger.warning("the metrics of training job %s are not in CloudWatch: %s", self._job, error)

    def _add(self, name: str, value: float) -> None:
        time = datetime.now(UTC)
        dimensions = [{"Name": "TrainingJobName", "Value": self._job}]
        with self._lock:
            self._latest[name] = {"MetricName": name, "Value": value, "Timestamp": time.isoformat()}
            if len(self._pending) < PENDING_LIMIT:
                self._pending.append(
                    {"MetricName": name, "Value": value, "Timestamp": time, "Dimensions": dimensions}
                )


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
