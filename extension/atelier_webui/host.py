"""The WebUI around us: its state, its options and its way to keep images; only here is it asked for them.

What comes from the cloud ends as if it had been made here: saved, listed and told about as the WebUI does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atelier_webui.generation import Progress
    from atelier_webui.results import Picture, Result

FOLDERS = {
    "Stable-diffusion": "ckpt_dir",
    "Lora": "lora_dir",
    "VAE": "vae_dir",
    "embeddings": "embeddings_dir",
    "hypernetworks": "hypernetwork_dir",
    "ControlNet": "controlnet_dir",
}
"""The kinds of checkpoints: each is a folder of the models folder, and an option that names another one."""


PREVIEWS = ("png", "jpg", "jpeg", "webp")


def data_folder() -> Path:
    """Return where this WebUI keeps what its user sets."""
    from modules.paths import data_path

    return Path(data_path)


def settings() -> Mapping[str, Any]:
    """Return this WebUI's settings, some of which change an image."""
    from modules.shared import opts

    found: Mapping[str, Any] = opts.data
    return found


def local_checkpoints(kind: str) -> dict[str, Path]:
    """Return the files of a kind that this WebUI has, by their paths within its folders."""
    from modules import shared
    from modules.paths import models_path

    found: dict[str, Path] = {}
    named = getattr(shared.cmd_opts, FOLDERS[kind], None)
    for folder in filter(None, (named, Path(models_path) / kind)):
        for path in sorted(Path(folder).rglob("*.safetensors")):
            found.setdefault(path.relative_to(folder).as_posix(), path)
    return found


def local_previews(kind: str) -> dict[str, Path]:
    """Return the pictures that this WebUI shows for its files of a kind, by the files' names."""
    found: dict[str, Path] = {}
    for file in local_checkpoints(kind).values():
        beside = (file.with_suffix(f"{name}.{end}") for name in (".preview", "") for end in PREVIEWS)
        if picture := next((each for each in beside if each.is_file()), None):
            found.setdefault(file.name, picture)
    return found


class StateWatch:
    """The WebUI's progress bar and its Interrupt and Skip buttons, for one request."""

    def __init__(self) -> None:
        from modules import shared

        self._state = shared.state

    def interrupted(self) -> bool:
        """Say whether Interrupt was asked for."""
        return bool(self._state.interrupted or getattr(self._state, "stopping_generation", False))

    def skipped(self) -> bool:
        """Say whether Skip was asked for since this was last called, and forget it."""
        asked = bool(self._state.skipped)
        self._state.skipped = False
        return asked

    def show(self, progress: Progress) -> None:
        """Show how far it is."""
        self._state.textinfo = progress.text
        self._state.job_count = max(progress.total, 1)
        self._state.job_no = progress.done


def settle_prompts(p: Any) -> None:
    """Write this computer's styles into the prompts and leave their comments out: the cloud knows neither."""
    p.setup_prompts()
    p.prompt, p.negative_prompt = _uncommented(p.main_prompt), _uncommented(p.main_negative_prompt)
    if getattr(p, "enable_hr", False):
        p.hr_prompt, p.hr_negative_prompt = map(_uncommented, (p.hr_prompt, p.hr_negative_prompt))
    p.styles = []


def _uncommented(prompt: str) -> str:
    from modules import shared

    if not getattr(shared.opts, "enable_prompt_comments", False):
        return prompt
    from modules.processing_scripts.comments import strip_comments

    return str(strip_comments(prompt))


@dataclass(frozen=True)
class Shelf:
    """What a Processed needs: images in the order of the gallery, and where the first single one is."""

    images: list[Any]
    infotexts: list[str]
    first: int


def processed(p: Any, result: Result) -> Any:
    """Return the WebUI's own answer to a request, its images saved where the WebUI saves them."""
    from modules.processing import Processed

    _tell(p, result.pictures)
    with _overridden(p):
        shelf = _shelve(p, result.pictures)
    if result.comment:
        p.comment(result.comment)
    return Processed(
        p,
        images_list=shelf.images,
        seed=p.all_seeds[0] if p.all_seeds else p.seed,
        subseed=p.all_subseeds[0] if p.all_subseeds else p.subseed,
        info=shelf.infotexts[0] if shelf.infotexts else "",
        infotexts=shelf.infotexts,
        index_of_first_image=shelf.first,
    )


def nothing(p: Any, comment: str) -> Any:
    """Return the WebUI's own answer with no image, and why."""
    from atelier_webui.results import Result

    return processed(p, Result(pictures=(), comment=comment))


def _tell(p: Any, pictures: tuple[Picture, ...]) -> None:
    p.all_prompts = [each.prompt for each in pictures]
    p.all_negative_prompts = [each.negative_prompt for each in pictures]
    p.all_seeds = [each.seed for each in pictures]
    p.all_subseeds = [each.subseed for each in pictures]


@contextmanager
def _overridden(p: Any) -> Iterator[None]:
    """Have the request's own settings (a batch's names of files) hold while its images are saved."""
    from modules.shared import opts

    ours = {key: value for key, value in (p.override_settings or {}).items() if key in opts.data_labels}
    before = {key: opts.data.get(key, opts.get_default(key)) for key in ours}
    try:
        for key, value in ours.items():
            opts.set(key, value, is_api=True, run_callbacks=False)
        yield
    finally:
        for key, value in before.items():
            opts.set(key, value, is_api=True, run_callbacks=False)


def _shelve(p: Any, pictures: tuple[Picture, ...]) -> Shelf:
    from modules.shared import opts

    for index, each in enumerate(pictures):
        p.iteration, p.batch_index = divmod(index, max(p.batch_size, 1))
        if opts.enable_pnginfo:
            each.image.info["parameters"] = each.infotext
        if opts.samples_save and not p.do_not_save_samples:
            _save(p, each)
    images: list[Any] = [each.image for each in pictures]
    infotexts = [each.infotext for each in pictures]
    return (
        _with_grid(p, Shelf(images, infotexts, 0))
        if _wants_grid(p, len(images))
        else Shelf(images, infotexts, 0)
    )


def _save(p: Any, picture: Picture) -> None:
    from modules import images
    from modules.shared import opts

    images.save_image(
        picture.image,
        p.outpath_samples,
        "",
        picture.seed,
        picture.prompt,
        opts.samples_format,
        info=picture.infotext,
        p=p,
    )


def keep(picture: Picture, task: str) -> str:
    """Save an image of a job where the WebUI saves those of its task; return its path."""
    from modules import images
    from modules.shared import opts

    folder = opts.outdir_samples or getattr(opts, f"outdir_{task}_samples")
    path, _ = images.save_image(
        picture.image, folder, "", picture.seed, picture.prompt, opts.samples_format, info=picture.infotext
    )
    return str(path)


def _wants_grid(p: Any, count: int) -> bool:
    from modules.shared import opts

    few = count < (2 if opts.grid_only_if_multiple else 1)
    return bool((opts.return_grid or opts.grid_save) and not p.do_not_save_grid and not few)


def _with_grid(p: Any, shelf: Shelf) -> Shelf:
    from modules import images
    from modules.shared import opts

    grid, told = images.image_grid(shelf.images, p.batch_size), shelf.infotexts[0]
    if opts.enable_pnginfo:
        grid.info["parameters"] = told
    if opts.grid_save:
        where = p.outpath_grids, "grid", p.all_seeds[0], p.all_prompts[0], opts.grid_format
        short = not opts.grid_extended_filename
        images.save_image(grid, *where, info=told, short_filename=short, p=p, grid=True)
    if not opts.return_grid:
        return shelf
    return Shelf([grid, *shelf.images], [told, *shelf.infotexts], 1)
