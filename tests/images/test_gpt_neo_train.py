"""Training jobs, run as containers."""

from __future__ import annotations

import json
import shutil

import pytest
from containers import SMALL, TEXT, losses, prepare, train, train_until

pytestmark = pytest.mark.timeout(1500)  # the first run on a machine installs torch


def metrics(base) -> dict:
    return json.loads((base / "model" / "metrics.json").read_text())


def failure(base) -> str:
    return (base / "output" / "failure").read_text()


def test_training_learns_and_leaves_a_model_with_its_metrics(trained):
    assert 0 == trained.code, trained.log

    found = metrics(trained.base)
    assert found["perplexity_after"] < found["perplexity_before"] / 2
    assert found["bits_per_byte"] < found["bits_per_byte_before"]
    assert (60, 60 * 4 * 64, "1", 600) == (
        found["steps"],
        found["tokens"],
        str(found["hyperparameters"]["threads"]),
        found["vocabulary"],
    )
    names = {each.name for each in (trained.base / "model").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "metrics.json"} <= names
    assert not (trained.base / "output").exists()


def test_the_log_tells_the_untrained_score_every_step_and_each_evaluation(trained):
    told = list(losses(trained.log))

    assert ["untrained step=0", *(f"train step={n}" for n in range(1, 31)), "validation step=30"] == told[:32]
    assert "validation step=60" == told[-1]


def test_checkpoints_are_whole_and_only_the_last_two_stay(trained):
    names = sorted(each.name for each in (trained.base / "checkpoints").iterdir())

    assert ["step-000000040.checkpoint", "step-000000060.checkpoint"] == names


def test_a_job_that_was_stopped_goes_on_as_if_nothing_had_happened(image, trained, tmp_path):
    base = prepare(tmp_path / "ml", TEXT, **SMALL)

    code, first = train_until(image, base, "train step=25 ")

    assert 143 == code
    assert not (base / "output").exists()
    assert not (base / "model").exists()
    stopped_at = len(losses(first)) - 1 - first.count("validation")
    assert f"stopped: after step {stopped_at} of 60" in first

    code, second = train(image, base)

    assert 0 == code
    assert f"resumed after step {stopped_at} of 60" in second
    assert losses(trained.log) == losses(first) | losses(second)
    differing = {"seconds"}
    assert {k: v for k, v in metrics(trained.base).items() if k not in differing} == {
        k: v for k, v in metrics(base).items() if k not in differing
    }


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(image, trained, copied):
    newest = copied / "checkpoints" / "step-000000060.checkpoint"
    raw = bytearray(newest.read_bytes())
    raw[len(raw) // 2] ^= 1
    newest.write_bytes(raw)
    shutil.rmtree(copied / "model")

    code, log = train(image, copied)

    assert 0 == code
    assert "warning: checkpoint step-000000060.checkpoint is damaged; trying the one before it" in log
    assert "resumed after step 40 of 60" in log
    assert losses(trained.log)["validation step=60"] == losses(log)["validation step=60"]


def test_full_precision_trains_too_and_writes_what_transformers_reads(image, tmp_path):
    base = prepare(tmp_path / "ml", TEXT, **SMALL | {"precision": "fp32", "steps": 4, "layers": 3})

    code, log = train(image, base)

    assert (0, "fp32") == (code, metrics(base)["hyperparameters"]["precision"]), log
    configuration = json.loads((base / "model" / "config.json").read_text())
    assert ("gpt_neo", ["global", "local", "global"]) == (
        configuration["model_type"],
        configuration["attention_layers"],
    )


def test_checkpoints_of_another_job_are_not_learned_on(image, copied):
    (copied / "input" / "config" / "hyperparameters.json").write_text(json.dumps(SMALL | {"hidden": 128}))

    code, _ = train(image, copied)

    assert 1 == code
    assert failure(copied).startswith("the checkpoints belong to another job: hidden changed since")


@pytest.mark.parametrize(
    ("text", "hyperparameters", "reason"),
    [
        ("", {}, "channel training holds 0 bytes of text in text.txt; training needs at least 1000"),
        (b"\0\1\2" * 1000, {}, "text.txt in channel training is binary, not UTF-8 text: byte 0 is NUL"),
        (TEXT, {"epochs": 3}, "unknown hyperparameter epochs; known are batch_size, "),
        (TEXT, {"steps": "many"}, "hyperparameter steps='many' must be a whole number from 1 to"),
    ],
)
def test_a_job_that_cannot_work_fails_at_once_with_a_reason(image, tmp_path, text, hyperparameters, reason):
    base = prepare(tmp_path / "ml", text, **hyperparameters)

    code, log = train(image, base)

    assert 1 == code
    assert failure(base).startswith(reason)
    assert "Traceback" in log
    assert "Traceback" not in failure(base)


def test_several_instances_are_refused(image, tmp_path):
    base = prepare(tmp_path / "ml", TEXT)
    (base / "input" / "config" / "resourceconfig.json").write_text('{"hosts": ["algo-1", "algo-2"]}')

    train(image, base)

    assert "this container trains on one instance, not on 2: set InstanceCount to 1" == failure(base)


def test_another_verb_is_refused(image, tmp_path):
    assert 2 == image.start("dance", tmp_path, tmp_path / "log").wait(30)
    assert "usage: python -m gpt_neo train|serve|fleet\n" == (tmp_path / "log").read_text()
