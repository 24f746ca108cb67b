"""The task `merge`: one checkpoint made of others, by the code of `atelier merge`; it needs no torch."""

from pathlib import Path
from typing import Any

from merging.errors import MergeError
from merging.merge import Parent, Result, merge
from merging.metadata import MODELS, RECIPE
from merging.recipe import Recipe

from diffusion.errors import Failure
from diffusion.job import Job


def run(job: Job) -> dict[str, Any]:
    """Merge what lies in the channels `model`, `model2` and `model3`."""
    recipe = _recipe(job)
    parents = [Parent(job.model(at), each.name, each.sha256) for at, each in enumerate(job.models)]
    job.report.say(f"{recipe.method} of {', '.join(each.name for each in parents)}")
    path = job.scratch / Path(str(job.config["output"])).name
    try:
        result = merge(recipe, parents, path, progress=_Progress(job))
    except MergeError as error:
        raise Failure(str(error)) from None
    job.report.say(_summary(result))
    return {**job.deliver(path), **_told(result)}


def _recipe(job: Job) -> Recipe:
    config = job.config
    method, multiplier = config.get("method"), config.get("multiplier", Recipe.multiplier)
    precision = None if (given := config.get("precision")) is None else str(given)
    if isinstance(multiplier, bool) or not isinstance(multiplier, int | float):
        raise Failure(f"multiplier {multiplier!r} is not a number")
    recipe = Recipe(str(method), float(multiplier), precision)
    try:
        recipe.check()
        recipe.check_parents(len(job.models))
    except MergeError as error:
        raise Failure(str(error)) from None
    return recipe


class _Progress:
    """Tells how far a merge is, a hundred times at most; ends it when SageMaker asked to stop."""

    def __init__(self, job: Job) -> None:
        self._job, self._percent = job, -1

    def __call__(self, done: int, of: int) -> None:
        self._job.pause(f"after {done:,} of {of:,} bytes")
        if (percent := 100 * done // of) > self._percent:
            self._percent = percent
            self._job.report.metric({"done": done, "of": of})


def _summary(result: Result) -> str:
    report = result.report
    told = f"{report.merged} keys merged, {len(report.kept)} kept as they are, {len(report.dropped)} left out"
    return f"{told}; {', '.join(report.partial)} in part: {report.kind}" if report.partial else told


def _told(result: Result) -> dict[str, Any]:
    hashes, report = result.hashes, result.report
    return {
        "hash": hashes.short if hashes else None,
        "legacy_hash": hashes.legacy if hashes else None,
        "merged": report.merged,
        "kept": report.kept,
        "dropped": report.dropped,
        "partial": report.partial,
        "metadata": {name: result.metadata[name] for name in (RECIPE, MODELS)},
    }
