"""What every /invocations body says around its form: who asks, for which task, with which checkpoints."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from diffusion.cache import Source
from diffusion.errors import Invalid
from diffusion.forms import Form

TASKS = ("txt2img", "img2img")
CHECKPOINTS = "Stable-diffusion"
MAX_CHECKPOINTS = 10
SUFFIX = ".safetensors"
PICKLED = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
#: The WebUI shows a checkpoint as `name.safetensors [hash]`.
SHOWN_HASH = re.compile(r"\s*\[[0-9a-f]+\]$")


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """One request, whose form nobody has read yet."""

    id: str
    task_type: str
    sources: tuple[Source, ...]
    params: Any

    def chosen(self, wanted: str | None) -> Source:
        """Find the checkpoint that the form names; it may be silent about the only one."""
        if wanted is None and len(self.sources) == 1:
            return self.sources[0]
        names = ", ".join(each.name for each in self.sources)
        if wanted is None:
            raise Invalid(f"override_settings.sd_model_checkpoint must name one of {names}")
        for each in self.sources:
            if each.name == title(wanted):
                return each
        raise Invalid(f"override_settings.sd_model_checkpoint {wanted!r} is none of models: {names}")


def told(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters as an answer repeats them: without pictures, unless they are asked for."""
    shown = dict(params)
    if not shown.get("include_init_images"):
        shown |= dict.fromkeys({"init_images", "mask"} & shown.keys())
    return shown


def parse(body: bytes) -> Envelope:
    """Read a request; the first thing wrong with it is said by name."""
    form = Form(_json(body))
    name = form.text("id", longest=256)
    task_type = form.choice("task_type", TASKS)
    sources = _sources(form.take("models"))
    given = form.take("params")
    form.close()
    return Envelope(id=name, task_type=task_type, sources=tuple(sources), params=given)


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


def _sources(given: object) -> list[Source]:
    """Read the checkpoints of a request; other kinds of model are refused unless their list is empty."""
    models = Form({} if given is None else given, "models")
    listed = models.take(CHECKPOINTS)
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_CHECKPOINTS:
        raise models.wrong(CHECKPOINTS, f"a list of 1 to {MAX_CHECKPOINTS} checkpoints")
    for kind, value in models.left().items():
        if value != []:
            raise Invalid(f"models.{kind} is not supported by this container")
    return [_source(each) for each in listed]


def _source(given: object) -> Source:
    form = Form(given, f"models.{CHECKPOINTS}")
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
