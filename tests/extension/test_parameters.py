"""The WebUI's form as parameters: nothing lost, nothing asked for that nobody asked for."""

import base64
import io
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from webui_form import Runner, Script, img2img, txt2img

from atelier_webui import abilities, pictures
from atelier_webui.abilities import EVERYTHING
from atelier_webui.errors import Problem, Unsupported
from atelier_webui.parameters import read

sys.path.append(str(Path(__file__).parents[2] / "images" / "training" / "diffusion"))

from diffusion import params, samplers
from diffusion.errors import Invalid

PLAIN = {
    "prompt": "a cat",
    "negative_prompt": "",
    "cfg_scale": 7.0,
    "steps": 20,
    "width": 512,
    "height": 512,
    "batch_size": 1,
    "n_iter": 1,
    "sampler_name": "DPM++ 2M",
    "scheduler": "Automatic",
    "seed": 7,
}


def asked(processing, *args, **more):
    return dict(read(processing, args, draw=lambda: 7, **more).payload)


def opened(text):
    return Image.open(io.BytesIO(base64.b64decode(text, validate=True)))


def test_a_form_that_nobody_touched_asks_for_nothing_else():
    assert PLAIN == asked(txt2img())


def test_everything_on_the_form_goes_along():
    form = txt2img(
        prompt="a (dog:1.2)",
        negative_prompt="fog",
        steps=33,
        cfg_scale=4.5,
        width=640,
        height=448,
        batch_size=2,
        n_iter=3,
        sampler_name="Euler a",
        scheduler="Normal",
        seed=42,
    )

    found = read(form)

    assert {
        **PLAIN,
        **{"prompt": "a (dog:1.2)", "negative_prompt": "fog", "steps": 33, "cfg_scale": 4.5, "seed": 42},
        **{"width": 640, "height": 448, "batch_size": 2, "n_iter": 3},
        **{"sampler_name": "Euler a", "scheduler": "Normal"},
    } == found.payload
    assert ("txt2img", 6) == (found.task, found.count)


def test_numbers_that_a_page_sends_as_fractions_are_whole_again():
    assert PLAIN == asked(txt2img(width=512.0, steps=20.0, n_iter=1.0, seed=7.0))


@pytest.mark.parametrize("seed", [-1, -1.0, None, "", "-1"])
def test_a_seed_that_is_not_given_is_drawn_once(seed):
    assert 7 == asked(txt2img(seed=seed))["seed"]


@pytest.mark.parametrize("seed", ["seven", [1], math.nan])
def test_a_seed_that_is_no_number_is_refused(seed):
    with pytest.raises(Problem, match="seed must be a whole number"):
        read(txt2img(seed=seed))


HIRES = {
    "enable_hr": True,
    "denoising_strength": 0.7,
    "hr_scale": 1.5,
    "hr_upscaler": "R-ESRGAN 4x+",
    "hr_second_pass_steps": 12,
    "hr_prompt": "sharp",
}
FEATURES = [
    ("Hires. fix", HIRES),
    ("Refiner", {"refiner_checkpoint": "xl_refiner", "refiner_switch_at": 0.8}),
    ("Restore faces", {"restore_faces": True}),
    ("Tiling", {"tiling": True}),
    ("Variation seed", {"subseed": 9, "subseed_strength": 0.3}),
    ("Resize seed", {"seed_resize_from_w": 256, "seed_resize_from_h": 256}),
    ("Sampler parameters (eta, sigma)", {"eta": 0.5}),
    ("Sampler parameters (eta, sigma)", {"s_churn": 1.0, "s_tmax": 2.0}),
    ("Distilled CFG scale", {"distilled_cfg_scale": 2.5}),
]


@pytest.mark.parametrize(("name", "wanted"), FEATURES)
def test_what_our_image_cannot_do_is_refused_by_the_forms_own_name(name, wanted):
    with pytest.raises(Unsupported) as caught:
        read(txt2img(**wanted))

    assert (name,) == caught.value.names


@pytest.mark.parametrize(("name", "wanted"), FEATURES)
def test_what_another_image_may_be_able_to_do_goes_along(name, wanted):
    found = asked(txt2img(**wanted), abilities=EVERYTHING)

    assert wanted.items() <= found.items()


def test_everything_that_cannot_be_done_is_named_at_once():
    form = txt2img(enable_hr=True, tiling=True, prompt="<hypernet:style:1> a <lora:b:1> cat")

    with pytest.raises(Unsupported) as caught:
        read(form)

    assert ("Hires. fix", "Tiling", "the extra network <hypernet:style:1> in a prompt") == caught.value.names
    assert "Nothing was sent" in str(caught.value)


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("<hypernet:a:1>", "the extra network <hypernet:a:1> in a prompt"),
        ("a [cat:dog:0.5]", "the prompt editing [cat:dog:0.5]"),
        ("a [cat|dog]", "the alternation [cat|dog] in a prompt"),
        ("a cat AND a dog", "AND in a prompt"),
    ],
)
@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_a_prompt_with_more_than_words_and_attention_is_refused(prompt, name, field):
    with pytest.raises(Unsupported) as caught:
        read(txt2img(**{field: prompt}))

    assert (name,) == caught.value.names


@pytest.mark.parametrize(
    "prompt", ["a [cat]", r"a \[cat:dog:0.5\]", "((very)) [[little]]", "SAND", "a | b", "1 < 2 > 1"]
)
def test_a_prompt_of_words_and_attention_is_fine(prompt):
    assert prompt == asked(txt2img(prompt=prompt))["prompt"]


@pytest.mark.parametrize(
    ("sampler", "scheduler", "name"),
    [
        ("Restart", "Automatic", "the sampling method Restart"),
        ("DDIM", "Karras", "the schedule type Karras with DDIM"),
        ("Euler", "KL Optimal", "the schedule type KL Optimal with Euler"),
    ],
)
def test_a_sampler_or_a_schedule_that_is_not_there_is_refused(sampler, scheduler, name):
    with pytest.raises(Unsupported) as caught:
        read(txt2img(sampler_name=sampler, scheduler=scheduler))

    assert (name,) == caught.value.names


def test_our_image_has_the_samplers_that_it_is_said_to_have():
    assert {name: each.schedules for name, each in samplers.SAMPLERS.items()} == abilities.OWN_IMAGE.samplers


@pytest.mark.parametrize("sampler", samplers.SAMPLERS)
@pytest.mark.parametrize("schedule", ["Automatic", *samplers.SCHEDULES, "karras", "SGM_Uniform"])
def test_our_image_takes_what_is_not_refused_here_and_nothing_else(sampler, schedule):
    def refused(check):
        try:
            check()
        except (Invalid, Unsupported):
            return True
        return False

    form = txt2img(sampler_name=sampler, scheduler=schedule)

    assert refused(lambda: samplers.choose(sampler, schedule)) == refused(lambda: read(form))


@pytest.mark.parametrize(
    "form",
    [
        txt2img(),
        txt2img(seed=5, batch_size=4, n_iter=8, disable_extra_networks=True),
        txt2img(override_settings={"CLIP_stop_at_last_layers": 2, "samples_format": "jpg"}),
        txt2img(prompt="漢字 😀 \0 \x7f", negative_prompt="(a:1.1), [b]"),
        img2img(),
        img2img(Image.new("RGBA", (100, 50)), resize_mode=1),
        img2img(Image.new("L", (100, 50)), resize_mode=2, denoising_strength=0),
        img2img(image_mask=Image.new("L", (64, 64)), inpaint_full_res=1, inpainting_mask_invert=1),
        img2img(image_mask=Image.new("RGBA", (9, 9)), inpaint_full_res=0, resize_mode=1, mask_blur_x=64),
    ],
)
def test_our_image_reads_what_is_sent(form):
    found = read(form)

    wish = params.parse(found.task, json.loads(json.dumps(found.payload)))

    assert (form.prompt, found.count) == (wish.prompt, len(wish.seeds))


@pytest.mark.parametrize("prompt", ["\ud83d", "a \udc00 b", "\ud83d\ude00"])
def test_half_a_character_is_not_sent(prompt):
    sent = asked(txt2img(prompt=prompt))["prompt"]

    assert sent == sent.encode().decode()
    assert "\ud83d\ude00" != prompt or "😀" == sent


def test_prompts_from_every_block_of_unicode_arrive_as_they_are():
    for start in range(0, 0x110000, 0x80):
        prompt = "".join(chr(each) for each in range(start, start + 0x80) if not 0xD800 <= each < 0xE000)
        if not any(pattern.search(prompt) for pattern in abilities.SYNTAX.values()):
            assert prompt == asked(txt2img(prompt=prompt))["prompt"]


def test_several_prompts_at_once_are_refused():
    with pytest.raises(Unsupported, match="more than one prompt"):
        read(txt2img(prompt=["a", "b"]))


def test_a_style_that_was_not_worked_in_is_refused_by_name():
    with pytest.raises(Unsupported, match="the style Noir"):
        read(txt2img(styles=["Noir"]))


def test_settings_that_change_an_image_go_along_and_those_that_do_not_stay():
    options = {
        "CLIP_stop_at_last_layers": 2,
        "samples_format": "jpg",
        "eta_noise_seed_delta": 0,
        "theme": "x",
    }

    assert {"CLIP_stop_at_last_layers": 2} == asked(txt2img(), options=options)["override_settings"]
    assert "override_settings" not in asked(txt2img(), options={"CLIP_stop_at_last_layers": 1})


def test_what_a_form_overrides_wins_over_the_setting():
    form = txt2img(override_settings={"CLIP_stop_at_last_layers": 3, "sd_model_checkpoint": "local.ckpt"})

    assert {"CLIP_stop_at_last_layers": 3} == asked(form, options={"CLIP_stop_at_last_layers": 2})[
        "override_settings"
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eta_noise_seed_delta", 31337),
        ("tiling", True),
        ("token_merging_ratio", 0.5),
    ],
)
def test_a_setting_that_our_image_does_not_obey_is_refused_by_name(name, value):
    with pytest.raises(Unsupported, match=f"the setting {name}"):
        read(txt2img(), options={name: value})


def test_settings_of_img2img_count_there_alone():
    options = {"img2img_color_correction": True}

    assert PLAIN == asked(txt2img(), options=options)
    with pytest.raises(Unsupported, match="the setting img2img_color_correction"):
        read(img2img(), options=options)


def test_img2img_sends_its_image_as_large_as_it_is_painted():
    found = read(img2img(Image.new("RGB", (1000, 700), "red"), width=128, height=64))

    (text,) = found.payload["init_images"]
    assert ("img2img", 0.75) == (found.task, found.payload["denoising_strength"])
    assert ((128, 64), (255, 0, 0)) == (opened(text).size, opened(text).getpixel((5, 5)))


@pytest.mark.parametrize(
    ("mode", "size", "left", "middle"),
    [(0, (200, 100), "red", "lime"), (1, (200, 100), "lime", "lime"), (2, (100, 200), "red", "lime")],
)
def test_an_image_is_resized_as_the_form_says(mode, size, left, middle):
    """Red, green, red in three stripes: cropping cuts the red off, filling draws it out."""
    image = Image.new("RGB", size, "red")
    image.paste("lime", (size[0] // 4, 0, 3 * size[0] // 4, size[1]))

    fitted = pictures.fit(image, 64, 64, mode)

    assert (64, 64) == fitted.size
    colours = {"red": (255, 0, 0), "lime": (0, 255, 0)}
    assert [colours[left], colours[middle]] == [fitted.getpixel((1, 32)), fitted.getpixel((32, 32))]


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (333, 777), (64, 64)])
@pytest.mark.parametrize("mode", [0, 1, 2])
def test_an_image_of_any_size_fits(size, mode):
    assert (96, 32) == pictures.fit(Image.new("RGB", size), 96, 32, mode).size


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F", "YCbCr"])
def test_an_image_of_any_kind_is_sent(mode):
    (text,) = read(img2img(Image.new(mode, (10, 10)), width=64, height=64)).payload["init_images"]

    assert ("PNG", (64, 64)) == (opened(text).format, opened(text).size)


def test_an_image_takes_nothing_along_of_where_it_comes_from():
    image = Image.new("RGB", (64, 64))
    image.info.update(parameters="a private prompt", exif=b"Exif\0\0here", icc_profile=b"x" * 10)

    (text,) = read(img2img(image, width=64, height=64)).payload["init_images"]

    assert {} == opened(text).info


def test_the_same_image_for_a_whole_batch_is_one():
    image = Image.new("RGB", (8, 8))

    assert 1 == len(read(img2img(image, image, image, batch_size=3)).payload["init_images"])


def test_several_images_to_start_from_are_refused():
    with pytest.raises(Unsupported, match="several images"):
        read(img2img(Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8))))


@pytest.mark.parametrize("images", [[], [None], None])
def test_img2img_needs_an_image(images):
    with pytest.raises(Problem, match="no image to start from"):
        read(img2img(init_images=images))


def test_a_mask_goes_along_with_all_that_is_said_of_it():
    mask = Image.new("L", (1000, 700), 255)
    form = img2img(
        Image.new("RGB", (1000, 700), "red"),
        image_mask=mask,
        mask_blur_x=8,
        mask_blur_y=8,
        inpaint_full_res=True,
        inpainting_fill=0,
        resize_mode=1,
    )

    found = asked(form)

    assert (1000, 700) == opened(found["init_images"][0]).size == opened(found["mask"]).size
    told = {"mask_blur_x": 8, "mask_blur_y": 8, "inpaint_full_res": True, "inpainting_fill": 0}
    assert told == {name: found[name] for name in told}
    assert "resize_mode" not in found


@pytest.mark.parametrize(("mode", "size"), [(0, (200, 100)), (1, (200, 100)), (2, (100, 200))])
def test_a_mask_is_resized_with_its_image_where_the_whole_of_it_is_painted(mode, size):
    """The mask lies on what is green: there it stays, however both are resized."""
    image, mask = Image.new("RGB", size, "red"), Image.new("L", size)
    for each, colour in ((image, "lime"), (mask, 255)):
        each.paste(colour, (size[0] // 4, size[1] // 4, 3 * size[0] // 4, 3 * size[1] // 4))

    found = asked(img2img(image, image_mask=mask, width=64, height=64, resize_mode=mode))

    painted, masked = opened(found["init_images"][0]), opened(found["mask"])
    assert (64, 64) == painted.size == masked.size
    for place in ((32, 32), (1, 1), (32, 2), (62, 32)):
        assert (painted.getpixel(place)[1] > 128) == (masked.getpixel(place) > 128)


def test_without_a_mask_nothing_is_said_of_one():
    assert not [name for name in asked(img2img()) if "mask" in name or "inpaint" in name]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("Latent mask", {"latent_mask": Image.new("L", (64, 64))}),
        ("Resize mode", {"resize_mode": 3}),
        ("Noise multiplier", {"initial_noise_multiplier": 1.2}),
    ],
)
def test_what_our_image_cannot_do_with_an_image_is_refused_by_name(name, changes):
    with pytest.raises(Unsupported) as caught:
        read(img2img(**changes))

    assert (name,) == caught.value.names


def test_a_selected_script_is_refused_by_name():
    form = txt2img(scripts=Runner(selectable_scripts=[Script("Prompt matrix"), Script("X/Y/Z plot")]))

    with pytest.raises(Unsupported, match=r"the script X/Y/Z plot\. Nothing"):
        read(form, [2])


@pytest.mark.parametrize("args", [[], [0], [None], [False]])
def test_no_selected_script_is_none(args):
    assert PLAIN == asked(txt2img(scripts=Runner(selectable_scripts=[Script("X/Y/Z plot")])), *args)


def test_our_own_scripts_are_not_refused():
    ours = Runner([Script("Generate on Atelier")], [Script("Atelier", 1, 3)])

    read(txt2img(scripts=ours), [1, True, "mine"], own=("Atelier", "Generate on Atelier"))


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([True, 0.5], ("the script ADetailer",)),
        ([False, 0.5], ()),
        ([{"enabled": True}, {"enabled": False}], ("the script ADetailer unit 1",)),
        ([SimpleNamespace(enabled=False), SimpleNamespace(enabled=True)], ("the script ADetailer unit 2",)),
        ([None, 1], ()),
    ],
)
def test_a_script_that_is_switched_on_is_refused_by_name(given, names):
    form = txt2img(scripts=Runner(alwayson_scripts=[Script("ADetailer", 1, 3)]))

    try:
        read(form, [0, *given])
        found = ()
    except Unsupported as error:
        found = error.names

    assert names == found


def test_scripts_whose_word_is_on_the_form_are_not_refused():
    runner = Runner(alwayson_scripts=[Script("Seed", 1, 2), Script("Refiner", 2, 3), Script("Odd", 9, 12)])

    assert PLAIN == asked(txt2img(scripts=runner), 0, True, True)


def test_a_form_without_scripts_is_fine():
    assert PLAIN == asked(txt2img(scripts=None))
