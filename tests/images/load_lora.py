"""Load a LoRA with diffusers' own loader, and compare the weights with those that `serve` makes of it."""

import json
import sys
from pathlib import Path

folder = Path(sys.argv[1])
sys.path.insert(0, str(folder / "peft"))

import torch  # noqa: E402
from diffusers import StableDiffusionPipeline  # noqa: E402
from diffusion import lora, models  # noqa: E402
from diffusion.blending import Blend, Wanted  # noqa: E402
from diffusion.cache import Checkpoint  # noqa: E402
from diffusion.extras import LoraUse  # noqa: E402
from diffusion.models import Place  # noqa: E402


def weights(model: models.Model) -> dict[str, torch.Tensor]:
    """Copy the weights of every layer."""
    return {name: each.get_parameter("weight").detach().clone() for name, each in lora.layers(model).items()}


def load() -> models.Model:
    """Load the checkpoint."""
    return models.load(folder / "tiny.safetensors", Place.here())


plain = weights(load())

ours = load()
file = Checkpoint(name="cat", path=folder / "cat.safetensors", sha256="cat")
Blend().become(ours, [Wanted(file=file, use=LoraUse(name="cat"))])

theirs = load()
mixin = StableDiffusionPipeline
state, alphas = mixin.lora_state_dict(str(folder / "cat.safetensors"), unet_config=theirs.unet.config)
mixin.load_lora_into_unet(state, network_alphas=alphas, unet=theirs.unet)
mixin.load_lora_into_text_encoder(state, network_alphas=alphas, text_encoder=theirs.text)
for network in (theirs.unet, theirs.text):
    for each in network.modules():
        if hasattr(each, "merge") and hasattr(each, "lora_A"):
            each.merge()

named = {
    name.replace("_base_layer", ""): each for name, each in weights(theirs).items() if "_lora_" not in name
}
changed = [name for name, each in weights(ours).items() if not torch.equal(each, plain[name])]
by_us = max(float((weights(ours)[name] - plain[name]).abs().max()) for name in changed)
unlike = max(float((weights(ours)[name] - named[name]).abs().max()) for name in plain)
told = {
    "unet": len([each for each in changed if each.startswith(lora.UNET)]),
    "text": len([each for each in changed if each.startswith(lora.TEXT)]),
    "changed": by_us,
    "unlike": unlike,
}
sys.stdout.write(json.dumps(told) + "\n")
