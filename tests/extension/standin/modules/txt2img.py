"""What the Generate buttons do."""

from __future__ import annotations

import html
from contextlib import closing
from typing import Any

import gradio as gr

from modules import processing, scripts, shared
from modules.infotext_utils import create_override_settings_dict
from modules.shared import opts

COMMON = ("prompt", "negative_prompt", "n_iter", "batch_size", "cfg_scale", "width", "height")
HIRES = ("enable_hr", "denoising_strength", "hr_scale", "hr_upscaler", "hr_second_pass_steps")
PAINTED = ("denoising_strength", "resize_mode", "inpainting_fill")


def txt2img(id_task: str, request: gr.Request, *arguments: Any) -> tuple[Any, ...]:
    """Make pictures of words."""
    names = (*COMMON, *HIRES)
    said, override = dict(zip(names, arguments, strict=False)), arguments[len(names)]
    p = processing.StableDiffusionProcessingTxt2Img(
        outpath_samples=opts.outdir_samples or opts.outdir_txt2img_samples,
        outpath_grids=opts.outdir_grids or opts.outdir_txt2img_grids,
        override_settings=create_override_settings_dict(override),
        **said,
    )
    return worked(p, scripts.scripts_txt2img, arguments[len(names) + 1 :], request)


def img2img(id_task: str, request: gr.Request, *arguments: Any) -> tuple[Any, ...]:
    """Make pictures of a picture."""
    names = (*COMMON, *PAINTED)
    said, (override, picture, mask, *rest) = (
        dict(zip(names, arguments, strict=False)),
        arguments[len(names) :],
    )
    if picture is None:
        raise ValueError("Please upload a picture")
    said["resize_mode"] = ["Just resize", "Crop and resize", "Resize and fill"].index(said["resize_mode"])
    said["inpainting_fill"] = ["fill", "original", "latent noise", "latent nothing"].index(
        said["inpainting_fill"]
    )
    p = processing.StableDiffusionProcessingImg2Img(
        outpath_samples=opts.outdir_samples or opts.outdir_img2img_samples,
        outpath_grids=opts.outdir_grids or opts.outdir_img2img_grids,
        override_settings=create_override_settings_dict(override),
        init_images=[picture],
        mask=mask.convert("L") if mask else None,
        **said,
    )
    return worked(p, scripts.scripts_img2img, rest, request)


def worked(p: Any, runner: Any, arguments: Any, request: gr.Request) -> tuple[Any, ...]:
    """Let a script do it, or do it here; return what the page shows."""
    p.scripts = runner
    p.script_args = tuple(arguments)
    p.user = getattr(request, "username", None)
    with closing(p):
        processed = runner.run(p, *p.script_args)
        if processed is None:
            processed = processing.process_images(p)
    shared.total_tqdm.clear()
    shown = [] if opts.do_not_show_images else [_shown(each) for each in processed.images]
    return shown, processed.js(), as_html(processed.info), as_html(processed.comments, "comments")


def _shown(picture: Any) -> Any:
    return getattr(picture, "already_saved_as", picture)


def as_html(text: str, classname: str = "") -> str:
    """Return text as a page shows it."""
    lines = "<br>\n".join(html.escape(each) for each in text.split("\n"))
    return f"<p class='{classname}'>{lines}</p>" if classname else f"<p>{lines}</p>"
