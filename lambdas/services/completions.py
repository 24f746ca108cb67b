"""Completions: ask the published model, and say which version it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from atelier.contract.api.completions import LARGEST_BODY, CompletionRequest
from atelier.contract.documents import load
from atelier.contract.events import BITS_PER_BYTE, PERPLEXITY
from atelier.lambdas.errors import NotFound, TooLarge
from atelier.lambdas.ports.training import Prompts, Registry
from atelier.lambdas.services.registry import serving


def complete(body: str, *, endpoint: str, prompts: Prompts) -> Mapping[str, Any]:
    """Answer the JSON text of a completion request."""
    size = len(body.encode())
    if size > LARGEST_BODY:
        raise TooLarge(f"the body has {size} bytes, at most {LARGEST_BODY} are read")
    request = load(CompletionRequest, body)
    return prompts.complete(
        endpoint, {name: value for name, value in asdict(request).items() if value is not None}
    )


def current(*, registry: Registry) -> dict[str, Any]:
    """Describe the version that serves."""
    version = serving(registry=registry)
    if version is None:
        raise NotFound("no version of the model has been published yet")
    return {
        "model": version.model,
        "version": version.version,
        "commit": version.commit,
        "data_version": version.data_version,
        "image_digest": version.image_digest,
        "bits_per_byte": version.metrics.get(BITS_PER_BYTE),
        "perplexity": version.metrics.get(PERPLEXITY),
        "published": version.published,
    }
