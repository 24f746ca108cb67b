"""What the form of a training says, by the contract's names."""

from dataclasses import replace

import pytest

from atelier_webui.contract.api.trainings import CONFIG_PARAMS
from atelier_webui.errors import Problem
from atelier_webui.recipes import Recipe

RECIPE = Recipe(
    *("tiny.safetensors", "boats", " ink ", "ml.g5.xlarge"),
    *(10, 1, 10, 1, 512, 16, 16),
    *("1e-4", False, "5e-5", 42, "", ""),
)


def test_what_the_form_says_goes_by_names_that_the_contract_knows():
    settings = replace(RECIPE, trains_text=True, prompts="a boat\n").settings()

    assert set() == settings.keys() - set(CONFIG_PARAMS)
    assert (1e-4, 5e-5, False, "a boat") == (
        settings["unet_lr"],
        settings["text_encoder_lr"],
        settings["network_train_unet_only"],
        settings["sample_prompts"],
    )
    assert ("ink", "sd_1_5") == (RECIPE.name, RECIPE.on().fm_type)


def test_what_is_left_empty_is_left_to_the_middleware():
    settings = replace(RECIPE, save_every=None, seed=-1).settings()

    assert set() == settings.keys() & {"save_every_n_epochs", "seed", "sample_prompts", "text_encoder_lr"}


def test_other_settings_are_read_as_what_they_are_and_win():
    more = "lr_scheduler = cosine\n\nmin_snr_gamma=5\nflip_aug = True\nunet_lr = 2e-3\nresolution = 512,768"

    settings = replace(RECIPE, more=more).settings()

    assert ("cosine", 5, True) == tuple(
        settings[name] for name in ("lr_scheduler", "min_snr_gamma", "flip_aug")
    )
    assert (2e-3, "512,768") == (settings["unet_lr"], settings["resolution"])


def test_a_word_that_python_takes_for_a_number_and_json_does_not_stays_a_word():
    settings = replace(RECIPE, more="training_comment = infinity\nnoise_offset = NaN").settings()

    assert ("infinity", "NaN") == (settings["training_comment"], settings["noise_offset"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"more": "cosine"}, "'cosine' is no setting"),
        ({"more": "= 5"}, "'= 5' is no setting"),
        ({"rate": "fast"}, "The learning rate must be a number such as 1e-4, not 'fast'"),
        ({"rate": "nan"}, "The learning rate must be a number"),
        ({"trains_text": True, "text_rate": ""}, "The text encoder's learning rate must be"),
        ({"epochs": None}, "Epochs must be a whole number"),
        ({"rank": 0}, "Rank must be a whole number"),
    ],
)
def test_a_setting_that_is_none_is_told(changes, words):
    with pytest.raises(Problem, match=words):
        replace(RECIPE, **changes).settings()


def test_all_that_is_missing_is_told_at_once():
    with pytest.raises(Problem, match="Choose a base checkpoint and a dataset and a name first"):
        replace(RECIPE, model="", dataset=None, output_name=" ").on()
