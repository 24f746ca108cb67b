"""A folder on its way to a dataset: sorted, sent, cut, taken up again."""

import threading

import pytest
from PIL import Image

from atelier_webui import datasets
from atelier_webui.datasets import Sending, Shelves
from atelier_webui.errors import Problem, Refusal, Stopped, Unreachable


@pytest.fixture
def shelves(client):
    return Shelves(client)


@pytest.fixture
def place(tmp_path):
    """Four images with captions."""
    for number in range(4):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"a{number}.png")
        (tmp_path / f"a{number}.txt").write_text(f"number {number}")
    return tmp_path


def sorted_out(place):
    return datasets.folder(place.iterdir())


def test_a_folder_is_sorted_into_images_captions_and_the_rest(place):
    (place / "a1.txt").unlink()
    (place / "alone.txt").write_text("of no image")
    (place / "B.JPG").write_bytes(b"jpeg")

    found = sorted_out(place)

    assert ["B.JPG", "a0.png", "a1.png", "a2.png", "a3.png"] == [each.name for each in found.images]
    assert ["a0.txt", "a2.txt", "a3.txt"] == [each.name for each in found.captions]
    assert ["B.JPG", "a1.png"] == [each.name for each in found.uncaptioned]
    assert ["alone.txt"] == [each.name for each in found.others]


def test_a_folder_without_an_image_is_none(tmp_path):
    (tmp_path / "a.txt").write_text("a caption")

    with pytest.raises(Problem, match="no image"):
        sorted_out(tmp_path)


def test_two_files_of_one_name_are_refused_by_it(place):
    (place / "deeper").mkdir()
    again = place / "deeper" / "a1.png"
    again.write_bytes(b"png")

    with pytest.raises(Problem, match=r"several files a1\.png"):
        datasets.folder([*place.glob("*.png"), again])


def test_every_file_arrives_and_the_dataset_is_enabled(cloud, shelves, place):
    told = []
    sending = Sending(shelves, "numbers", sorted_out(place), "four", lambda *at: told.append(at))

    assert "numbers" == sending.run()

    sizes = sum(each.stat().st_size for each in place.iterdir())
    assert (sizes, sizes) == told[-1]
    assert ("Enabled", "four") == (
        cloud.datasets["numbers"]["status"],
        cloud.datasets["numbers"]["description"],
    )
    for each in place.iterdir():
        assert each.read_bytes() == cloud.objects[f"numbers/{each.name}"]


def test_more_files_than_one_request_may_name_go_in_several(cloud, shelves, place, monkeypatch):
    monkeypatch.setattr(datasets, "AT_ONCE", 3)

    Sending(shelves, "numbers", sorted_out(place)).run()

    assert (3, 8) == (cloud.times("CreateDataset"), len(cloud.datasets["numbers"]["files"]))


def test_an_upload_that_was_cut_goes_on_and_sends_nothing_twice(shelves, place, monkeypatch):
    monkeypatch.setattr(datasets, "WORKERS", 1)
    put, sent = shelves.calls.put, []

    def cut(link, body):
        if len(sent) == 3:
            raise Unreachable("the connection was lost")
        sent.append(link.rpartition("/")[2])
        return put(link, body)

    monkeypatch.setattr(shelves.calls, "put", cut)
    sending = Sending(shelves, "numbers", sorted_out(place))
    with pytest.raises(Unreachable, match=r"a3\.png was not sent"):
        sending.run()

    sent.append("the cut is over")
    sending.run()

    sent.remove("the cut is over")
    assert sorted(each.name for each in place.iterdir()) == sorted(sent)


def test_an_upload_is_stopped_and_discarded(cloud, shelves, place, monkeypatch):
    put, begun, go_on = shelves.calls.put, threading.Event(), threading.Event()

    def slow(link, body):
        begun.set()
        go_on.wait(10)
        return put(link, body)

    monkeypatch.setattr(shelves.calls, "put", slow)
    sending = Sending(shelves, "numbers", sorted_out(place))
    caught = []

    def run():
        try:
            sending.run()
        except Problem as problem:
            caught.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait(10)
    sending.stop()
    go_on.set()
    thread.join(10)

    assert [Stopped] == [type(each) for each in caught]
    assert "Initialed" == cloud.datasets["numbers"]["status"]
    assert sending.discard()
    assert {} == cloud.datasets
    assert not sending.discard()


def test_an_empty_image_is_refused_before_anything_is_sent(cloud, shelves, place):
    (place / "a2.png").write_bytes(b"")

    with pytest.raises(Problem, match=r"a2\.png is empty"):
        Sending(shelves, "numbers", sorted_out(place)).run()
    assert {} == cloud.datasets


def test_a_file_that_is_gone_meanwhile_is_named(shelves, place):
    sending = Sending(shelves, "numbers", sorted_out(place))
    (place / "a2.png").unlink()

    with pytest.raises(Problem, match=r"a2\.png cannot be read.*Choose the folder again"):
        sending.run()


def test_a_link_that_is_too_old_names_the_file_and_tells_no_link(shelves, place, monkeypatch):
    def refuse(link, body):
        raise Refusal(403, "S3 answered 403 AccessDenied")

    monkeypatch.setattr(shelves.calls, "put", refuse)
    with pytest.raises(Refusal, match=r"a\d\.png was not taken: the link was too old\.") as caught:
        Sending(shelves, "numbers", sorted_out(place)).run()
    assert "http" not in str(caught.value)


def test_a_dataset_that_is_there_already_is_not_added_to(cloud, shelves, place):
    cloud.dataset("numbers")

    with pytest.raises(Refusal, match="already exists"):
        Sending(shelves, "numbers", sorted_out(place)).run()


def test_a_dataset_without_a_name_is_refused_here(cloud, shelves, place):
    with pytest.raises(Problem, match="name first"):
        Sending(shelves, "", sorted_out(place)).run()
    assert 0 == cloud.times("CreateDataset")
