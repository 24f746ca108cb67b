"""The task `lora`: what can be refused without torch is refused first, then a LoRA is trained and sent."""

from typing import Any

from diffusion import dataset, params, recipe
from diffusion.job import Job, file_digest


def run(job: Job) -> dict[str, Any]:
    """Train as the job's configuration says."""
    chosen = recipe.parse(job.config)
    params.parse("txt2img", {"sampler_name": chosen.sample_sampler})
    found = dataset.read(job.channels.folder("dataset"), chosen, job.report.say)
    base = job.model()
    parent = job.parent(0, file_digest(base))
    job.pause("before anything was learned")
    # torch takes seconds to import: what can fail without it has failed by now.
    from diffusion.training import Training

    training = Training(job, chosen, found, base, parent)
    training.learn()
    return training.finish()
