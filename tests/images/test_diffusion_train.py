"""Trainings of LoRAs, run as containers."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jobs
import pytest
from jobs import REPORT, SMALL, Done

pytestmark = pytest.mark.timeout(1500)  # the first run on a machine installs torch

HERE = Path(__file__).parent

#: What says when, not what.
TIMES = {"ss_training_started_at", "ss_training_finished_at"}


def without_times(found: Done) -> list[dict]:
    return [{key: each[key] for key in each if key != "at"} for each in found.metrics]


def broken(name: str) -> Callable[[bytes], bytes]:
    """Put a value that is no number into a tensor of a checkpoint."""

    def spoil(checkpoint: bytes) -> bytes:
        table, _, rest = jobs.tensors(checkpoint)
        place = len(checkpoint) - len(rest) + table[name]["data_offsets"][0]
        return checkpoint[:place] + struct.pack("<e", math.nan) + checkpoint[place + 2 :]

    return spoil


def test_a_training_learns_and_delivers_what_it_says(learned):
    assert 0 == learned.code, learned.log

    body, result = learned.bucket.objects[jobs.OUTPUT], learned.result
    assert ("lora", len(body), hashlib.sha256(body).hexdigest()) == (
        result["task"],
        result["size"],
        result["sha256"],
    )
    assert result == json.loads((learned.base / "model" / "result.json").read_text())
    assert (24, 8, 10) == (result["steps"], result["epochs"], result["images"])
    assert result["loss_last"] < result["loss_first"]
    assert ["result.json"] == [each.name for each in (learned.base / "model").iterdir()]
    assert not learned.failure


def test_the_result_is_told_last_of_all(learned):
    assert f"{REPORT}result.json" == learned.bucket.written[-1]
    assert 1 == learned.bucket.written.count(jobs.OUTPUT)


def test_every_step_is_measured(learned):
    found = learned.metrics

    assert [*range(1, 25)] == [each["step"] for each in found]
    assert [1, 1, 1, 2] == [each["epoch"] for each in found[:4]]
    assert {SMALL["learning_rate"]} == {each["lr"] for each in found}
    assert f"step 24 of 24, epoch 8: loss={found[-1]['loss']:.6f}" in learned.report("log.txt").decode()


def test_files_that_are_no_images_are_left_out_and_named(learned):
    reasons = {each["name"]: each["reason"] for each in learned.result["skipped"]}

    assert {"bomb.png", "cut.png", "empty.jpg", "text.webp"} == reasons.keys()
    assert "has more than 80000000 pixels: 12000x12000" == reasons["bomb.png"]
    assert "is empty: 0 bytes" == reasons["empty.jpg"]
    assert "is none of PNG, JPEG, WEBP, BMP" == reasons["text.webp"]
    assert reasons["cut.png"].startswith("cannot be read: ")
    assert "warning: empty.jpg is left out: is empty" in learned.report("log.txt").decode()


def test_the_file_has_kohyas_keys_and_tells_of_its_training(learned):
    table, metadata, rest = jobs.tensors(learned.bucket.objects[jobs.OUTPUT])

    layers = {key.partition(".")[0] for key in table}
    text = [each for each in layers if each.startswith("lora_te_text_model_encoder_layers_")]
    # four transformers of twelve layers each, and six in each of the text encoder's two
    assert (4 * 12, 2 * 6) == (len([each for each in layers if each.startswith("lora_unet_")]), len(text))
    assert {"alpha", "lora_down.weight", "lora_up.weight"} == {key.partition(".")[2] for key in table}
    down = table["lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight"]
    assert ("F16", [8, 64]) == (down["dtype"], down["shape"])
    assert ("8", "4.0", "networks.lora", "cat") == tuple(
        metadata[f"ss_{each}"] for each in ("network_dim", "network_alpha", "network_module", "output_name")
    )
    assert hashlib.sha256(rest).hexdigest() == metadata["sshs_model_hash"]
    assert metadata["sshs_model_hash"][:12] == learned.result["hash"]
    assert {"round": 10, "red": 10} == {
        tag: count
        for tag, count in json.loads(metadata["ss_tag_frequency"])["dataset"].items()
        if tag in {"round", "red"}
    }
    sizes = {tuple(each["resolution"]) for each in json.loads(metadata["ss_bucket_info"])["buckets"].values()}
    assert {(96, 96), (128, 64)} == sizes


def test_samples_are_painted_and_loras_kept_as_it_goes(learned):
    result = learned.result

    assert ["samples/000004-0.png", "samples/000008-0.png"] == result["samples"]
    assert ["checkpoints/cat-000004.safetensors"] == result["checkpoints"]
    early, late = (learned.report(each) for each in result["samples"])
    assert early[:8] == late[:8] == b"\x89PNG\r\n\x1a\n"
    assert early != late
    assert b"parameters\0a photo of a cat\nSteps: 2" in early
    table, metadata, _ = jobs.tensors(learned.report(result["checkpoints"][0]))
    assert table.keys() == jobs.tensors(learned.bucket.objects[jobs.OUTPUT])[0].keys()
    assert ("4", "12") == (metadata["ss_epoch"], metadata["ss_steps"])


def test_a_training_that_is_stopped_again_and_again_ends_as_if_nothing_had_happened(
    diffusion_image, learned, tmp_path
):
    base = jobs.training(tmp_path / "ml")
    lines = ["10 images in ", "step 7 of 24", "painted samples/000004-0.png"]
    stopped = [jobs.done(diffusion_image, base, stop=lambda log, line=line: line in log) for line in lines]

    last = jobs.done(diffusion_image, base)

    assert [143] * 3 == [each.code for each in stopped], stopped[0].log
    assert not any(each.failure for each in stopped)
    assert not any(jobs.OUTPUT in each.bucket.objects for each in stopped)
    assert all("stopped: " in each.report("log.txt").decode() for each in stopped)
    assert 0 == last.code, last.log
    assert "resumed after step " in last.log
    assert without_times(learned) == without_times(last)
    ours, theirs = (jobs.tensors(each.bucket.objects[jobs.OUTPUT]) for each in (last, learned))
    assert theirs[2] == ours[2]
    assert {key: theirs[1][key] for key in theirs[1].keys() - TIMES} == {
        key: ours[1][key] for key in ours[1].keys() - TIMES
    }
    assert learned.report("samples/000008-0.png") == last.report("samples/000008-0.png")
    assert learned.result["checkpoints"] == last.result["checkpoints"]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(diffusion_image, learned, tmp_path):
    base = shutil.copytree(learned.base, tmp_path / "ml")
    names = sorted(each.name for each in (base / "checkpoints").iterdir())
    raw = bytearray((base / "checkpoints" / names[-1]).read_bytes())
    raw[len(raw) // 2] ^= 1
    (base / "checkpoints" / names[-1]).write_bytes(raw)

    again = jobs.done(diffusion_image, base)

    assert ["step-000000012.checkpoint", "step-000000024.checkpoint"] == names
    assert 0 == again.code, again.log
    assert "checkpoint step-000000024.checkpoint is damaged; trying the one before it" in again.log
    assert "resumed after step 12 of 24" in again.log
    assert without_times(learned) == without_times(again)


def test_checkpoints_of_another_training_are_not_learned_on(diffusion_image, learned, tmp_path):
    base = shutil.copytree(learned.base, tmp_path / "ml")
    config = {**jobs.PLACES, **jobs.request(network_dim=4)}
    jobs.channel(base, "config", {"config.json": json.dumps(config).encode()})

    other = jobs.done(diffusion_image, base)

    assert 1 == other.code
    assert other.failure.startswith("the checkpoints belong to another training: config_params changed since")


def test_a_training_says_when_it_ran_out_of_memory(diffusion_image, tmp_path):
    base = jobs.training(tmp_path / "ml", resolution=2048, max_bucket_reso=2048, bucket_reso_steps=64)

    found = jobs.done(diffusion_image.limited(2_000_000_000), base)

    assert 1 == found.code
    assert found.failure.startswith("the machine ran out of memory: ask for less at a time"), found.log
    assert "failed: the machine ran out of memory" in found.report("log.txt").decode()


@pytest.mark.parametrize(
    ("config_params", "model", "reason"),
    [
        (
            {},
            broken("model.diffusion_model.out.2.bias"),
            "the loss is no number at step 1: lower learning_rate",
        ),
        (
            {},
            broken("first_stage_model.quant_conv.bias"),
            "the checkpoint's VAE makes no numbers of an image",
        ),
        ({"mixed_precision": "fp16"}, bytes, "mixed_precision fp16 needs a GPU"),
        ({}, lambda _: b"x" * 100, "the checkpoint is not a .safetensors file"),
    ],
    ids=["network", "vae", "precision", "text"],
)
def test_a_training_that_cannot_work_fails_with_a_reason(
    diffusion_image, tmp_path, config_params, model, reason
):
    base = jobs.training(tmp_path / "ml", **{"save_every_n_epochs": None} | config_params)
    path = base / "input" / "data" / "model" / "tiny.safetensors"
    path.write_bytes(model(path.read_bytes()))

    found = jobs.done(diffusion_image, base)

    assert 1 == found.code, found.log
    assert reason in found.failure
    assert f"failed: {found.failure}" in found.report("log.txt").decode()
    assert jobs.OUTPUT not in found.bucket.objects


def test_diffusers_own_loader_takes_the_file_and_adds_what_we_add(diffusion_image, learned, tmp_path):
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
    target = tmp_path / "peft"
    subprocess.run([*command, "--target", str(target), "-r", str(HERE / "peft.lock")], check=True)
    (tmp_path / "cat.safetensors").write_bytes(learned.bucket.objects[jobs.OUTPUT])
    (tmp_path / "tiny.safetensors").write_bytes(jobs.checkpoint(tmp_path))

    process = diffusion_image.python(HERE / "load_lora.py", tmp_path, tmp_path / "log")

    assert 0 == process.wait(240), (tmp_path / "log").read_text()
    found = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert (48, 12) == (found["unet"], found["text"])
    assert found["changed"] > 1000 * found["unlike"]


def test_what_a_recipe_may_also_ask_for_is_done(diffusion_image, tmp_path):
    asked = {
        "mixed_precision": "bf16",
        "gradient_checkpointing": True,
        "gradient_accumulation_steps": 2,
        "max_train_steps": 3,
        "min_snr_gamma": 5,
        "noise_offset": 0.05,
        "lr_scheduler": "cosine",
        "save_precision": "float",
        "max_token_length": 150,
        "clip_skip": 2,
        "bucket_no_upscale": True,
        "enable_bucket": True,
        "sample_prompts": ["a dog", "a bird"],
    }
    base = jobs.training(tmp_path / "ml", **asked)

    found = jobs.done(diffusion_image, base)

    assert 0 == found.code, found.log
    assert (3, 2) == (found.result["steps"], found.result["epochs"])
    assert ["samples/000002-0.png", "samples/000002-1.png"] == found.result["samples"]
    table, _, _ = jobs.tensors(found.bucket.objects[jobs.OUTPUT])
    assert {"F32"} == {each["dtype"] for each in table.values()}


def test_a_caption_that_is_no_prompt_costs_a_sample_and_not_the_training(diffusion_image, tmp_path):
    base = jobs.training(tmp_path / "ml", sample_prompts=None, max_train_steps=1)
    (base / "input" / "data" / "dataset" / "0.txt").write_text("a cat AND a dog")

    found = jobs.done(diffusion_image, base)

    assert 0 == found.code, found.log
    assert [] == found.result["samples"]
    assert "warning: a sample cannot be painted: params.prompt has the composition 'AND'" in found.log
    assert jobs.OUTPUT in found.bucket.objects
