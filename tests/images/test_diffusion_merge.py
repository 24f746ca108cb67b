"""Merges of checkpoints, run as containers."""

from __future__ import annotations

import hashlib
import json

import jobs
import numpy as np
import pytest
import safetensors_files as files
from jobs import PLACES

pytestmark = pytest.mark.timeout(1500)  # the first run on a machine installs torch

REQUEST = {"method": "weighted_sum", "checkpoints": ["a", "b"], "output_name": "cat", "multiplier": 0.25}
OUT = "model.diffusion_model.out.2.weight"


def laid_out(base, config, *bodies, **more):
    names = ("model", "model2", "model3")
    channels = {
        name: {f"{'abc'[at]}.safetensors": body}
        for at, (name, body) in enumerate(zip(names, bodies, strict=False))
    }
    return jobs.lay_out(base, "merge", {**REQUEST, **config, **more}, **channels)


@pytest.fixture(scope="module")
def parents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parents")
    return [jobs.checkpoint(folder, seed) for seed in (0, 1, 2)]


@pytest.fixture(scope="module")
def merged(diffusion_image, tmp_path_factory, parents):
    models = [
        {"name": f"{name}.safetensors", "sha256": hashlib.sha256(body).hexdigest()}
        for name, body in zip(("fog", "rain"), parents[:2], strict=True)
    ]
    base = laid_out(
        tmp_path_factory.mktemp("merged"), {"precision": "fp32"}, *parents[:2], models=models, **PLACES
    )
    return jobs.done(diffusion_image, base)


def test_a_merge_delivers_what_it_says(merged, tmp_path, parents):
    assert 0 == merged.code, merged.log

    body, result = merged.bucket.objects[jobs.OUTPUT], merged.result
    digest = hashlib.sha256(body).hexdigest()
    assert ("merge", len(body), digest, digest[:10]) == (
        result["task"],
        result["size"],
        result["sha256"],
        result["hash"],
    )
    values = []
    for name, content in (("a", parents[0]), ("b", parents[1]), ("out", body)):
        (tmp_path / name).write_bytes(content)
        values.append(files.read(tmp_path / name)[OUT].astype(np.float32))
    np.testing.assert_array_equal(np.float32(0.75) * values[0] + np.float32(0.25) * values[1], values[2])


def test_the_parents_are_told_by_the_names_that_people_know(merged):
    models = json.loads(merged.result["metadata"]["sd_merge_models"])

    assert {"fog.safetensors", "rain.safetensors"} == {each["name"] for each in models.values()}
    assert "weighted_sum of fog.safetensors, rain.safetensors" in merged.report("log.txt").decode()


def test_how_far_a_merge_is_is_told_to_its_end(merged):
    found = [(each["done"], each["of"]) for each in merged.metrics]

    assert found == sorted(found)
    assert (merged.result["size"],) * 2 == found[-1]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"method": "add_difference"}, "add_difference takes 3 checkpoints, not 2"),
        ({"method": "sum"}, "method 'sum' is none of no_interpolation"),
        ({"multiplier": "0.3"}, "multiplier '0.3' is not a number"),
        ({"multiplier": 2}, "multiplier 2.0 is not between 0 and 1"),
        ({"precision": []}, "precision '[]' is none of fp16"),
        (
            {"models": [{"name": "fog", "sha256": "0" * 64}, {"name": "rain"}]},
            "fog is not what it was: its SHA-256",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_merged_fails_by_its_reason(diffusion_image, tmp_path, parents, config, said):
    done = jobs.done(diffusion_image, laid_out(tmp_path / "ml", config, *parents[:2]))

    assert 1 == done.code
    assert done.failure.startswith(said), done.failure
    assert jobs.OUTPUT not in done.bucket.objects
    assert said in done.report("log.txt").decode()


def test_a_damaged_parent_is_named_as_people_know_it(diffusion_image, tmp_path, parents):
    models = [{"name": "fog.safetensors"}, {"name": "rain.safetensors"}]
    base = laid_out(tmp_path / "ml", {}, parents[0], parents[1][:-100], models=models)

    done = jobs.done(diffusion_image, base)

    assert 1 == done.code
    assert done.failure.startswith("rain.safetensors is cut short")


def test_a_merge_that_is_told_to_stop_delivers_nothing(diffusion_image, tmp_path, parents):
    large = {f"model.diffusion_model.{at}": ("F32", np.zeros((20, 1024, 256))) for at in range(8)}
    body = files.write(tmp_path / "large", large).read_bytes()

    done = jobs.done(
        diffusion_image, laid_out(tmp_path / "ml", {}, body, body), stop=lambda log: "weighted_sum" in log
    )

    assert (143, "") == (done.code, done.failure)
    assert jobs.OUTPUT not in done.bucket.objects
