"""What the containers behind endpoints say, as boto3 hands it on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atelier.lambdas.adapters import faults
from atelier.lambdas.domain.containers import said
from atelier.lambdas.errors import Busy, Failed, Invalid

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

REFUSED = frozenset({400, 413, 415, 422})
OVERLOADED = frozenset({429, 503})
UNREADY = frozenset(
    {
        "InternalDependencyException",
        "ModelNotReadyException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "Throttling",
        "ThrottlingException",
    }
)
"""What SageMaker says of a request that it may hand to a container a moment later."""


def is_theirs(error: ClientError) -> bool:
    """Say whether it was a container that failed, and not SageMaker."""
    return faults.code(error) == "ModelError"


def failure(error: ClientError, who: str) -> Busy | Failed | Invalid:
    """Return what a container's answer stands for: a refusal, too much at once, or a failure of *who*."""
    status = int(error.response.get("OriginalStatusCode") or 500)  # type: ignore[call-overload]
    words = said(str(error.response.get("OriginalMessage", ""))) or "no reason is given"
    if status in REFUSED:
        return Invalid(words)
    return Busy(words) if status in OVERLOADED else Failed(f"{who} failed: {words}")
