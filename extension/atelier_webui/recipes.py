"""Recipes: how a LoRA is trained, as the form says it and as the contract names it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from atelier_webui.errors import Problem

if TYPE_CHECKING:
    from atelier_webui.contract.api.trainings import TrainedOn


@dataclass(frozen=True)
class Recipe:
    """What the form says."""

    model: str | None
    dataset: str | None
    output_name: str | None
    machine: str
    epochs: float | None
    save_every: float | None
    repeats: float | None
    batch: float | None
    resolution: float | None
    rank: float | None
    alpha: float | None
    rate: str
    trains_text: bool
    text_rate: str
    seed: float | None
    prompts: str
    more: str

    @classmethod
    def of(cls, values: Sequence[Any]) -> Recipe:
        """Read the form's values, in the order of the members."""
        return cls(**{each.name: value for each, value in zip(fields(cls), values, strict=True)})

    @property
    def name(self) -> str:
        """Return what the LoRA is to be called."""
        return (self.output_name or "").strip()

    def on(self) -> TrainedOn:
        """Return what is trained, and where; raise Problem when something of it is missing."""
        from atelier_webui.contract.api.trainings import TrainedOn

        named = {"a base checkpoint": self.model, "a dataset": self.dataset, "a name": self.name}
        if missing := [what for what, value in named.items() if not (value or "").strip()]:
            raise Problem(f"Choose {' and '.join(missing)} first.")
        return TrainedOn(
            training_instance_type=self.machine.strip(),
            model=self.model or "",
            dataset=self.dataset or "",
            fm_type="sd_1_5",
        )

    def settings(self) -> dict[str, Any]:
        """Return how to train, by the contract's names; what is written in the box below wins."""
        found: dict[str, Any] = {
            "max_train_epochs": _whole("Epochs", self.epochs),
            "dataset_repeats": _whole("Repeats", self.repeats),
            "train_batch_size": _whole("Batch size", self.batch),
            "resolution": _whole("Resolution", self.resolution),
            "network_dim": _whole("Rank", self.rank),
            "network_alpha": self.alpha or self.rank,
            "unet_lr": _number("The learning rate", self.rate),
            "network_train_unet_only": not self.trains_text,
        }
        if self.save_every:
            found["save_every_n_epochs"] = int(self.save_every)
        if self.trains_text:
            found["text_encoder_lr"] = _number("The text encoder's learning rate", self.text_rate)
        if self.seed is not None and self.seed >= 0:
            found["seed"] = int(self.seed)
        if (self.prompts or "").strip():
            found["sample_prompts"] = (self.prompts or "").strip()
        return {**found, **_more(self.more or "")}


def _whole(what: str, value: float | None) -> int:
    if not value or value < 1:
        raise Problem(f"{what} must be a whole number, 1 at least.")
    return int(value)


def _number(what: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Problem(f"{what} must be a number such as 1e-4, not {text[:40]!r}.")
    return number


def _more(text: str) -> dict[str, Any]:
    """Read lines of a name and a value; the middleware refuses a name that it does not know."""
    found: dict[str, Any] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, sign, value = map(str.strip, line.partition("="))
        if not name or not sign or not value:
            raise Problem(f"{line[:60]!r} is no setting: write name = value, one a line.")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    """Return yes and no, and numbers, as what they are; the rest is text, such as nan, which JSON lacks."""
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        if math.isfinite(number := float(text)):
            return number
    return text
