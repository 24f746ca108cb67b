"""Datasets: what is declared, what is in place, and what may be trained from."""

import json
from dataclasses import replace

import pytest
from checkpoint_fakes import LATER, NOW
from work_fakes import ID, PICTURE, Studio

from atelier.lambdas.domain.datasets import MOST_PARTS
from atelier.lambdas.errors import Busy, Invalid, NotFound
from atelier.lambdas.services.middleware import datasets, manifests


@pytest.fixture
def studio():
    return Studio()


def shown(studio, name, start=None):
    return {
        each.entry.path: (each.size, each.entry.reason) for each in studio.opened(name, start=start).files
    }


def test_a_file_that_was_not_uploaded_has_no_size(studio):
    _, places = studio.dataset("dogs", "b.png", "a.png")
    studio.files.objects[places["b.png"]] = PICTURE

    assert {"a.png": (None, ""), "b.png": (len(PICTURE), "")} == shown(studio, "dogs")


def test_a_prefix_is_a_folder(studio):
    made, places = studio.dataset("dogs", "a.png", prefix="10_dog")

    assert f"{made.folder}10_dog/a.png" == places["a.png"]


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("../a.png", ""),
        ("a.png", ".."),
        ("a.png", "10_dog/../.."),
        (".a.png", ""),
        ("a\x00.png", ""),
        ("a\n.png", ""),
        ("C:\\a.png", ""),
        (" a.png", ""),
        ("a" * 255, "b" * 260),
    ],
)
def test_a_name_that_is_no_plain_name_is_refused_and_nothing_is_made(studio, name, prefix):
    with pytest.raises(Invalid, match="is not a plain name of a file"):
        studio.dataset("dogs", name, prefix=prefix)

    assert {"cats"} == studio.datasets.kept.keys()


def test_a_name_twice_is_refused(studio):
    with pytest.raises(Invalid, match="is there twice"):
        studio.dataset("dogs", "a.png", "a.png")


def test_ten_thousand_pictures_come_in_portions(studio):
    names = [f"{number:05}.png" for number in range(10_000)]
    for start in range(0, len(names), 500):
        studio.dataset("dogs", *names[start : start + 500])

    found, start = [], None
    while True:
        page = studio.opened("dogs", start=start)
        found += [each.entry.path for each in page.files]
        if page.last is None:
            break
        start = page.last.token()

    assert (20, names) == (studio.datasets.get("dogs").parts, found)


def test_asking_for_the_same_files_again_makes_no_others(studio):
    first, places = studio.dataset("dogs", "a.png", "b.png")

    again = studio.dataset("dogs", "b.png", "a.png")

    assert (first, places) == again
    assert ["a.png", "b.png"] == list(shown(studio, "dogs"))


def test_a_dataset_has_an_end(studio):
    made, _ = studio.dataset("dogs", "a.png")
    studio.datasets.kept["dogs"] = replace(made, parts=MOST_PARTS)

    with pytest.raises(Invalid, match="too many files: at most 100000"):
        studio.dataset("dogs", "b.png")


def test_two_who_add_files_at_once_lose_none(studio):
    studio.dataset("dogs", "a.png")
    studio.life.interrupt = lambda: studio.dataset("dogs", "b.png")

    studio.dataset("dogs", "c.png")

    assert {"a.png", "b.png", "c.png"} == manifests.known(studio.datasets.get("dogs"), files=studio.files)


def test_only_an_initialed_dataset_grows(studio):
    with pytest.raises(Invalid, match="cats already exists and is Enabled"):
        studio.dataset("cats", "z.png")


@pytest.mark.parametrize("files", [{}, {"a.txt": b"a dog"}, {"a.png": b""}])
def test_a_dataset_without_a_picture_is_not_enabled(studio, files):
    studio.dataset("dogs", "a.png", "a.txt")
    folder = studio.datasets.get("dogs").folder
    studio.files.objects |= {f"{folder}{name}": body for name, body in files.items()}

    with pytest.raises(Invalid, match="dogs has no pictures yet"):
        studio.update("dogs", "Enabled")


def test_a_dataset_that_is_not_there_is_not_found(studio):
    for look in (lambda: studio.opened("dogs"), lambda: studio.update("dogs", "Enabled")):
        with pytest.raises(NotFound, match="dataset dogs is not found"):
            look()


def test_lists_show_a_status_and_go_on_where_they_ended(studio):
    for name in ("dogs", "birds", "fish"):
        studio.dataset(name, "a.png")

    def page(start, status="Initialed"):
        return datasets.listed(status=status, limit=2, start=start, datasets=studio.datasets)

    first = page(None)
    rest = page(first.token)

    assert {"dogs", "birds", "fish"} == {each.name for each in (*first.items, *rest.items)}
    assert ["cats"] == [each.name for each in page(None, "Enabled").items]
    with pytest.raises(Invalid, match="exclusive_start_key"):
        page(first.token, "Enabled")


def test_a_deleted_dataset_shares_nothing_with_a_later_one_of_its_name(studio):
    first = studio.datasets.get("cats")
    datasets.delete(["cats", "none"], now=NOW, world=studio.world, executions=studio.executions)

    again, _ = studio.dataset("cats", "a.png")

    assert first.folder != again.folder
    assert not [each for each in studio.files.objects if each.startswith((first.folder, first.manifests))]


def test_a_crop_becomes_a_dataset_with_what_could_be_cropped(studio):
    made = studio.crop()
    found = studio.works.get(ID)
    studio.files.objects |= {f"{made.folder}a.png": PICTURE, f"{made.folder}a.txt": b"a cat"}
    refused = {"name": "b.png", "status": "failed", "reason": "it is no picture"}
    studio.tell(found, files=[{"name": "a.png", "status": "ok"}, refused])

    studio.finish()

    after = studio.datasets.get("cats_64x64")
    assert ("Enabled", "Completed") == (after.status, after.crop.status)
    assert {"a.png": (9, ""), "a.txt": (5, ""), "b.png": (None, "it is no picture")} == shown(
        studio, "cats_64x64"
    )


def test_the_crop_is_asked_for_what_the_client_said(studio):
    made = studio.crop(size="128x64")

    config = json.loads(studio.files.objects[f"work/{ID}/config.json"])
    assert ("128x64", f"s3://bucket/{made.folder}") == (config["max_resolution"], config["output"])


def test_a_crop_that_fails_leaves_a_dataset_that_says_why(studio):
    made = studio.crop()
    studio.files.objects[f"{made.folder}a.png"] = PICTURE

    studio.fail("no picture can be read")

    after = studio.datasets.get(made.name)
    assert ("Disabled", "Failed", "no picture can be read") == (
        after.status,
        after.crop.status,
        after.crop.error,
    )
    assert not [each for each in studio.files.objects if each.startswith(made.folder)]


def test_a_crop_is_not_made_over_a_dataset(studio):
    studio.crop()

    with pytest.raises(Invalid, match="cats_64x64 already exists"):
        studio.crop()

    assert "InProgress" == studio.datasets.get("cats_64x64").crop.status


def test_a_crop_that_loses_a_race_takes_nothing_from_the_winner(studio):
    studio.life.interrupt = lambda: studio.dataset("cats_64x64", "a.png")

    with pytest.raises(Invalid, match="already exists"):
        studio.crop()

    assert studio.datasets.get("cats_64x64").crop is None
    assert {} == studio.works.kept


@pytest.mark.parametrize(
    ("name", "size", "error", "words"),
    [
        ("dogs", "64x64", NotFound, "dataset dogs is not found"),
        ("cats", "9999x64", Invalid, "at most 4096x4096"),
        ("cats", "1\u0663x64", Invalid, "at most 4096x4096"),
        ("empty", "64x64", Invalid, "has no pictures yet"),
    ],
)
def test_a_crop_that_cannot_be_is_refused(studio, name, size, error, words):
    studio.dataset("empty", "a.png")

    with pytest.raises(error, match=words):
        studio.crop(name, size)

    assert {} == studio.works.kept


def test_no_crop_has_a_name_that_cannot_be_asked_for(studio):
    name = "cats" + "_64x64" * 16
    studio.datasets.kept[name] = replace(studio.datasets.get("cats"), name=name)
    studio.files.objects[f"{studio.datasets.get(name).folder}a.png"] = PICTURE

    with pytest.raises(Invalid, match="at most 100 characters"):
        studio.crop(name)

    assert {} == studio.works.kept


def test_what_is_being_cropped_waits(studio):
    studio.crop()

    with pytest.raises(Invalid, match="is being cropped"):
        studio.update("cats_64x64", "Enabled")
    with pytest.raises(Invalid, match="has no pictures yet"):
        studio.crop("cats_64x64", "32x32")


def test_deleting_a_dataset_stops_the_crop_that_makes_it(studio):
    studio.crop()

    datasets.delete(["cats_64x64"], now=LATER, world=studio.world, executions=studio.executions)

    assert ("Stopped", [f"crop-{ID}"]) == (studio.works.get(ID).status, studio.executions.stopped)
    assert {"cats"} == studio.datasets.kept.keys()


def test_a_crop_that_cannot_be_begun_leaves_nothing(studio):
    studio.executions.trouble = Busy("not now")

    with pytest.raises(Busy):
        studio.crop()

    assert ({}, {"cats"}) == (studio.works.kept, studio.datasets.kept.keys())
