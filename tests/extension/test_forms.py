"""Forms that are too large for one job, and the infotexts of forms."""

import pytest

from atelier_webui import infotexts
from atelier_webui.forms import Form


def form(**payload):
    return Form(
        task="txt2img", payload={"prompt": "a cat", "width": 512, "height": 512, "seed": 100, **payload}
    )


def images(parts, name="seed"):
    """The seed of each image, as the cloud counts it."""
    return [each.payload[name] + number for each in parts for number in range(each.count)]


@pytest.mark.parametrize(
    ("batch_size", "n_iter"),
    [(1, 1), (8, 4), (1, 32), (1, 33), (8, 100), (3, 11), (7, 5), (100, 1), (9, 9), (1, 1000)],
)
@pytest.mark.parametrize("side", [64, 512, 1024, 2048])
def test_every_image_is_asked_for_once_and_in_order(batch_size, n_iter, side):
    parts = form(batch_size=batch_size, n_iter=n_iter, width=side, height=side).parts()

    assert list(range(100, 100 + batch_size * n_iter)) == images(parts)
    assert all(each.payload["batch_size"] <= 8 and each.count <= 32 for each in parts)
    assert all(each.count * side * side <= 16 * 1024 * 1024 for each in parts)


def test_a_form_that_is_small_stays_as_it_is():
    whole = form(batch_size=4, n_iter=8)

    assert [whole] == whole.parts()


def test_the_variation_alone_moves_when_there_is_one():
    parts = form(n_iter=40, subseed=7, subseed_strength=0.2).parts()

    assert {100} == {each.payload["seed"] for each in parts}
    assert list(range(7, 47)) == images(parts, "subseed")


def test_the_size_after_hires_fix_counts():
    parts = form(n_iter=16, enable_hr=True, hr_scale=4.0).parts()

    assert [4] * 4 == [each.count for each in parts]


def test_even_the_largest_image_is_a_job():
    assert [1, 1] == [each.count for each in form(n_iter=2, width=16384, height=16384).parts()]


def test_an_infotext_says_what_was_asked():
    asked = form(
        negative_prompt="fog",
        steps=20,
        sampler_name="Euler a",
        cfg_scale=7.0,
        override_settings={"CLIP_stop_at_last_layers": 2},
    )

    assert (
        "a cat\nNegative prompt: fog\n"
        "Steps: 20, Sampler: Euler a, CFG scale: 7.0, Seed: 100, Size: 512x512, Clip skip: 2, Model: tiny"
    ) == infotexts.write(asked, "tiny.safetensors")


def test_what_would_be_read_as_the_next_fact_is_quoted():
    assert 'Model: "a, b: c"' in infotexts.write(form(), "a, b: c.safetensors")
