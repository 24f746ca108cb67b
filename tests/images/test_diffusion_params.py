from __future__ import annotations

import pytest
from diffusion import params, samplers
from diffusion.errors import Invalid
from diffusion.masks import FILL, NOISE, Masking
from diffusion.params import Wish

#: What a WebUI sends of its sdapi form when an artist touched nothing but the prompt.
WHOLE = {
    "prompt": "a cat",
    "negative_prompt": "",
    "styles": [],
    "seed": -1,
    "subseed": -1,
    "subseed_strength": 0,
    "seed_resize_from_h": -1,
    "seed_resize_from_w": -1,
    "sampler_name": None,
    "scheduler": None,
    "batch_size": 1,
    "n_iter": 1,
    "steps": 50,
    "cfg_scale": 7.0,
    "width": 512,
    "height": 512,
    "restore_faces": None,
    "tiling": None,
    "do_not_save_samples": False,
    "do_not_save_grid": False,
    "eta": None,
    "denoising_strength": 0.7,
    "s_min_uncond": None,
    "s_churn": None,
    "s_tmax": None,
    "s_tmin": None,
    "s_noise": None,
    "override_settings": None,
    "override_settings_restore_afterwards": True,
    "refiner_checkpoint": None,
    "refiner_switch_at": None,
    "disable_extra_networks": False,
    "firstpass_image": None,
    "comments": None,
    "enable_hr": False,
    "firstphase_width": 0,
    "firstphase_height": 0,
    "hr_scale": 2.0,
    "hr_upscaler": None,
    "hr_second_pass_steps": 0,
    "hr_resize_x": 0,
    "hr_resize_y": 0,
    "hr_checkpoint_name": None,
    "hr_sampler_name": None,
    "hr_scheduler": None,
    "hr_prompt": "",
    "hr_negative_prompt": "",
    "force_task_id": None,
    "sampler_index": "Euler",
    "script_name": None,
    "script_args": [],
    "send_images": True,
    "save_images": False,
    "alwayson_scripts": {},
    "infotext": None,
}
MASK = {"mask": None, "mask_blur": 4, "inpainting_fill": 0, "inpaint_full_res": True, "image_cfg_scale": 1.5}


def parse(task_type: str = "txt2img", **given) -> Wish:
    return params.parse(task_type, given, draw=lambda: 42)


def test_a_form_that_says_nothing_gets_the_webuis_defaults():
    wish = parse()

    assert Wish(seed=42, choice=samplers.choose("Euler", "Automatic")) == wish
    assert (50, 7.0, 512, 512, [42]) == (wish.steps, wish.cfg_scale, wish.width, wish.height, wish.seeds)


def test_the_webuis_whole_form_is_as_good_as_its_prompt_alone():
    assert parse(prompt="a cat") == parse(**WHOLE)


def test_img2img_takes_a_picture_and_the_fields_of_a_mask_that_is_not_there():
    wish = parse("img2img", **(WHOLE | MASK), init_images=["cGlj"], resize_mode=0, include_init_images=False)

    assert ("cGlj", 0.7) == (wish.picture, wish.denoising_strength)


def test_a_mask_is_meant_as_the_webuis_api_means_it():
    masking = parse("img2img", init_images=["x"], mask="bWFzaw==").masking

    assert Masking(mask="bWFzaw==", blur=(4, 4), content=FILL, only_masked=True, padding=0) == masking
    assert parse("img2img", init_images=["x"], mask_blur=9).masking is None


def test_a_mask_is_taken_as_it_is_described():
    said = {"inpainting_fill": 2, "inpaint_full_res": False, "inpainting_mask_invert": 1, "mask_round": False}

    masking = parse("img2img", init_images=["x"], mask="x", mask_blur=9, mask_blur_x=0, **said).masking

    assert (
        Masking(mask="x", blur=(0, 9), content=NOISE, only_masked=False, inverted=True, rounded=False)
        == masking
    )


def test_txt2img_has_no_strength_whatever_the_form_says():
    assert parse(denoising_strength=0.5).denoising_strength is None


def test_each_image_has_a_seed_of_its_own():
    assert [7, 8, 9, 10, 11, 12] == parse(seed=7, batch_size=2, n_iter=3).seeds


def test_a_seed_that_is_left_open_is_drawn():
    assert params.parse("txt2img", {}).seed != params.parse("txt2img", {}).seed


@pytest.mark.parametrize("form", [{"clip_skip": 2}, {"override_settings": {"CLIP_stop_at_last_layers": 2}}])
def test_clip_skip_has_two_names(form):
    assert 2 == parse(**form).clip_skip


def test_a_checkpoint_is_named_in_the_overridden_settings():
    settings = {"sd_model_checkpoint": "tiny.safetensors [abc]", "sd_vae": "Automatic", "randn_source": "CPU"}

    assert "tiny.safetensors [abc]" == parse(override_settings=settings).checkpoint


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"prompt": 7}, "params.prompt must be a text of at most 8000 characters"),
        ({"prompt": "\ud800"}, "params.prompt must be a text"),
        ({"negative_prompt": "x" * 8001}, "params.negative_prompt must be a text of at most 8000"),
        ({"steps": 0}, "params.steps must be a whole number from 1 to 150"),
        ({"steps": "20"}, "params.steps must be a whole number"),
        ({"steps": 20.5}, "params.steps must be a whole number"),
        ({"steps": True}, "params.steps must be a whole number"),
        ({"cfg_scale": 0.5}, "params.cfg_scale must be a number from 1 to 30"),
        ({"width": 100}, "params.width must be a multiple of 8"),
        ({"height": 2056}, "params.height must be a whole number from 64 to 2048"),
        ({"batch_size": 9}, "params.batch_size must be a whole number from 1 to 8"),
        ({"batch_size": 8, "n_iter": 5}, "batch_size times n_iter must be at most 32"),
        ({"seed": -2}, "params.seed must be a whole number from -1"),
        ({"seed": 2**53}, "params.seed must be a whole number from -1"),
        ({"clip_skip": 13}, "params.clip_skip must be a whole number from 1 to 12"),
        (
            {"clip_skip": 3, "override_settings": {"CLIP_stop_at_last_layers": 2}},
            "clip_skip and override_settings.CLIP_stop_at_last_layers are not the same",
        ),
        ({"override_settings": []}, "params.override_settings must be a JSON object"),
        ({"override_settings": {"sd_vae": 1}}, "override_settings.sd_vae must be a text"),
        ({"prompt": "<hypernet:cat:1>"}, "params.prompt has an extra network '<hypernet:cat:1>'"),
        ({"prompt": "<lora::1>"}, "'<lora::1>', which is not like <lora:name:0.8>"),
        ({"prompt": "<lora:cat:much>"}, "'much' is no number from -100 to 100"),
        ({"prompt": "<lora:cat:nan>"}, "'nan' is no number from -100 to 100"),
        ({"prompt": "<lora:cat:1:1:1>"}, "which is not like <lora:name:0.8>"),
        ({"prompt": "<lora:cat:dyn=4>"}, "which is not like <lora:name:0.8>"),
        ({"prompt": "<lora:cat>" * 51}, "at most 50 LoRAs, not 51"),
        ({"negative_prompt": "<lora:cat>"}, "params.negative_prompt has an extra network '<lora:cat>'"),
        ({"override_settings": {"randn_source": "GPU"}}, "override_settings.randn_source is not supported"),
        ({"override_settings": {"new": 1}}, "override_settings.new is not a parameter"),
        ({"enable_hr": True}, "enable_hr is not supported: leave it out, or False"),
        ({"enable_hr": 0}, "enable_hr is not supported"),
        ({"restore_faces": True}, "restore_faces is not supported"),
        ({"tiling": True}, "tiling is not supported"),
        ({"styles": ["photo"]}, "styles is not supported"),
        ({"subseed_strength": 0.1}, "subseed_strength is not supported"),
        ({"eta": 0.5}, "eta is not supported: leave it out"),
        ({"alwayson_scripts": {"ControlNet": {}}}, "alwayson_scripts is not supported"),
        ({"script_name": "X/Y/Z plot"}, "script_name is not supported"),
        ({"init_images": ["x"]}, "init_images is not a parameter that txt2img knows"),
        ({"mask_blur": 4}, "mask_blur is not a parameter that txt2img knows"),
        ({"tempreature": 1}, "tempreature is not a parameter that txt2img knows"),
    ],
)
def test_what_is_wrong_is_said_by_name(form, expected):
    with pytest.raises(Invalid, match=expected):
        parse(**form)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({}, "params.init_images must be a list with one image in base64"),
        ({"init_images": "x"}, "params.init_images must be a list with one image"),
        ({"init_images": ["x", "y"]}, "params.init_images must be a list with one image"),
        (
            {"init_images": ["x"], "denoising_strength": 1.1},
            "denoising_strength must be a number from 0 to 1",
        ),
        ({"init_images": ["x"], "resize_mode": 1}, "resize_mode is not supported: leave it out, or 0"),
        ({"init_images": ["x"], "mask": 7}, "mask must be an image in base64"),
        (
            {"init_images": ["x"], "mask": "x", "mask_blur": 65},
            "mask_blur must be a whole number from 0 to 64",
        ),
        ({"init_images": ["x"], "mask": "x", "inpainting_fill": 4}, "inpainting_fill must be a whole number"),
        (
            {"init_images": ["x"], "mask": "x", "inpaint_full_res": 1},
            "inpaint_full_res must be true or false",
        ),
        ({"init_images": ["x"], "latent_mask": "x"}, "latent_mask is not supported"),
    ],
)
def test_what_is_wrong_with_img2img_is_said_by_name(form, expected):
    with pytest.raises(Invalid, match=expected):
        parse("img2img", **form)


@pytest.mark.parametrize("given", [None, [], "x", 7])
def test_params_are_an_object(given):
    with pytest.raises(Invalid, match="params must be a JSON object"):
        params.parse("txt2img", given)


@pytest.mark.parametrize(
    ("name", "schedule", "sampler", "found"),
    [
        ("Euler a", None, "Euler a", "Automatic"),
        ("DPM++ 2M", "Karras", "DPM++ 2M", "Karras"),
        ("DPM++ 2M Karras", None, "DPM++ 2M", "Karras"),
        ("DPM++ 2M SDE Exponential", "Automatic", "DPM++ 2M SDE", "Exponential"),
        ("dpm++ sde", "karras", "DPM++ SDE", "Karras"),
        ("UniPC", "automatic", "UniPC", "Automatic"),
        ("Euler", "sgm_uniform", "Euler", "SGM Uniform"),
    ],
)
def test_samplers_and_schedules_have_the_webuis_names(name, schedule, sampler, found):
    choice = parse(sampler_name=name, scheduler=schedule).choice

    assert (sampler, found) == (choice.sampler, choice.schedule)


def test_the_older_name_of_a_sampler_counts_when_the_newer_is_missing():
    assert "Heun" == parse(sampler_index="Heun").choice.sampler
    assert "LMS" == parse(sampler_index="Heun", sampler_name="LMS").choice.sampler


@pytest.mark.parametrize(
    ("name", "schedule", "expected"),
    [
        ("Restart", "Automatic", "sampler_name 'Restart' is not supported; known are DPM\\+\\+ 2M, "),
        ("Euler Karras", "Beta", "sampler_name 'Euler Karras' is not supported"),
        ("Euler", "Align Your Steps", "scheduler 'Align Your Steps' is not supported; known are Automatic, "),
        ("Euler a", "Karras", "scheduler Karras does not go with sampler Euler a; with it go Automatic, Uni"),
        ("DDIM", "Karras", "scheduler Karras does not go with sampler DDIM; with it go Automatic$"),
    ],
)
def test_a_sampler_or_schedule_that_is_not_here_is_refused_by_name(name, schedule, expected):
    with pytest.raises(Invalid, match=expected):
        samplers.choose(name, schedule)


def test_automatic_is_what_the_webui_takes_for_each_sampler():
    chosen = {
        name: samplers.choose(name, "Automatic").options for name in ("DPM++ 2M", "DPM++ 2M SDE", "Euler")
    }

    assert {"use_karras_sigmas": True} == chosen["DPM++ 2M"]
    assert chosen["DPM++ 2M SDE"]["use_exponential_sigmas"]
    assert {} == chosen["Euler"]
