"""What /invocations is asked: a task, the models it is to use, and the sdapi form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffusion import envelope, params
from diffusion.cache import Source
from diffusion.envelope import EMBEDDINGS, LORAS, VAES, title
from diffusion.errors import Invalid
from diffusion.params import Wish


@dataclass(frozen=True, kw_only=True)
class Task:
    """One request, checked."""

    id: str
    source: Source
    loras: tuple[Source, ...] = ()
    vae: Source | None = None
    embeddings: tuple[Source, ...] = ()
    wish: Wish
    params: Mapping[str, Any]

    def told(self) -> dict[str, Any]:
        """Return the parameters as the answer repeats them."""
        return envelope.told(self.params)


def parse(body: bytes) -> Task:
    """Read a request; the first thing wrong with it is said by name."""
    given = envelope.parse(body, envelope.MOST)
    wish = params.parse(given.task_type, given.params)
    return Task(
        id=given.id,
        source=given.chosen(wish.checkpoint),
        loras=tuple(_lora(each.name, given.sources[LORAS]) for each in wish.loras),
        vae=_vae(wish.vae, given.sources[VAES]),
        embeddings=_mentioned(wish, given.sources[EMBEDDINGS]),
        wish=wish,
        params=given.params,
    )


def _lora(name: str, sources: tuple[Source, ...]) -> Source:
    """Find the LoRA that a prompt names."""
    found = _named(name, sources)
    if found is None:
        raise Invalid(
            f"params.prompt names the LoRA {name!r}, which is none of models.{LORAS}: {_names(sources)}"
        )
    return found


def _vae(wanted: str | None, sources: tuple[Source, ...]) -> Source | None:
    """Find the VAE that the settings name."""
    found = None if wanted is None else _named(wanted, sources)
    if wanted is not None and found is None:
        raise Invalid(f"override_settings.sd_vae {wanted!r} is none of models.{VAES}: {_names(sources)}")
    return found


def _mentioned(wish: Wish, sources: tuple[Source, ...]) -> tuple[Source, ...]:
    """Find the embeddings whose names are in a prompt."""
    said = f"{wish.words} {wish.negative_prompt}".lower()
    return tuple(each for each in sources if each.name.lower() in said)


def _named(name: str, sources: tuple[Source, ...]) -> Source | None:
    return next((each for each in sources if each.name == title(name)), None)


def _names(sources: tuple[Source, ...]) -> str:
    return ", ".join(each.name for each in sources) or "none is listed"
