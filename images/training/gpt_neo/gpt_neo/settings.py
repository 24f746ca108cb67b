"""Hyperparameters: strings in, checked values out."""

import json
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from gpt_neo.errors import Failure


def number(default: float, low: float, high: float, what: str) -> Any:
    """Declare a numeric hyperparameter with its default, bounds and meaning; its annotation says the type."""
    return field(default=default, metadata={"low": low, "high": high, "what": what})


def word(default: str, choices: tuple[str, ...], what: str) -> Any:
    """Declare a hyperparameter that is one of a few words."""
    return field(default=default, metadata={"choices": choices, "what": what})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a training job may choose; the defaults learn 500 KB of English in half a CPU minute."""

    steps: int = number(500, 1, 10_000_000, "optimizer steps")
    batch_size: int = number(4, 1, 4096, "sequences per step")
    context: int = number(128, 8, 2048, "tokens a sequence holds")
    vocab_size: int = number(2048, 300, 65_536, "entries of the tokenizer; 256 of them are the bytes")
    layers: int = number(2, 1, 64, "transformer blocks, global and local attention in turn")
    hidden: int = number(128, 8, 8192, "width of a block; a multiple of heads")
    heads: int = number(4, 1, 128, "attention heads")
    dropout: float = number(0.0, 0.0, 0.9, "dropout of embeddings, attention and residuals")
    learning_rate: float = number(2e-3, 1e-7, 1.0, "the highest learning rate")
    warmup: float = number(0.3, 0.0, 0.9, "share of the steps in which the learning rate rises")
    floor: float = number(0.1, 0.0, 1.0, "share of the learning rate that is left at the end")
    weight_decay: float = number(0.1, 0.0, 1.0, "AdamW weight decay of matrices")
    clip: float = number(1.0, 0.01, 1000.0, "norm to which gradients are clipped")
    precision: str = word("bf16", ("bf16", "fp32"), "arithmetic of the forward pass")
    held_out: float = number(0.05, 0.005, 0.5, "share of the text that only measures, 256 KiB at most")
    evaluations: int = number(5, 1, 1000, "evaluations on the held-out text, the last one included")
    log_every: int = number(10, 1, 1_000_000, "steps between two lines of training loss")
    checkpoint_every: int = number(100, 1, 10_000_000, "steps between two checkpoints")
    threads: int = number(0, 0, 1024, "threads of arithmetic; 0 takes every core this container has")
    seed: int = number(1, 0, 2**31 - 1, "of the weights, the order of the data and the held-out text")


#: What SageMaker's own tools add to every job's hyperparameters; no concern of ours.
PLATFORM_PREFIX = "sagemaker_"


def parse(given: Mapping[str, object]) -> Settings:
    """Check *given* hyperparameters; name every unknown one, and the first that is out of range."""
    wanted = {name: value for name, value in given.items() if not name.startswith(PLATFORM_PREFIX)}
    known = {each.name: each for each in fields(Settings)}
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise Failure(f"unknown hyperparameter {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    values: dict[str, Any] = {name: _value(known[name], value) for name, value in wanted.items()}
    settings = Settings(**values)
    if settings.hidden % settings.heads:
        raise Failure(f"hyperparameter hidden={settings.hidden} must be a multiple of heads={settings.heads}")
    return settings


def read(path: Path) -> Settings:
    """Read the hyperparameters SageMaker left at *path*; none at all means the defaults."""
    try:
        given = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise Failure(f"{path.name} is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise Failure(f"{path.name} must hold one JSON object of hyperparameters")
    return parse(given)


def _value(declared: Field[Any], given: object) -> int | float | str:
    """Turn what SageMaker passes (strings; its Python SDK quotes them as JSON) into the declared type."""
    text = str(given).strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if "choices" in declared.metadata:
        choices = declared.metadata["choices"]
        if text not in choices:
            raise Failure(f"hyperparameter {declared.name}={text!r} must be one of {', '.join(choices)}")
        return text
    return _number(declared, text)


def _number(declared: Field[Any], text: str) -> int | float:
    kind = "a whole number" if declared.type is int else "a number"
    low, high = declared.metadata["low"], declared.metadata["high"]
    expected = f"hyperparameter {declared.name}={text!r} must be {kind} from {low} to {high}"
    try:
        value = int(text) if declared.type is int else float(text)
    except ValueError:
        raise Failure(expected) from None
    if not low <= value <= high:
        raise Failure(expected)
    return value
