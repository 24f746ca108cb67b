"""Networks: LoRAs, a VAE and embeddings, which a form may need besides its checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from atelier_webui.errors import Problem
from atelier_webui.forms import Form

if TYPE_CHECKING:
    from atelier_webui.contract.api.checkpoints import Checkpoint, CheckpointType

LORA = re.compile(r"<lora:([^:>]+)[:>]")
PROMPTS = ("prompt", "negative_prompt")
KINDS: tuple[CheckpointType, ...] = ("Lora", "VAE", "embeddings")


def stem(name: str) -> str:
    """Return a file's name as prompts say it."""
    return name.rpartition(".")[0] or name


def needed(form: Form, vae: str, there: Sequence[Checkpoint]) -> dict[str, tuple[str, ...]]:
    """Return the files of each kind that a form names, of those that are *there*.

    Raise Problem with the name of a LoRA or a VAE that is not; a word may be an embedding, or only a word.
    """
    names = {kind: [name for each in there if each.type == kind for name in each.name] for kind in KINDS}
    found = {
        "Lora": tuple(_loras(form, {stem(name): name for name in names["Lora"]})),
        "VAE": tuple(_vae(vae or _setting(form), names["VAE"])),
        "embeddings": tuple(_embeddings(form, names["embeddings"])),
    }
    return {kind: files for kind, files in found.items() if files}


def named(form: Form, vae: str) -> bool:
    """Say whether a form cannot do without a network."""
    return bool(vae or _setting(form)) or any(map(LORA.search, _prompts(form)))


def _prompts(form: Form) -> list[str]:
    return [str(form.payload.get(each, "")) for each in PROMPTS]


def _loras(form: Form, names: Mapping[str, str]) -> Iterator[str]:
    for wanted in dict.fromkeys(each for prompt in _prompts(form) for each in LORA.findall(prompt)):
        if wanted not in names:
            raise Problem(f"There is no Lora {wanted} in the cloud yet: upload it in the Atelier tab first.")
        yield names[wanted]


def _setting(form: Form) -> str:
    """Return the VAE of the WebUI's own settings, which is there only when one was chosen."""
    return str(form.payload.get("override_settings", {}).get("sd_vae", ""))


def _vae(wanted: str, names: Sequence[str]) -> Iterator[str]:
    if not wanted:
        return
    if wanted not in names:
        raise Problem(
            f"There is no VAE {wanted} in the cloud yet: upload it in the Atelier tab first,"
            " or choose another one in the accordion."
        )
    yield wanted


def _embeddings(form: Form, names: Sequence[str]) -> Iterator[str]:
    prompts = "\n".join(_prompts(form))
    for name in names:
        if re.search(rf"(?<!\w){re.escape(stem(name))}(?!\w)", prompts, re.IGNORECASE):
            yield name
