"""What every /invocations body says around its form: who asks, for which task, with which models."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from diffusion.cache import Source
from diffusion.errors import Invalid
from diffusion.forms import Form

TASKS = ("txt2img", "img2img")
CHECKPOINTS, LORAS, VAES, EMBEDDINGS = "Stable-diffusion", "Lora", "VAE", "embeddings"
#: How many of each kind a request may list.
MOST: Mapping[str, int] = {CHECKPOINTS: 10, LORAS: 50, VAES: 10, EMBEDDINGS: 50}
SUFFIX = ".safetensors"
PICKLED = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
#: The WebUI shows a checkpoint as `name.safetensors [hash]`.
SHOWN_HASH = re.compile(r"\s*\[[0-9a-f]+\]$")


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """One request, whose form nobody has read yet."""

    id: str
    task_type: str
    sources: Mapping[str, tuple[Source, ...]]
    params: Any

    def chosen(self, wanted: str | None) -> Source:
        """Find the checkpoint that the form names; it may be silent about the only one."""
        sources = self.sources[CHECKPOINTS]
        if wanted is None and len(sources) == 1:
            return sources[0]
        names = ", ".join(each.name for each in sources)
        if wanted is None:
            raise Invalid(f"override_settings.sd_model_checkpoint must name one of {names}")
        for each in sources:
            if each.name == title(wanted):
                return each
        raise Invalid(f"override_settings.sd_model_checkpoint {wanted!r} is none of models: {names}")


def told(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters as an answer repeats them: without pictures, unless they are asked for."""
    shown = dict(params)
    if not shown.get("include_init_images"):
        shown |= dict.fromkeys({"init_images", "mask"} & shown.keys())
    return shown


def parse(body: bytes, kinds: Collection[str] = (CHECKPOINTS,)) -> Envelope:
    """Read a request that may list models of some kinds; the first thing wrong with it is said by name."""
    form = Form(_json(body))
    name = form.text("id", longest=256)
    task_type = form.choice("task_type", TASKS)
    sources = _sources(form.take("models"), kinds)
    given = form.take("params")
    form.close()
    return Envelope(id=name, task_type=task_type, sources=sources, params=given)


def title(name: str) -> str:
    """Return a checkpoint's name without folder, suffix and hash."""
    last = re.split(r"[/\\]", SHOWN_HASH.sub("", name))[-1]
    return last[: -len(SUFFIX)] if last.lower().endswith(SUFFIX) else last


def _json(body: bytes) -> object:
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Invalid("the body is not valid JSON") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _sources(given: object, kinds: Collection[str]) -> dict[str, tuple[Source, ...]]:
    """Read the models of a request; kinds that are not used here are refused unless their list is empty."""
    models = Form({} if given is None else given, "models")
    found = {kind: _listed(models, kind) for kind in kinds}
    for kind, value in models.left().items():
        if value != []:
            raise Invalid(f"models.{kind} is not supported by this container")
    return found


def _listed(models: Form, kind: str) -> tuple[Source, ...]:
    listed = models.take(kind)
    if listed is None and kind != CHECKPOINTS:
        return ()
    least = 1 if kind == CHECKPOINTS else 0
    if not isinstance(listed, list) or not least <= len(listed) <= MOST[kind]:
        raise models.wrong(kind, f"a list of {least} to {MOST[kind]} models")
    return tuple(_source(each, kind) for each in listed)


def _source(given: object, kind: str) -> Source:
    form = Form(given, f"models.{kind}")
    name, address = form.text("name", longest=300), form.text("s3", longest=1100)
    sha256 = form.text("sha256", longest=64, default="").lower()
    form.close()
    if address.lower().endswith(PICKLED) or name.lower().endswith(PICKLED):
        raise Invalid(f"{name} is a pickled file, which may hold code: convert it to {SUFFIX}")
    if not name or not address.lower().endswith(SUFFIX):
        raise Invalid(f"{name or address} is not a {SUFFIX} file")
    if not address.startswith("s3://"):
        raise form.wrong("s3", "an address like s3://bucket/key")
    if sha256 and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise form.wrong("sha256", "64 hexadecimal digits")
    return Source(name=title(name), address=address, sha256=sha256 or None)
