"""Evaluation: whether a trained model is good enough to be shown to a person."""

from __future__ import annotations

import math
from collections.abc import Mapping

from atelier.contract.events import BITS_PER_BYTE, PERPLEXITY, PERPLEXITY_BEFORE, Judgement, Training
from atelier.contract.values import Value
from atelier.lambdas.domain.training import ModelVersion
from atelier.lambdas.errors import Failed, GateRefused
from atelier.lambdas.ports.training import Endpoints, Prompts, Registry
from atelier.lambdas.services.registry import serving

PROMPT = "The"
COMPLETED = "Completed"


class Limits(Value):
    """What a model must reach: bits per byte at most, and at most this share worse than what serves."""

    bits_per_byte: float
    regression: float


def gate(training: Training, limits: Limits, *, registry: Registry) -> Judgement:
    """Judge a finished training job by its bits per byte on held-out text."""
    if training.status != COMPLETED:
        raise Failed(f"the training job {training.job} ended {training.status}")
    metrics, current = final_metrics(training), serving(registry=registry)
    if why := objection(metrics, limits, current):
        raise GateRefused(why)
    return Judgement(
        bits_per_byte=metrics[BITS_PER_BYTE],
        perplexity=metrics[PERPLEXITY],
        perplexity_before=metrics[PERPLEXITY_BEFORE],
        comparison=compare(metrics[BITS_PER_BYTE], current),
    )


def objection(metrics: Mapping[str, float], limits: Limits, current: ModelVersion | None) -> str | None:
    """Say what speaks against a model with these metrics."""
    score, after, before = metrics[BITS_PER_BYTE], metrics[PERPLEXITY], metrics[PERPLEXITY_BEFORE]
    if after >= before:
        return (
            f"the model has learned nothing: perplexity {after:.1f} on held-out text, {before:.1f} untrained"
        )
    if score > limits.bits_per_byte:
        return f"{score:.3f} bits per byte on held-out text; at most {limits.bits_per_byte} is allowed"
    best = current.metrics.get(BITS_PER_BYTE) if current else None
    if current and best and score > best * (1 + limits.regression):
        return (
            f"{score:.3f} bits per byte on held-out text, more than {limits.regression:.0%} worse than the"
            f" {best:.3f} of version {current.version}, which serves"
        )
    return None


def final_metrics(training: Training) -> Mapping[str, float]:
    """Return the job's final metrics by name; refuse a job that lacks one that counts."""
    for name in (BITS_PER_BYTE, PERPLEXITY, PERPLEXITY_BEFORE):
        if not math.isfinite(training.metrics.get(name, math.nan)):
            raise GateRefused(f"the training job {training.job} reported no usable {name}")
    return training.metrics


def compare(score: float, current: ModelVersion | None) -> str:
    """Say in words how *score* stands beside the version that serves."""
    if current is None:
        return "the first version: nothing to compare with"
    before = current.metrics.get(BITS_PER_BYTE)
    if not before:
        return f"version {current.version} has no bits per byte to compare with"
    change = score - before
    if abs(change) < 0.0005:
        return f"as good as version {current.version} ({before:.3f} bits per byte)"
    word = "better" if change < 0 else "worse"
    return f"{abs(change):.3f} bits per byte {word} than version {current.version} ({before:.3f})"


def smoke_test(endpoint: str, *, endpoints: Endpoints, prompts: Prompts) -> str:
    """Ask the candidate a real prompt and return its text; raise Failed when it does not answer one."""
    found = endpoints.get(endpoint)
    if found is None or found.status != "InService":
        raise Failed(f"the endpoint {endpoint} is {found.status if found else 'not there'}")
    answer = prompts.complete(
        endpoint, {"prompt": PROMPT, "max_new_tokens": 16, "temperature": 0.0, "seed": 1}
    )
    return completed_text(answer)


def completed_text(answer: Mapping[str, object]) -> str:
    """Return the text of an answer, checked: it must have generated something."""
    completions = answer.get("completions")
    if not isinstance(completions, list) or not completions or not isinstance(completions[0], dict):
        raise Failed("the candidate's answer holds no completions")
    first = completions[0]
    if not first.get("completion_tokens") or not isinstance(first.get("text"), str):
        raise Failed("the candidate answered the smoke test with no text")
    return str(first["text"])
