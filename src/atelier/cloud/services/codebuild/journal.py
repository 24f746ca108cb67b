"""What is told of a build while it runs: its record, its phases, its log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from atelier.cloud.context import Cloud
from atelier.cloud.services.codebuild import events
from atelier.cloud.services.codebuild.failures import Ended, Failure
from atelier.cloud.services.codebuild.output import Output
from atelier.cloud.store import Record

BUILDS = "codebuild.builds"


def now() -> str:
    """Return the time as records keep it."""
    return datetime.now(UTC).isoformat()


class Journal:
    """The record of one build under way. Nothing else writes it until the build is complete."""

    def __init__(self, cloud: Cloud, build: Record) -> None:
        self.build = build
        self.output: Output | None = None
        self._cloud = cloud
        self._table = cloud.store.table(BUILDS)

    def phase(self, name: str, work: Callable[[], None]) -> bool:
        """Do one phase and record it; say whether it succeeded. What ends the whole build is raised."""
        phase = {"phaseType": name, "phaseStatus": "IN_PROGRESS", "startTime": now()}
        self.build["phases"].append(phase)
        self.save(currentPhase=name)
        self.say(f"Entering phase {name}")
        outcome = ("FAULT", "INTERNAL_SERVICE_ERROR", "see `atelier logs`")
        try:
            work()
            outcome = ("SUCCEEDED", "", "")
        except Ended as ended:
            outcome = (ended.status, "", str(ended))
            raise
        except Failure as failure:
            outcome = ("FAILED", failure.code, str(failure))
            self.build["buildStatus"] = "FAILED"
        finally:
            self._close(phase, *outcome)
        return outcome[0] == "SUCCEEDED"

    def _close(self, phase: Record, status: str, code: str, message: str) -> None:
        end_phase(phase, status, code, message)
        self.say(f"Phase complete: {phase['phaseType']} State: {status}")
        self.say(f"Phase context status code: {code} Message: {message}")
        self.save()

    def save(self, **values: Any) -> None:
        """Change the record, for everyone to see."""
        self.build.update(values)
        with suppress(KeyError):  # it is gone: nobody can ask for it any more
            self._table.change(self.build["id"], **self.build)

    def say(self, text: str) -> None:
        """Write CodeBuild's own words into the build's log."""
        if self.output is not None:
            for line in text.splitlines():
                self.output.say(line)

    def complete(self) -> None:
        """Record the end, and tell EventBridge."""
        complete(self._cloud, self.build)


def end_phase(phase: Record, status: str, code: str, message: str) -> None:
    """Record how and when a phase ended."""
    ended = now()
    took = datetime.fromisoformat(ended) - datetime.fromisoformat(phase["startTime"])
    phase |= {
        "phaseStatus": status,
        "endTime": ended,
        "durationInSeconds": int(took.total_seconds()),
        "contexts": [{"statusCode": code, "message": message}],
    }


def complete(cloud: Cloud, build: Record) -> None:
    """Record that a build has ended, and tell EventBridge."""
    ended = now()
    if build["buildStatus"] == "IN_PROGRESS":
        build["buildStatus"] = "SUCCEEDED"
    build["phases"].append({"phaseType": "COMPLETED", "startTime": ended})
    build |= {"endTime": ended, "currentPhase": "COMPLETED", "buildComplete": True}
    with suppress(KeyError):
        cloud.store.table(BUILDS).change(build["id"], **build)
    events.publish_state(cloud, build)
