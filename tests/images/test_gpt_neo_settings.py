from __future__ import annotations

import json

import pytest
from gpt_neo import settings
from gpt_neo.errors import Failure


def test_no_hyperparameters_mean_the_defaults(tmp_path):
    assert settings.Settings() == settings.read(tmp_path / "hyperparameters.json")


def test_strings_become_the_declared_types():
    chosen = settings.parse({"steps": "12", "learning_rate": "1e-3", "precision": "fp32"})

    assert (12, 0.001, "fp32") == (chosen.steps, chosen.learning_rate, chosen.precision)


def test_values_that_the_python_sdk_quotes_as_json_are_read_too():
    assert (12, "fp32") == (
        (chosen := settings.parse({"steps": '"12"', "precision": '"fp32"'})).steps,
        chosen.precision,
    )


def test_what_the_platform_adds_is_no_hyperparameter():
    assert settings.Settings() == settings.parse({"sagemaker_region": '"us-east-1"'})


def test_unknown_hyperparameters_are_refused_by_name_with_the_known_ones():
    with pytest.raises(Failure, match=r"^unknown hyperparameter epochs, lr; known are batch_size, .*seed"):
        settings.parse({"lr": "1", "epochs": "3", "steps": "2"})


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("steps", "0", "steps='0' must be a whole number from 1 to"),
        ("steps", "1.5", "steps='1.5' must be a whole number"),
        ("steps", "", "steps='' must be a whole number"),
        ("learning_rate", "fast", "learning_rate='fast' must be a number from"),
        ("learning_rate", "nan", "learning_rate='nan' must be a number from"),
        ("learning_rate", "inf", "learning_rate='inf' must be a number from"),
        ("dropout", "1", "dropout='1' must be a number from 0.0 to 0.9"),
        ("precision", "fp16", "precision='fp16' must be one of bf16, fp32"),
        ("vocab_size", "70000", "vocab_size='70000' must be a whole number from 300 to 65536"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_range(name, text, expected):
    with pytest.raises(Failure, match=expected):
        settings.parse({name: text})


def test_the_width_must_divide_among_the_heads():
    with pytest.raises(Failure, match="hidden=100 must be a multiple of heads=3"):
        settings.parse({"hidden": "100", "heads": "3"})


@pytest.mark.parametrize("text", ["{", "[]", '"steps"'])
def test_a_file_that_is_no_json_object_is_refused(tmp_path, text):
    path = tmp_path / "hyperparameters.json"
    path.write_text(text)

    with pytest.raises(Failure, match=r"hyperparameters\.json"):
        settings.read(path)


def test_a_file_of_hyperparameters_is_read(tmp_path):
    path = tmp_path / "hyperparameters.json"
    path.write_text(json.dumps({"seed": "7"}))

    assert 7 == settings.read(path).seed
