"""The task `lora`: what can be refused without torch is refused first, then a LoRA is trained and sent."""

from typing import Any

from diffusion import dataset, params, recipe
from diffusion.errors import Invalid
from diffusion.job import Job, file_digest
from diffusion.recipe import PARAMS, Recipe


def run(job: Job) -> dict[str, Any]:
    """Train as the job's configuration says."""
    chosen = recipe.parse(job.config)
    check_samples(chosen)
    found = dataset.read(job.channels.folder("dataset"), chosen, job.report.say)
    base = job.model()
    parent = job.parent(0, file_digest(base))
    job.pause("before anything was learned")
    # torch takes seconds to import: what can fail without it has failed by now.
    from diffusion.training import Training

    training = Training(job, chosen, found, base, parent)
    training.learn()
    return training.finish()


def check_samples(chosen: Recipe) -> None:
    """Refuse samples that could not be painted, before hours were spent on what they show."""
    params.parse("txt2img", {"sampler_name": chosen.sample_sampler})
    for prompt in chosen.sample_prompts:
        try:
            wish = params.parse("txt2img", {"prompt": prompt})
        except Invalid as error:
            raise Invalid(f"{PARAMS}.sample_prompts, {prompt[:60]!r}: {error}") from None
        if wish.loras:
            raise Invalid(f"{PARAMS}.sample_prompts are painted with the LoRA that is trained, and no other")
