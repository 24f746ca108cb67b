from __future__ import annotations

import json

from diffusion import infotext, params
from diffusion.infotext import Maker

MAKER = Maker(model="tiny", sha256="0123456789abcdef" * 4, version="diffusers 0.42.1")


def wish(task_type: str = "txt2img", **form) -> params.Wish:
    return params.parse(task_type, {"prompt": "a cat", "seed": 7, "steps": 20, **form})


def test_an_infotext_is_what_the_webui_writes():
    form = {"negative_prompt": "a dog", "sampler_name": "DPM++ 2M", "scheduler": "Karras", "width": 640}

    assert (
        "a cat\n"
        "Negative prompt: a dog\n"
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.0, Seed: 8, Size: 640x512, "
        "Model hash: 0123456789, Model: tiny, RNG: CPU, Version: diffusers 0.42.1"
    ) == infotext.text(wish(**form), 8, MAKER)


def test_what_was_not_asked_for_is_not_told():
    text = infotext.text(wish(), 7, MAKER)

    assert not any(each in text for each in ("Negative prompt", "Denoising strength", "Clip skip"))


def test_img2img_tells_its_strength_and_clip_skip_is_told_when_it_skips():
    asked = wish("img2img", init_images=["x"], denoising_strength=0.4, clip_skip=2)

    assert "Model: tiny, Denoising strength: 0.4, Clip skip: 2, RNG: CPU" in infotext.text(asked, 7, MAKER)


def test_a_mask_is_told_as_the_webui_tells_it():
    form = {"init_images": ["x"], "mask": "x", "mask_blur": 8, "inpaint_full_res_padding": 32}

    expected = "Mask blur: 8, Inpaint area: Only masked, Masked area padding: 32, Masked content: fill"
    assert expected in infotext.text(wish("img2img", **form), 7, MAKER)
    assert "Mask" not in infotext.text(wish("img2img", init_images=["x"]), 7, MAKER)


def test_a_name_that_reads_like_facts_is_quoted():
    maker = Maker(model="a, Seed: 1", sha256="0" * 64, version="v")

    assert 'Model: "a, Seed: 1", RNG' in infotext.text(wish(), 7, maker)


def test_the_info_lists_every_image():
    info = json.loads(infotext.info(wish(batch_size=2, n_iter=2, clip_skip=2), MAKER, "20000101000000"))

    assert [7, 8, 9, 10] == info["all_seeds"]
    assert [f"Seed: {seed}," in text for seed, text in zip(range(7, 11), info["infotexts"], strict=True)]
    assert (7, 4, "0123456789", 2) == (
        info["seed"],
        len(info["all_prompts"]),
        info["sd_model_hash"],
        info["clip_skip"],
    )
