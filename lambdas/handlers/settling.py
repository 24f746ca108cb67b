"""The obligation that CodePipeline's calls bring: every job is reported, and reported once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from aws_lambda_powertools import Logger

from atelier.contract.documents import Invalid
from atelier.lambdas.domain.training import Step
from atelier.lambdas.errors import Conflict, ServiceError
from atelier.lambdas.ports.training import Reports

logger = Logger()


@dataclass
class Outcome:
    """What the body of `settled` found out."""

    step: Step | None = None


@contextmanager
def settled(job: str, reports: Reports) -> Iterator[Outcome]:
    """Report the pipeline job exactly once, whatever happens inside.

    It does not raise after a report: CodePipeline calls asynchronously, and Lambda would call again and
    report again. A report that did not get through is raised, so that Lambda does.
    """
    outcome = Outcome()
    try:
        yield outcome
    except Exception as error:  # the obligation: every failure becomes a report
        logger.exception("pipeline job failed")
        with once():
            reports.failure(job, in_words(error))
    else:
        with once():
            reports.success(job, outcome.step or Step(summary="done"))


@contextmanager
def once() -> Iterator[None]:
    """Let a report of a job that was settled before pass: Lambda may deliver one call twice."""
    try:
        yield
    except Conflict as error:
        logger.warning("not reported again", reason=str(error))


def in_words(error: Exception) -> str:
    """Return what a person should read: foreseen failures speak for themselves."""
    if isinstance(error, ServiceError | Invalid):
        return str(error)
    return f"{type(error).__name__}: {error}"


def now() -> str:
    """Return the time, as the registry keeps it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
