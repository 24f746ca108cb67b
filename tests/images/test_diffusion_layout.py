from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from math import prod
from pathlib import Path

import pytest
from containers import TRAINING
from diffusion import header, layout, tiny, vocabulary
from diffusion.errors import Invalid

FOLDER = TRAINING / "diffusion"


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the image's entry point with nothing but Python."""
    command = [sys.executable, "-m", "diffusion", *arguments]
    environment = {"PATH": "", "PYTHONDONTWRITEBYTECODE": "1", **variables}
    return subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    tiny.write(path, 0)
    return path


@pytest.mark.parametrize(
    ("prefix", "tensors", "numbers"),
    [(layout.UNET, 686, 859_520_964), (layout.VAE, 248, 83_653_863), (layout.TEXT, 196, 123_060_480)],
)
def test_the_layout_of_stable_diffusion_1_has_its_well_known_size(prefix, tensors, numbers):
    found = [shape for name, shape in layout.names(layout.STABLE_DIFFUSION_1) if name.startswith(prefix)]

    assert (tensors, numbers) == (len(found), sum(prod(each) for each in found))


@pytest.mark.parametrize("sizes", [layout.STABLE_DIFFUSION_1, tiny.SIZES], ids=["whole", "tiny"])
def test_an_architecture_is_found_from_its_tensors(sizes):
    others = {"model_ema.decay": (), "alphas_cumprod": (1000,)}

    assert sizes == layout.read(dict(layout.names(sizes)) | others)


def test_convolutions_of_one_pixel_may_be_matrices():
    flat = {name: shape[:2] if shape[2:] == (1, 1) else shape for name, shape in layout.names(tiny.SIZES)}

    assert tiny.SIZES == layout.read(flat)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "conditioner.embedders.0.x",
            "the checkpoint is Stable Diffusion XL; this container serves Stable Di",
        ),
        ("cond_stage_model.model.x", "the checkpoint is Stable Diffusion 2"),
        ("lora_unet_down.x", "the checkpoint is a LoRA"),
        ("anything", "has not the tensors of a Stable Diffusion 1 in a single file"),
    ],
)
def test_another_kind_of_model_is_refused_by_name(name, expected):
    with pytest.raises(Invalid, match=expected):
        layout.read({name: (1,)})


def test_a_checkpoint_that_lacks_something_is_refused_by_name():
    whole = dict(layout.names(tiny.SIZES))
    del whole[f"{layout.VAE}decoder.conv_out.bias"], whole[f"{layout.VAE}decoder.conv_out.weight"]

    with pytest.raises(Invalid, match=r"lacks first_stage_model.decoder.conv_out.weight and 1 more tensors"):
        layout.read(whole)


def test_a_tensor_of_another_shape_is_refused_by_name():
    wrong = dict(layout.names(tiny.SIZES)) | {f"{layout.UNET}out.2.bias": (5,)}

    with pytest.raises(Invalid, match=r"model.diffusion_model.out.2.bias is 5, not 4"):
        layout.read(wrong)


def test_an_inpainting_checkpoint_is_refused():
    wrong = dict(layout.names(tiny.SIZES)) | {f"{layout.UNET}input_blocks.0.0.weight": (32, 9, 3, 3)}

    with pytest.raises(Invalid, match="takes 9 channels: inpainting and editing are not supported"):
        layout.read(wrong)


def test_the_tiny_checkpoint_is_small_and_says_what_it_is(checkpoint):
    found = header.read(checkpoint)

    assert checkpoint.stat().st_size < 4_000_000
    assert tiny.SIZES == layout.read(found.shapes)
    assert "random Stable Diffusion, seed 0" == found.metadata["title"]
    assert tiny.SIZES.words == vocabulary.size(vocabulary.of_checkpoint(found.metadata, tiny.SIZES.words))


def test_a_seed_makes_the_same_tiny_checkpoint_again_and_another_makes_another(checkpoint, tmp_path):
    answers = [run("tiny", str(tmp_path / each), "--seed", each) for each in ("0", "1")]

    assert [0, 0] == [each.returncode for each in answers], answers
    assert "bytes, seed 1" in answers[1].stdout
    digests = [sha256(path.read_bytes()).hexdigest() for path in (checkpoint, tmp_path / "0", tmp_path / "1")]
    assert digests[0] == digests[1] != digests[2]


def test_a_tiny_checkpoint_that_cannot_be_written_is_no_traceback(tmp_path):
    answer = run("tiny", str(tmp_path / "none" / "tiny.safetensors"))

    assert (1, "") == (answer.returncode, answer.stdout)
    assert answer.stderr.startswith("failed: ")
    assert "cannot be written: No such file or directory" in answer.stderr


def test_a_job_without_its_task_leaves_a_reason_where_sagemaker_looks_for_it(tmp_path):
    answer = run("train", SAGEMAKER_BASE_DIR=str(tmp_path))

    assert 1 == answer.returncode
    assert "hyperparameters.json is missing" == (tmp_path / "output" / "failure").read_text()


def test_an_unknown_verb_is_refused():
    assert 2 == run("paint").returncode


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"PK\x03\x04" + b"x" * 50, "is a pickled file, which may hold code: convert it to .safetensors"),
        (b"\x80\x02}q\x00(X" + b"x" * 50, "is a pickled file"),
        (b"", "is not a .safetensors file"),
        (b"<html>not found</html>", "is not a .safetensors file"),
        ((9).to_bytes(8, "little") + b"not json!", "header is damaged"),
        ((12).to_bytes(8, "little") + b'{"a": "bcd"}', "header is damaged"),
        ((2).to_bytes(8, "little") + b"[]", "header is damaged"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, body, expected):
    path = tmp_path / "x.safetensors"
    path.write_bytes(body)

    with pytest.raises(Invalid, match=expected):
        header.read(path)


def test_a_header_that_claims_to_be_longer_than_its_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes((99).to_bytes(8, "little") + json.dumps({}).encode())

    with pytest.raises(Invalid, match=r"is not a \.safetensors file"):
        header.read(path)


def test_the_shipped_words_are_clips():
    words = vocabulary.words(vocabulary.merges())

    assert 49408 == len(words) == vocabulary.size(vocabulary.merges())
    known = {"a</w>": 320, "photo</w>": 1125, "cat</w>": 2368, vocabulary.START: 49406, vocabulary.END: 49407}
    assert known == {each: words[each] for each in known}


def test_words_that_do_not_fit_the_text_encoder_are_refused():
    with pytest.raises(Invalid, match="text encoder knows 49410 words, but CLIP has 49408"):
        vocabulary.of_checkpoint({}, 49410)
    with pytest.raises(Invalid, match="knows 49408 words, but its metadata describes 515"):
        vocabulary.of_checkpoint({vocabulary.METADATA: "a b"}, 49408)
