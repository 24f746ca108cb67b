"""What a training may ask for: read strictly, and told in the documents as it is."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from diffusion import buckets, recipe, schedule
from diffusion.errors import Invalid
from diffusion.recipe import Recipe, Side
from diffusion.trainings import check_samples

from atelier.contract.api import trainings

DOCUMENT = Path(__file__).parents[2] / "docs" / "training.md"


def parsed(**config_params: object) -> Recipe:
    return recipe.parse({"params": {"config_params": {"output_name": "cat", **config_params}}})


def test_defaults_are_those_of_a_stable_diffusion():
    usual = parsed()

    assert (Side(width=512, height=512), 16, 16.0, (1e-4, 0.0)) == (
        usual.resolution,
        usual.network_dim,
        usual.alpha,
        usual.rates,
    )


def test_forms_that_know_texts_alone_are_understood():
    said = parsed(network_dim="8", learning_rate="1e-3", flip_aug="True", resolution="64,128")

    assert (8, 0.001, True, Side(width=64, height=128)) == (
        said.network_dim,
        said.learning_rate,
        said.flip_aug,
        said.resolution,
    )


def test_the_text_encoder_learns_half_as_fast_unless_told_otherwise():
    assert (1e-3, 5e-4) == parsed(network_train_unet_only=False, learning_rate=1e-3).rates
    assert (1e-3, 1e-5) == parsed(
        network_train_unet_only=False, learning_rate=1e-3, text_encoder_lr=1e-5
    ).rates


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"network_dims": 8}, "params.config_params.network_dims is not supported; known are output_name, "),
        ({"output_name": None}, "params.config_params.output_name is missing"),
        ({"output_name": "../cat"}, "output_name must be 1 to 80 of A-Z"),
        ({"network_dim": 0}, "network_dim must be a whole number from 1 to 128, not '0'"),
        ({"network_dim": 8.5}, "network_dim must be a whole number"),
        ({"network_dim": True}, "network_dim must be a whole number"),
        ({"network_dim": [8]}, "network_dim must be a whole number"),
        ({"learning_rate": "nan"}, "learning_rate must be a number from 1e-09 to 1"),
        ({"learning_rate": "much"}, "learning_rate must be a number"),
        ({"seed": 10**400}, "seed must be a whole number"),
        ({"flip_aug": "perhaps"}, "flip_aug must be true or false"),
        ({"optimizer_type": "AdamW8bit"}, "optimizer_type must be one of AdamW, Adam, SGD"),
        ({"resolution": 100}, "resolution must be a multiple of 8 from 64 to 2048"),
        ({"resolution": "1,2,3"}, "resolution must be a multiple of 8"),
        (
            {"resolution": 2048},
            "resolution 2048 must lie between min_bucket_reso 256 and max_bucket_reso 1024",
        ),
        ({"bucket_reso_steps": 12}, "bucket_reso_steps must be a multiple of 8"),
        ({"max_token_length": 100}, "max_token_length must be 75, 150 or 225"),
        ({"unet_lr": 0}, "unet_lr and text_encoder_lr leave nothing to train"),
        ({"lr_warmup_steps": 10}, "lr_warmup_steps goes with another lr_scheduler"),
        ({"sample_prompts": ["a"] * 9}, "sample_prompts must be at most 8 prompts"),
        ({"sample_prompts": [1]}, "sample_prompts must be at most 8 prompts"),
    ],
    ids=lambda given: "" if isinstance(given, str) else next(iter(given)),
)
def test_what_would_not_happen_is_refused_by_name(given, complaint):
    with pytest.raises(Invalid) as refused:
        parsed(**given)

    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({}, "params must be a JSON object"),
        ({"params": {}}, "params.config_params must be a JSON object"),
        ({"lora_train_type": "lycoris"}, "lora_train_type must be kohya, not 'lycoris'"),
        ({"params": {"enable_wd14_tagger": True}}, "params.enable_wd14_tagger is not supported"),
        ({"params": {"training_params": {"fm_type": "sd_xl"}}}, "fm_type must be sd_1_5, not 'sd_xl'"),
    ],
)
def test_requests_of_another_kind_are_refused(config, complaint):
    with pytest.raises(Invalid, match=re.escape(complaint)):
        recipe.parse(config)


def test_the_api_takes_what_the_container_takes():
    assert {each.name for each in fields(Recipe)} == set(trainings.CONFIG_PARAMS)


def test_the_document_lists_every_key_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", DOCUMENT.read_text(), re.MULTILINE)

    assert [
        (each.name, each.metadata["expected"], shown(each.default), each.metadata["what"])
        for each in fields(Recipe)
    ] == rows


def shown(default: object) -> str:
    if default is MISSING:
        return "**required**"
    if default in (None, "", ()):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_buckets_have_about_the_same_area_and_every_image_finds_the_nearest_ratio():
    usual = parsed()
    choices = buckets.sizes(usual)

    assert all(each.width % 64 == each.height % 64 == 0 for each in choices)
    assert all(each.width * each.height <= 512 * 512 for each in choices)
    assert {256, 1024} == {min(each.width for each in choices), max(each.width for each in choices)}
    ratios = {(3000, 2000): (640, 384), (100, 100): (512, 512), (10, 1000): (256, 1024)}
    assert ratios == {
        size: (found.width, found.height)
        for size in ratios
        for found in [buckets.cut(size, choices, usual).bucket]
    }


@pytest.mark.parametrize("size", [(1, 1), (7, 5000), (3000, 2000), (64, 64)])
@pytest.mark.parametrize(
    "said", [{}, {"bucket_no_upscale": True}, {"enable_bucket": False}, {"resolution": "256,768"}], ids=str
)
def test_an_image_always_covers_its_bucket(size, said):
    asked = parsed(**said)

    cut = buckets.cut(size, buckets.sizes(asked), asked)
    left, top, right, bottom = cut.box

    assert 0 <= left < right <= cut.resized[0] and 0 <= top < bottom <= cut.resized[1]
    assert (cut.bucket.width, cut.bucket.height) == (right - left, bottom - top)
    assert 0 == cut.bucket.width % 8 == cut.bucket.height % 8


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, [1, 1, 1, 1]),
        ({"lr_scheduler": "linear"}, [1, 0.75, 0.5, 0.25]),
        ({"lr_scheduler": "linear", "lr_warmup_steps": 2}, [0.5, 1, 1, 0.5]),
        ({"lr_scheduler": "constant_with_warmup", "lr_warmup_steps": 4}, [0.25, 0.5, 0.75, 1]),
        ({"lr_scheduler": "cosine"}, [1, 0.854, 0.5, 0.146]),
        ({"lr_scheduler": "cosine_with_restarts", "lr_scheduler_num_cycles": 2}, [1, 0.5, 1, 0.5]),
    ],
)
def test_the_learning_rate_goes_as_asked(said, expected):
    shares = [round(schedule.share(parsed(**said), step, 4), 3) for step in range(4)]

    assert expected == shares


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (
            {"sample_prompts": "a cat\na cat AND a dog"},
            "sample_prompts, 'a cat AND a dog': params.prompt has",
        ),
        ({"sample_prompts": "[cat|dog]"}, "sample_prompts, '[cat|dog]': params.prompt has alternation"),
        (
            {"sample_prompts": "<lora:other:1> a cat"},
            "sample_prompts are painted with the LoRA that is trained",
        ),
        ({"sample_sampler": "Euler z"}, "sampler_name 'Euler z' is not supported"),
    ],
)
def test_samples_that_cannot_be_painted_are_refused_before_anything_is_learned(given, complaint):
    with pytest.raises(Invalid, match=re.escape(complaint)):
        check_samples(parsed(**given))


def test_a_prompt_with_attention_can_be_painted():
    check_samples(parsed(sample_prompts="a (red:1.2) [cat], BREAK by the sea"))
