"""Why a build of CodeBuild failed: its command, and what that said last."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_codebuild.type_defs import BuildTypeDef

    from atelier.client.session import Clients

FAILURES = frozenset({"FAILED", "FAULT", "TIMED_OUT"})
CODEBUILD = "[Container] "
"""How CodeBuild's own lines begin in a build's log."""
LAST_WORDS = 4
"""Lines of the command that are shown: the first of them is the cause more often than the last."""
LONGEST_WORDS = 300
TAIL = 200


def failure(clients: Clients, build_id: str) -> str:
    """Say which phase and command of a build failed, and the last that the command wrote."""
    builds = clients.codebuild.batch_get_builds(ids=[build_id])["builds"]
    for phase in builds[0].get("phases", []) if builds else []:
        if phase.get("phaseStatus") in FAILURES:
            messages = [each.get("message", "") for each in phase.get("contexts", [])]
            said = " ".join(filter(None, messages)) or phase["phaseStatus"]
            words = last_words(_log(clients, builds[0]), phase["phaseType"])
            return "\n".join([f"{phase['phaseType']}: {said}", *words])
    return ""


def last_words(log: Sequence[str], phase: str) -> list[str]:
    """Return the last lines that the command which ended a phase wrote, each cut to a bearable length."""
    end = f"Phase complete: {phase} State: "
    ends = [number for number, line in enumerate(log) if line.startswith(CODEBUILD) and end in line]
    if not ends:
        return []
    lines = [line.rstrip()[:LONGEST_WORDS] for line in reversed(list(_of_last_command(log[: ends[-1]])))]
    return [line for line in lines if line][-LAST_WORDS:]


def _of_last_command(log: Sequence[str]) -> Iterator[str]:
    """Yield what a command wrote, the newest line first; CodeBuild's word on its exit comes after it."""
    newest_first = itertools.dropwhile(lambda line: line.startswith(CODEBUILD), reversed(log))
    return itertools.takewhile(lambda line: not line.startswith(CODEBUILD), newest_first)


def _log(clients: Clients, build: BuildTypeDef) -> list[str]:
    """Return the end of a build's log; nothing if it has none, or if whoever asks may not read it."""
    place = build.get("logs", {})
    if not place.get("groupName") or not place.get("streamName"):
        return []
    try:
        page = clients.logs.get_log_events(
            logGroupName=place["groupName"], logStreamName=place["streamName"], limit=TAIL
        )
    except ClientError:
        return []
    return [line for event in page["events"] for line in event["message"].splitlines()]
