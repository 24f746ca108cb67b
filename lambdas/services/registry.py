"""Registry: versions are recorded, approved or rejected, published and retired."""

from __future__ import annotations

import math
from dataclasses import replace

from atelier.contract.documents import Invalid
from atelier.contract.events import MODEL, FlowInput, FlowResult, Judgement, Training
from atelier.lambdas.domain.training import Approval, ModelVersion
from atelier.lambdas.errors import Conflict
from atelier.lambdas.ports.training import Artifacts, Registry


def serving(*, registry: Registry) -> ModelVersion | None:
    """Return the version that serves."""
    return next((each for each in registry.newest_first() if each.is_serving), None)


def number(version: str) -> int:
    """Read a version's number as the pipeline's variables carry it."""
    if not version.isdecimal() or int(version) < 1:
        raise Invalid(f"{version!r} is not the number of a version")
    return int(version)


def record(
    flow: FlowInput,
    training: Training,
    judgement: Judgement,
    *,
    now: str,
    registry: Registry,
    artifacts: Artifacts,
) -> ModelVersion:
    """Keep a trained model as the next version, waiting for a person, who is told of measures that are none.

    The gate has refused a model that lacks one that counts; the others say nothing against it.
    """
    measured = {name: value for name, value in training.metrics.items() if math.isfinite(value)}
    unusable = ", ".join(sorted(training.metrics.keys() - measured.keys()))
    return registry.record(
        ModelVersion(
            model=MODEL,
            version=0,
            run=flow.run,
            training_job=training.job,
            endpoint_config=flow.name,
            commit=flow.commit,
            image=flow.image,
            image_digest=flow.image_digest,
            data_version=flow.data_version,
            hyperparameters=training.hyperparameters,
            metrics={**measured, "train:seconds": float(training.seconds)},
            comparison=f"{judgement.comparison}; not a number: {unusable}"
            if unusable
            else judgement.comparison,
            artifact=training.artifact,
            artifact_sha256=artifacts.sha256(training.artifact),
            created=now,
        )
    )


def facts(version: ModelVersion, judgement: Judgement, endpoint: str) -> FlowResult:
    """Return what a person must know to approve."""
    return FlowResult(
        model_version=str(version.version),
        perplexity_before=f"{judgement.perplexity_before:.2f}",
        perplexity=f"{judgement.perplexity:.2f}",
        bits_per_byte=f"{judgement.bits_per_byte:.4f}",
        comparison=version.comparison,
        commit=version.commit,
        data_version=version.data_version,
        image_digest=version.image_digest,
        training_job=version.training_job,
        endpoint=endpoint,
    )


def approve(version: int, approval: Approval, *, now: str, registry: Registry) -> ModelVersion:
    """Mark a version approved; once more is fine, for a job may be delivered twice."""
    was = registry.get(version)
    if was.status == "approved":
        return was
    after = was.to("approved", decided=now, approver=approval.approver, comment=approval.comment)
    registry.save(after, was=was)
    return after


def reject(was: ModelVersion, why: str, *, now: str, registry: Registry) -> ModelVersion:
    """Mark a version rejected, unless a person has approved it in the meantime."""
    if was.status == "rejected":
        return was
    after = was.to("rejected", decided=now, comment=why)
    registry.save(after, was=was)
    return after


def publish(was: ModelVersion, *, now: str, registry: Registry) -> ModelVersion:
    """Mark an approved version as the one that serves, then retire those before it."""
    if was.status != "approved":
        raise Conflict(
            f"version {was.version} of {was.model} is {was.status}, only an approved one is published"
        )
    after = was
    if was.published is None:
        after = replace(was, published=now)
        registry.save(after, was=was)
    for other in registry.newest_first():
        if other.status == "approved" and other.version != after.version:
            registry.save(other.to("retired"), was=other)
    return after
