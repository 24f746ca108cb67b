"""The task `crop`: every image of a dataset made small enough, the captions with it.

An image is turned as its camera says, shrunk until it just covers what was asked for, and cut around its
middle. None is enlarged. A file that is no image is told of; the others are done.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from diffusion import buckets, dataset
from diffusion.dataset import Unreadable
from diffusion.errors import Failure, Invalid
from diffusion.job import Job
from diffusion.recipe import Side

RESOLUTION = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
LARGEST = 8192
CAPTIONS = (".txt", ".caption")
#: What Pillow calls the form of each suffix; the file keeps its name.
FORMS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}
QUALITY = 95
#: Files on their way at once: most of the time goes into sending them.
AT_ONCE = 4


def run(job: Job) -> dict[str, Any]:
    """Crop what lies in the channel `dataset`, and send each file as it is done."""
    bounds = resolution(job.config.get("max_resolution"))
    folder, output = job.channels.folder("dataset"), str(job.config["output"])
    if not output.endswith("/"):
        raise Failure("config.json: output of a crop must end in /")
    images = dataset.images(folder)
    files: list[dict[str, Any]] = []
    with ThreadPoolExecutor(AT_ONCE) as workers:
        try:
            for done in workers.map(lambda path: _done(job, path, folder, bounds, output), images):
                files.append(done)
                job.report.metric({"done": len(files), "of": len(images)})
                job.pause(f"after {len(files)} of {len(images)} images")
        except BaseException:  # what has not begun need not begin
            workers.shutdown(cancel_futures=True)
            raise
    if not any(each["status"] == "ok" for each in files):
        raise Failure(dataset.none_left(len(images), [_skipped(each) for each in files]))
    return {"output": output, "files": files}


def resolution(given: object) -> Side:
    """Read how large an image may be."""
    found = RESOLUTION.fullmatch(given) if isinstance(given, str) else None
    if not found or max(map(int, found.groups())) > LARGEST:
        raise Invalid(f"max_resolution must be like 512x512, at most {LARGEST} each, not {given!r}")
    return Side(width=int(found[1]), height=int(found[2]))


def crop(path: Path, target: Path, bounds: Side) -> tuple[int, int]:
    """Write a cropped image to *target*; return its size."""
    with dataset.opened(path) as image:
        whole = dataset.upright(image)
        shrunk = buckets.covered(whole.size, bounds).resized
        small = whole if shrunk[0] > whole.width else whole.resize(shrunk, Image.Resampling.LANCZOS)
        wide, high = min(small.width, bounds.width), min(small.height, bounds.height)
        left, top = (small.width - wide) // 2, (small.height - high) // 2
        cut = small.crop((left, top, left + wide, top + high))
    # not while it is open: a disk that is full is no fault of the image's
    cut.save(target, FORMS[path.suffix.lower()], **_options(path))
    return cut.size


def _options(path: Path) -> dict[str, Any]:
    return {"quality": QUALITY} if path.suffix.lower() in {".jpg", ".jpeg", ".webp"} else {}


def _done(job: Job, path: Path, folder: Path, bounds: Side, output: str) -> dict[str, Any]:
    name = path.relative_to(folder).as_posix()
    target = job.scratch / name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        width, height = crop(path, target, bounds)
    except Unreadable as error:
        job.report.say(f"warning: {name} is left out: {error}")
        return {"name": name, "status": "failed", "reason": str(error)}
    job.store.write(target, f"{output}{name}")
    for caption in (path.with_suffix(each) for each in CAPTIONS):
        if caption.is_file():
            job.store.write(caption, f"{output}{caption.relative_to(folder).as_posix()}")
    job.report.say(f"{name}: {width}x{height}")
    size = target.stat().st_size
    target.unlink()
    return {"name": name, "status": "ok", "size": size, "width": width, "height": height}


def _skipped(file: dict[str, Any]) -> dataset.Skipped:
    return dataset.Skipped(name=file["name"], reason=file["reason"])
