from __future__ import annotations

import json

import pytest
from diffusion import tasks
from diffusion.cache import Source
from diffusion.errors import Invalid

ONE = {"name": "one.safetensors", "s3": "s3://bucket/a/one.safetensors", "sha256": None}
TWO = {"name": "two.safetensors", "s3": "s3://bucket/b/two.safetensors", "sha256": "AB" * 32}


def task(*checkpoints: dict, **given) -> tasks.Task:
    whole = {
        "id": "job-1",
        "task_type": "txt2img",
        "models": {"Stable-diffusion": [*(checkpoints or [ONE])]},
        "params": {"prompt": "a cat"},
    }
    return tasks.parse(json.dumps(whole | given).encode())


def checkpoint(name: str) -> dict:
    return {"override_settings": {"sd_model_checkpoint": name}}


def test_the_only_checkpoint_need_not_be_named():
    assert Source(name="one", address="s3://bucket/a/one.safetensors") == task().source


@pytest.mark.parametrize("name", ["two", "two.safetensors", "sd/two.safetensors [abcdef0123]", "x\\two"])
def test_a_checkpoint_is_found_by_any_form_of_its_name(name):
    found = task(ONE, TWO, params=checkpoint(name)).source

    assert Source(name="two", address="s3://bucket/b/two.safetensors", sha256="ab" * 32) == found


def test_an_answer_repeats_the_parameters_without_the_picture():
    form = {"prompt": "a cat", "init_images": ["cGlj"]}

    assert {"prompt": "a cat", "init_images": None} == task(task_type="img2img", params=form).told()
    kept = task(task_type="img2img", params=form | {"include_init_images": True})
    assert ["cGlj"] == kept.told()["init_images"]


def test_lists_of_other_models_may_be_there_when_they_are_empty():
    task(models={"Stable-diffusion": [ONE], "Lora": [], "VAE": None})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"id": None}, "id must be a text"),
        ({"task_type": "rembg"}, "task_type must be one of txt2img, img2img"),
        ({"task_type": ["txt2img"]}, "task_type must be one of txt2img, img2img"),
        ({"models": None}, "models.Stable-diffusion must be a list of 1 to 10 models"),
        ({"models": {"Stable-diffusion": []}}, "models.Stable-diffusion must be a list"),
        ({"models": {"Stable-diffusion": [ONE] * 11}}, "models.Stable-diffusion must be a list"),
        ({"models": {"Stable-diffusion": [ONE], "Lora": ["x"]}}, "models.Lora must be a JSON object"),
        ({"models": {"Stable-diffusion": [ONE], "ControlNet": ["x"]}}, "models.ControlNet is not supported"),
        ({"models": {"Stable-diffusion": [ONE], "VAE": [ONE] * 11}}, "models.VAE must be a list of 0 to 10"),
        ({"models": {"Stable-diffusion": ["one"]}}, "models.Stable-diffusion must be a JSON object"),
        ({"params": None}, "params must be a JSON object"),
        ({"params": checkpoint("three")}, "sd_model_checkpoint 'three' is none of models: one"),
        ({"extra": 1}, "unknown field extra"),
    ],
)
def test_what_is_wrong_is_said_by_name(given, expected):
    with pytest.raises(Invalid, match=expected):
        task(**given)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"s3": "s3://bucket/a/one.ckpt"}, "pickled file, which may hold code: convert it to .safetensors"),
        ({"name": "one.pt"}, "one.pt is a pickled file"),
        ({"s3": "s3://bucket/a/one.zip"}, "one.safetensors is not a .safetensors file"),
        ({"s3": "https://host/one.safetensors"}, "must be an address like s3://bucket/key"),
        ({"s3": "/etc/one.safetensors"}, "must be an address like s3://bucket/key"),
        ({"sha256": "abc"}, "sha256 must be 64 hexadecimal digits"),
        ({"name": None}, "models.Stable-diffusion.name must be a text"),
        ({"etag": "x"}, "unknown field models.Stable-diffusion.etag"),
    ],
)
def test_a_checkpoint_is_a_safetensors_file_in_s3(changed, expected):
    with pytest.raises(Invalid, match=expected):
        task(ONE | changed)


def test_of_several_checkpoints_one_must_be_named():
    with pytest.raises(Invalid, match="sd_model_checkpoint must name one of one, two"):
        task(ONE, TWO)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"id": NaN}'])
def test_a_body_that_is_not_json_is_refused(body):
    with pytest.raises(Invalid, match="the body is not valid JSON"):
        tasks.parse(body)


def test_a_body_that_is_no_object_is_refused():
    with pytest.raises(Invalid, match="the body must be a JSON object"):
        tasks.parse(b"[]")
