"""Why work failed, in words that an artist understands."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from atelier.contract.events import reason

PLATFORM = re.compile(r"^(?:AlgorithmError|ClientError|InternalServerError): |,? exit code: \d+$")
STOPPED: Mapping[str, str] = {
    "MaxRuntimeExceeded": "it took longer than work may take",
    "MaxWaitTimeExceeded": "no machine was free in time",
}


def why(failure: Mapping[str, Any]) -> str:
    """Return the reason that Step Functions' failure holds, without what the platform says around it."""
    try:
        document = json.loads(str(failure.get("Cause", "")))
    except ValueError:
        document = None
    if isinstance(document, dict) and document.get("TrainingJobStatus") == "Stopped":
        return STOPPED.get(str(document.get("SecondaryStatus")), "the job was stopped")
    return PLATFORM.sub("", reason(failure)).strip() or "it failed, and nobody said why"
