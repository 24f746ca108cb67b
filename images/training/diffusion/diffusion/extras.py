"""`<lora:name:0.8>` in a prompt, as the WebUI reads it.

<lora:name>  <lora:name:0.8>        all of it, or so much
<lora:name:0.5:0.8>                 text encoder, image network
<lora:name:te=0.5:unet=0.8>         the same
"""

import math
import re
from dataclasses import dataclass

from diffusion.errors import Invalid

TAG = re.compile(r"<lora:([^>]+)>")
STRONGEST = 100.0
MOST = 50
PARTS = ("te", "unet")


@dataclass(frozen=True, kw_only=True)
class LoraUse:
    """A LoRA by the name that a prompt gives it, and how strong it is in each network."""

    name: str
    text: float = 1.0
    unet: float = 1.0


def take(prompt: str) -> tuple[str, tuple[LoraUse, ...]]:
    """Return a prompt without its LoRAs, and the LoRAs."""
    uses = tuple(_use(found[0], found[1]) for found in TAG.finditer(prompt))
    if len(uses) > MOST:
        raise Invalid(f"params.prompt must name at most {MOST} LoRAs, not {len(uses)}")
    return TAG.sub("", prompt), uses


def _use(tag: str, inside: str) -> LoraUse:
    items = [each.partition("=") for each in inside.split(":")]
    placed = [key for key, equals, _ in items if not equals]
    named = {key: value for key, equals, value in items if equals}
    if not placed or not placed[0].strip() or len(placed) > 3 or not named.keys() <= set(PARTS):
        raise Invalid(f"params.prompt has {tag!r}, which is not like <lora:name:0.8>")
    text = _number(tag, named.get("te", placed[1] if len(placed) > 1 else "1"))
    unet = _number(tag, named.get("unet", placed[2] if len(placed) > 2 else str(text)))
    return LoraUse(name=placed[0].strip(), text=text, unet=unet)


def _number(tag: str, given: str) -> float:
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not abs(value) <= STRONGEST:
        raise Invalid(
            f"params.prompt has {tag!r}: {given!r} is no number from -{STRONGEST:g} to {STRONGEST:g}"
        )
    return value
