"""Completions: what a person asks the published model, and what it answers."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from ..values import Value

LARGEST_BODY = 64 * 1024
"""Bytes of a request that the API reads; a longer one is answered with 413."""


class CompletionRequest(Value):
    """A request for text that goes on where the prompt ends."""

    prompt: str = field(metadata={"minLength": 1, "maxLength": 16_000})
    max_new_tokens: int = field(default=48, metadata={"minimum": 1, "maximum": 512})
    temperature: float = field(default=0.8, metadata={"minimum": 0, "maximum": 2})
    top_p: float = field(default=0.95, metadata={"minimum": 0.01, "maximum": 1})
    top_k: int = field(default=50, metadata={"minimum": 0, "maximum": 1000})
    seed: int | None = field(default=None, metadata={"minimum": 0, "maximum": 2**31 - 1})
    stop: list[str] | None = field(
        default=None,
        metadata={
            "minItems": 1,
            "maxItems": 4,
            "items": {"type": "string", "minLength": 1, "maxLength": 64},
        },
    )


class Completion(Value):
    """One completed text."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class CompletionResponse(Value):
    """The answer to a completion request."""

    completions: list[dict[str, Any]]
    model: dict[str, Any]
