"""The functions that the train-and-deploy flow calls."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger

from atelier.contract.documents import parse
from atelier.contract.events import FlowInput, Judgement, reason, training
from atelier.lambdas.bootstrap import training as bootstrap
from atelier.lambdas.errors import Busy
from atelier.lambdas.services import candidates, evaluation, registry

logger = Logger()


@logger.inject_lambda_context
def gate(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Judge the trained model."""
    limits = evaluation.Limits(**event["limits"])
    return asdict(evaluation.gate(training(event["training"]), limits, registry=bootstrap.flow().registry))


@logger.inject_lambda_context
def smoke_test(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Ask the candidate a real prompt."""
    ports = bootstrap.flow()
    text = evaluation.smoke_test(ports.candidate, endpoints=ports.endpoints(), prompts=ports.prompts())
    return {"text": text}


@logger.inject_lambda_context
def record(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Record the model as a version that waits for a person."""
    ports = bootstrap.flow()
    judgement = parse(Judgement, event["judgement"])
    version = registry.record(
        parse(FlowInput, event["flow"]),
        training(event["training"]),
        judgement,
        now=_now(),
        registry=ports.registry,
        artifacts=ports.artifacts(),
    )
    return asdict(registry.facts(version, judgement, ports.candidate))


@logger.inject_lambda_context
def take_back(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Delete what a failed attempt created, and say why it failed."""
    ports = bootstrap.flow()
    flow, why = parse(FlowInput, event["flow"]), reason(event["failure"])
    try:
        candidates.undo(
            flow.run,
            flow.name,
            why,
            now=_now(),
            candidate=ports.candidate,
            registry=ports.registry,
            endpoints=ports.endpoints(),
        )
    except Busy:  # the flow calls again
        raise
    except Exception as error:  # the reason of the first failure must get through, whatever happens here
        logger.exception("what was created could not be taken back")
        why = f"{why}; what was created could not be taken back: {error}"
    return {"reason": why}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
