"""Crops, and what every job has in common; torch takes no part in them."""

from __future__ import annotations

import io
import json
from contextlib import closing

import bucket as buckets
import jobs
import pytest
from diffusion import crops, dataset, job, recipe
from diffusion.errors import Failure, Invalid, Unreachable
from diffusion.order import Look, Order
from diffusion.recipe import Side
from diffusion.report import Report
from diffusion.s3 import S3
from diffusion.stopping import Stopping
from PIL import Image

CROPPED = "datasets/cats_50x40/"
CROP = {"max_resolution": "50x40", "output": f"s3://bucket/{CROPPED}"}


def run(base, prepare=lambda bucket: None, *, requested: bool = False) -> jobs.Done:
    """Do a job that needs no torch; perhaps one that was asked to stop."""
    with buckets.opened() as bucket, closing(bucket.client()) as client:
        prepare(bucket)
        code = job.main(base, Stopping(requested), S3(client))
        return jobs.Done(base, code, bucket.text(f"{jobs.REPORT}log.txt"), bucket)


def test_images_are_shrunk_until_they_cover_and_cut_around_the_middle(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    files = {
        "wide.png": jobs.picture(1, (400, 100)),
        "10_cat/high.jpg": jobs.picture(2, (100, 400), "JPEG"),
        "10_cat/high.txt": b"a high cat",
        "small.webp": jobs.picture(3, (30, 60), "WEBP"),
        "turned.jpg": jobs.picture(4, (200, 100), "JPEG", exif=turned),
        "notes.txt": b"not a caption",
    }

    found = run(jobs.lay_out(tmp_path / "ml", "crop", CROP, dataset=files))

    assert 0 == found.code, found.log
    sizes = {}
    for key, body in found.bucket.objects.items():
        if key.startswith(CROPPED) and not key.endswith(".txt"):
            with Image.open(io.BytesIO(body)) as image:
                sizes[key.removeprefix(CROPPED)] = (image.format, image.size)
    assert {
        "wide.png": ("PNG", (50, 40)),
        "10_cat/high.jpg": ("JPEG", (50, 40)),
        "small.webp": ("WEBP", (30, 40)),
        "turned.jpg": ("JPEG", (50, 40)),
    } == sizes
    assert "a high cat" == found.bucket.text(f"{CROPPED}10_cat/high.txt")
    assert f"{CROPPED}notes.txt" not in found.bucket.objects
    assert ("crop", f"s3://bucket/{CROPPED}") == (found.result["task"], found.result["output"])
    assert {"name": "small.webp", "status": "ok", "width": 30, "height": 40} == {
        key: each for key, each in found.result["files"][1].items() if key != "size"
    }
    assert {"done": 4, "of": 4} == {key: found.metrics[-1][key] for key in ("done", "of")}


def test_a_disk_that_takes_nothing_is_not_blamed_on_the_image(tmp_path):
    (tmp_path / "cat.png").write_bytes(jobs.picture(1, (96, 96)))

    with pytest.raises(FileNotFoundError):
        crops.crop(tmp_path / "cat.png", tmp_path / "gone" / "cat.png", Side(width=50, height=40))


def test_what_is_no_image_is_told_and_the_rest_is_done(tmp_path):
    files = jobs.broken() | {"good.png": jobs.picture(1, (96, 96)), "good.txt": b"\xff\xfe"}

    found = run(jobs.lay_out(tmp_path / "ml", "crop", CROP, dataset=files))

    assert 0 == found.code, found.log
    told = {each["name"]: each.get("reason", each["status"]) for each in found.result["files"]}
    assert {"bomb.png", "cut.png", "empty.jpg", "good.png", "text.webp"} == told.keys()
    assert ("ok", "is empty: 0 bytes") == (told["good.png"], told["empty.jpg"])
    assert "has more than 80000000 pixels: 12000x12000" == told["bomb.png"]
    assert {f"{CROPPED}good.png", f"{CROPPED}good.txt"} == {
        each for each in found.bucket.objects if each.startswith(CROPPED)
    }


@pytest.mark.parametrize(
    ("files", "config", "reason"),
    [
        ({}, {}, "the dataset is empty: it has no image"),
        ({"a.txt": b"a cat"}, {}, "the dataset is empty: it has no image"),
        ({"a.png": b""}, {}, "the dataset has no image that can be read: a.png is empty: 0 bytes"),
        ({}, {"max_resolution": "0x5"}, "max_resolution must be like 512x512, at most 8192 each, not '0x5'"),
        ({}, {"max_resolution": 512}, "max_resolution must be like 512x512"),
        ({}, {"max_resolution": "99999x1"}, "max_resolution must be like 512x512"),
        ({}, {"output": "s3://bucket/x"}, "output of a crop must end in /"),
        ({}, {"output": "/tmp/x/"}, "output must be an address like s3://bucket/key"),
        ({}, {"report": None}, "report must be an address like s3://bucket/key"),
        ({}, {"models": [1]}, "models must be a list of"),
    ],
)
def test_a_crop_that_cannot_be_done_fails_with_a_reason(tmp_path, files, config, reason):
    found = run(jobs.lay_out(tmp_path / "ml", "crop", CROP | config, dataset=files))

    assert 1 == found.code
    assert reason in found.failure
    assert not any(each.startswith(CROPPED) for each in found.bucket.objects)


def test_a_crop_that_is_stopped_did_not_fail(tmp_path):
    files = {f"{number}.png": jobs.picture(1, (96, 96)) for number in range(50)}

    found = run(jobs.lay_out(tmp_path / "ml", "crop", CROP, dataset=files), requested=True)

    assert (143, "") == (found.code, found.failure)
    assert "stopped: after 1 of 50 images" in found.log
    assert f"{jobs.REPORT}result.json" not in found.bucket.objects
    assert len([each for each in found.bucket.objects if each.startswith(CROPPED)]) < 50


def test_a_place_that_may_not_be_written_is_told(tmp_path):
    base = jobs.lay_out(tmp_path / "ml", "crop", CROP, dataset={"a.png": jobs.picture(1, (96, 96))})

    found = run(base, lambda bucket: bucket.forbidden.add(f"{CROPPED}a.png"))

    assert 1 == found.code
    assert (
        f"s3://bucket/{CROPPED}a.png cannot be written with this container's role: S3 says" in found.failure
    )
    assert f"failed: {found.failure}" in found.report("log.txt").decode()


@pytest.mark.parametrize(
    ("config_params", "params", "reason"),
    [
        ({"networkdim": 8}, {}, "params.config_params.networkdim is not supported"),
        ({"sample_sampler": "Leonardo"}, {}, "sampler_name 'Leonardo' is not supported"),
        ({}, {"enable_wd14_tagger": True}, "params.enable_wd14_tagger is not supported"),
        ({}, {"training_params": {"fm_type": "sd_xl"}}, "fm_type must be sd_1_5"),
    ],
)
def test_a_training_that_asks_for_what_there_is_not_fails_at_once(tmp_path, config_params, params, reason):
    config = jobs.request(**config_params)
    config["params"] |= params

    found = run(jobs.lay_out(tmp_path / "ml", "lora", config, dataset=jobs.dataset()))

    assert (1, True) == (found.code, reason in found.failure), found.log


@pytest.mark.parametrize(
    ("channels", "reason"),
    [
        ({"model": {"a.safetensors": b""}}, "this job has no channel dataset"),
        ({"dataset": {}, "model": {"a.safetensors": b""}}, "the dataset is empty"),
        ({"dataset": jobs.dataset()}, "this job has no channel model"),
        ({"dataset": jobs.dataset(), "model": {}}, "channel model must hold one .safetensors file, not 0"),
        (
            {"dataset": jobs.dataset(), "model": {"a.safetensors": b"", "b/b.safetensors": b""}},
            "channel model must hold one .safetensors file, not 2",
        ),
    ],
)
def test_a_training_without_what_it_needs_fails_at_once(tmp_path, channels, reason):
    config = jobs.request() | {"models": [{"name": "a.safetensors"}]}

    found = run(jobs.lay_out(tmp_path / "ml", "lora", config, **channels))

    assert (1, True) == (found.code, reason in found.failure), found.log


def test_a_checkpoint_that_is_not_the_one_of_the_request_is_refused(tmp_path):
    config = jobs.request() | {"models": [{"name": "a.safetensors", "sha256": "0" * 64}]}
    channels = {"dataset": jobs.dataset(), "model": {"a.safetensors": b"x"}}

    found = run(jobs.lay_out(tmp_path / "ml", "lora", config, **channels))

    assert (1, True) == (found.code, f"not {'0' * 64}: upload it again" in found.failure)


@pytest.mark.parametrize(
    ("hyperparameters", "reason"),
    [
        ({"task": "paint"}, "hyperparameter task='paint' must be one of lora, merge, crop"),
        ({}, "hyperparameter task='' must be one of"),
        ({"task": "crop", "epochs": "3"}, "unknown hyperparameter epochs; the only one is task"),
        ([], "hyperparameters.json must hold one JSON object"),
    ],
)
def test_a_task_that_is_none_fails_at_once(tmp_path, hyperparameters, reason):
    base = jobs.lay_out(tmp_path / "ml", "crop", CROP, dataset={})
    (base / "input" / "config" / "hyperparameters.json").write_text(json.dumps(hyperparameters))

    found = run(base)

    assert (1, True) == (found.code, reason in found.failure)


def test_several_instances_are_refused(tmp_path):
    base = jobs.lay_out(tmp_path / "ml", "crop", CROP, dataset={})
    (base / "input" / "config" / "resourceconfig.json").write_text('{"hosts": ["a", "b"]}')

    assert "on one instance, not on 2: set InstanceCount to 1" in run(base).failure


def test_ten_thousand_images_are_read_and_looked_at_in_turn(tmp_path):
    body = jobs.picture(1, (96, 96))
    jobs.channel(tmp_path, "dataset", {f"{number}.png": body for number in range(10_000)})
    chosen = recipe.parse(jobs.request(max_train_epochs=2))

    found = dataset.read(tmp_path / "input" / "data" / "dataset", chosen, print)
    looks = [
        Look(picture=each, bucket=Side(width=96, height=96), offset=number)
        for number, each in enumerate(found.pictures)
    ]
    order = Order(looks, chosen)
    seen = [look.offset for step in range(order.steps) for batch in order.at(step) for look in batch]

    assert (10_000, 5000, 2500) == (len(found.pictures), order.steps, order.steps_per_epoch)
    assert [*range(10_000)] == sorted(seen[:10_000]) == sorted(seen[10_000:])
    assert seen[:10_000] != seen[10_000:]


def test_kohyas_folders_say_how_often_and_what_is_seen(tmp_path):
    body = jobs.picture(1, (96, 96))
    files = {
        "3_red cat/a.png": body,
        "3_red cat/b.png": body,
        "3_red cat/b.txt": b"own\n words",
        "c.png": body,
    }
    folder = jobs.channel(tmp_path, "dataset", files)

    found = dataset.read(folder, recipe.parse(jobs.request(dataset_repeats=2)), print)

    assert [("red cat", 3), ("own words", 3), ("", 2)] == [
        (each.caption, each.repeats) for each in found.pictures
    ]


def test_a_report_that_does_not_arrive_stops_no_work_until_the_end(tmp_path):
    is_away, sent = True, []

    def upload(path, name):
        if is_away:
            raise Unreachable("S3 is away")
        sent.append((name, path.read_text()))

    report = Report(tmp_path, upload, every=0.01)
    report.say("working")
    with pytest.raises(Unreachable):
        report.end()
    is_away = False
    report.end()

    assert [("log.txt", "working\n")] == sent


@pytest.mark.parametrize("error", [Failure("too large"), Invalid("no such thing")])
def test_what_we_refuse_is_told_as_it_is(error):
    assert str(error) == job.reason(error)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")]
)
def test_memory_that_ran_out_is_told_in_an_artists_words(error):
    assert job.reason(error).startswith("the machine ran out of memory: ask for less at a time")
