"""What /invocations is asked, checked strictly, and what it answers."""

import json
import secrets
from dataclasses import dataclass, field
from typing import Any, NoReturn

FIELDS = ("prompt", "max_new_tokens", "temperature", "top_p", "top_k", "seed", "stop")
MAX_PROMPTS = 16
MAX_STOPS = 8
MAX_STOP_LENGTH = 100
MAX_SEED = 2**63 - 1


class Invalid(Exception):
    """A request that cannot be answered; the text names the field and what it may be."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the loaded model allows."""

    context: int
    vocabulary: int
    token_bytes: int

    @property
    def bytes(self) -> int:
        """More than this is too long whatever it says: nobody need count its tokens."""
        return self.context * self.token_bytes


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One prompt and how to continue it."""

    prompt: str
    max_new_tokens: int = 32
    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 0
    seed: int = field(default_factory=lambda: secrets.randbits(63))
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Completion:
    """The continuation of one prompt."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


def parse(body: bytes, limits: Limits) -> list[Wish]:
    """Read a request; the first thing wrong with it is said by name."""
    request = _object(body)
    unknown = sorted(set(request) - set(FIELDS))
    if unknown:
        raise Invalid(f"unknown field {', '.join(unknown)}; known are {', '.join(FIELDS)}")
    if "prompt" not in request:
        raise Invalid("prompt is missing: a text, or a list of texts")
    chosen: dict[str, Any] = {
        "max_new_tokens": _whole(request, "max_new_tokens", 1, limits.context),
        "temperature": _number(request, "temperature", 0.0, 5.0),
        "top_p": _number(request, "top_p", 0.0, 1.0, above=True),
        "top_k": _whole(request, "top_k", 0, limits.vocabulary),
        "seed": _whole(request, "seed", 0, MAX_SEED),
        "stop": _stops(request),
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    return [Wish(prompt=each, **given) for each in _prompts(request["prompt"], limits)]


def check_length(wish: Wish, tokens: int, limits: Limits) -> None:
    """Refuse a prompt that does not fit: cutting it would answer another question."""
    if tokens + wish.max_new_tokens > limits.context:
        raise Invalid(
            f"prompt has {tokens} tokens; with max_new_tokens={wish.max_new_tokens} that is more than "
            f"the {limits.context} tokens this model can hold"
        )


def _object(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Invalid("the body is not valid JSON") from None
    if not isinstance(request, dict):
        raise Invalid("the body must be a JSON object")
    return request


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _prompts(given: object, limits: Limits) -> list[str]:
    prompts: list[Any] = given if isinstance(given, list) else [given]
    if not 1 <= len(prompts) <= MAX_PROMPTS:
        raise Invalid(f"prompt must be a text or a list of 1 to {MAX_PROMPTS} texts")
    for each in prompts:
        _check_text(each, limits)
    return prompts


def _check_text(prompt: object, limits: Limits) -> None:
    if not isinstance(prompt, str):
        raise Invalid(f"prompt must be a text or a list of 1 to {MAX_PROMPTS} texts")
    if not prompt:
        raise Invalid("prompt must not be empty")
    try:
        size = len(prompt.encode())
    except UnicodeEncodeError:
        raise Invalid("prompt is not valid Unicode: it has half of a surrogate pair") from None
    if size > limits.bytes:
        raise Invalid(f"prompt has {size} bytes, more than the {limits.context} tokens this model can hold")


def _stops(request: dict[str, Any]) -> tuple[str, ...] | None:
    if "stop" not in request:
        return None
    stops = request["stop"] if isinstance(request["stop"], list) else [request["stop"]]
    fine = all(isinstance(each, str) and 0 < len(each) <= MAX_STOP_LENGTH for each in stops)
    if not fine or len(stops) > MAX_STOPS:
        raise Invalid(
            f"stop must be a text or a list of up to {MAX_STOPS} texts of 1 to {MAX_STOP_LENGTH} characters"
        )
    return tuple(stops)


def _whole(request: dict[str, Any], name: str, low: int, high: int) -> int | None:
    if name not in request:
        return None
    value = request[name]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Invalid(f"{name} must be a whole number from {low} to {high}")
    return value


def _number(
    request: dict[str, Any], name: str, low: float, high: float, *, above: bool = False
) -> float | None:
    if name not in request:
        return None
    value = request[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or (above and value == low):
        raise Invalid(f"{name} must be a number {'above' if above else 'from'} {low:g} to {high:g}")
    return float(value)
