"""The artist's demo: pictures read and drawn, checkpoints cut into parts, waiting that ends."""

import io
import struct
import zlib

import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.table import Table

from atelier import artist, studies, waiting
from atelier.cli.artist import Easel, blocks, conclude
from atelier.cli.main import cli
from atelier.client import checkpoints, pictures
from atelier.client.errors import Problem
from atelier.demo import Clock
from atelier.stacks import Event

ROWS = [bytes([10, 20, 30, 40, 50, 60]), bytes([11, 22, 33, 200, 100, 0]), bytes([255, 0, 7, 9, 9, 9])]


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def a_png(*lines, text=b"", header=bytes([8, 2, 0, 0, 0])):
    size = struct.pack(">II", 2, len(lines))
    data = zlib.compress(b"".join(bytes([method]) + line for method, line in lines))
    words = chunk(b"tEXt", b"parameters\0" + text) if text else b""
    return (
        pictures.SIGNATURE
        + chunk(b"IHDR", size + header)
        + words
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def filtered(method, line, above):
    """Write a line as PNG's specification says of the method."""
    made = []
    for at, value in enumerate(line):
        left, corner = (line[at - 3], above[at - 3]) if at >= 3 else (0, 0)
        up = above[at]
        near = left + up - corner
        paeth = min((left, up, corner), key=lambda each: abs(near - each))
        made.append((value - (0, left, up, (left + up) // 2, paeth)[method]) % 256)
    return bytes(made)


@pytest.mark.parametrize("method", range(5))
def test_a_picture_is_read_whatever_filter_its_lines_have(method):
    above = [bytes(6), *ROWS]
    lines = [(method, filtered(method, line, up)) for line, up in zip(ROWS, above, strict=False)]

    found = pictures.read(a_png(*lines))

    assert (2, 3, tuple(ROWS)) == (found.width, found.height, found.rows)
    assert (40, 50, 60) == found.colour(1, 0)


def test_how_a_picture_was_made_stands_in_it():
    assert "a cat\nSteps: 7" == pictures.infotext(a_png((0, ROWS[0]), text=b"a cat\nSteps: 7"))
    assert "" == pictures.infotext(a_png((0, ROWS[0])))


def test_an_infotext_of_any_letters_is_read_too():
    international = chunk(b"iTXt", b"parameters\0\0\0\0\0" + "ein Kätzchen".encode())

    assert "ein Kätzchen" == pictures.infotext(pictures.SIGNATURE + international)


@pytest.mark.parametrize("picture", [b"", b"GIF89a", a_png((0, ROWS[0]), header=bytes([16, 2, 0, 0, 0]))])
def test_what_is_no_such_picture_is_refused(picture):
    with pytest.raises(Problem, match="PNG"):
        pictures.read(picture)


def test_a_picture_is_drawn_by_half_blocks_of_two_points_each():
    drawn = blocks(pictures.read(a_png(*((0, each) for each in ROWS[:2]))))

    assert "▀▀\n" == drawn.plain
    assert "#0a141e on #0b1621" == str(drawn.spans[0].style)


@pytest.mark.parametrize(("size", "expected"), [(0, [0]), (3, [3]), (4, [4]), (9, [4, 4, 1])])
def test_a_file_is_cut_into_as_many_parts_as_are_asked_for(size, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "PART", 4)
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)

    assert expected == [len(each) for each in checkpoints.pieces(path)]


def test_waiting_ends_with_words(monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE", -1.0)

    with pytest.raises(Problem, match="minutes for the moon"):
        waiting.settle(lambda: False, "the moon", sleep=lambda seconds: None)


def test_an_endpoint_that_failed_says_why():
    with pytest.raises(Problem, match="sd-async-artist failed: no such image"):
        artist.is_in_service({"endpoint_status": "Failed", "error": "no such image"}, "sd-async-artist")


def test_the_image_that_is_built_is_told_of():
    console = Console(file=io.StringIO(), width=100)
    event = Event(stack="s", resource="Image", type="the image of endpoints", status="BUILD_IN_PROGRESS")

    Easel(console, yes=True).stack(event)

    assert "takes some minutes" in console.file.getvalue()


def test_without_a_terminal_the_endpoint_rests():
    assert Easel(Console(file=io.StringIO()), yes=False).rest("sd-async-artist")


def test_the_artist_takes_no_data(tmp_path):
    result = CliRunner().invoke(cli, ["demo", "artist", "--data", str(tmp_path)])

    assert 2 == result.exit_code
    assert "the other parts bring their own" in result.stderr


def painting(folder, infotext):
    picture = pictures.read(a_png(*((0, line) for line in ROWS)))
    return artist.Painting(inference="2", path=folder / "2.png", picture=picture, infotext=infotext)


def test_the_demo_ends_by_saying_how_to_connect_a_webui(tmp_path):
    heard = io.StringIO()
    result = artist.Result(
        api_url="http://127.0.0.1:4566/prod/",
        checkpoint=checkpoints.Checkpoint(id="1", name="tiny", type="Stable-diffusion", is_new=True),
        endpoint="sd-async-artist",
        instances="0",
        first=painting(tmp_path, "a lighthouse"),
        made=studies.Made(
            dataset="sunsets", lora="sunset.safetensors", lora_id="3", merged="m.safetensors", merged_id="4"
        ),
        second=painting(tmp_path, "a lighthouse at sunset"),
        seconds={"total": 1.0},
    )

    conclude(Console(file=heard, width=80), result, Table())

    told = heard.getvalue()
    assert "cp -r extension" in told
    assert "extensions/atelier" in told
    assert "tokens create artist" in told
    assert "http://127.0.0.1:4566/prod/" in told.partition("tab Atelier")[2]


def test_the_pictures_of_the_dataset_are_drawn_and_differ():
    drawn = [pictures.read(studies.sunset(number)) for number in range(studies.PICTURES)]

    assert {(64, 64)} == {(each.width, each.height) for each in drawn}
    assert studies.PICTURES == len({each.rows for each in drawn})


class StudiesApi:
    """Answers for datasets, trainings and merges; nothing is there but what is given."""

    username = "artist"

    def __init__(self, there=(), training="Completed"):
        self.there, self.training, self.asked = there, training, []

    def call(self, method, path, body=None):
        self.asked.append((method, path.partition("?")[0].partition("/")[0]))
        ended = {"checkpoint_id": "made", "error": "the dataset is empty"}
        answers = {
            ("GET", "datasets"): {
                "datasets": [{"datasetName": each, "status": "Enabled"} for each in self.there]
            },
            ("GET", "checkpoints"): {"checkpoints": [{"id": each, "name": [each]} for each in self.there]},
            ("POST", "trainings"): {"id": "1"},
            ("GET", "trainings"): {
                **ended,
                "job_status": self.training,
                "metrics": [{"loss": 0.9}, {"loss": 0.4}],
            },
            ("POST", "merges"): {"merge": {"id": "2"}},
            ("GET", "merges"): {**ended, "status": "Completed"},
        }
        return answers[self.asked[-1]]


def studied(api):
    heard = io.StringIO()
    both = [
        checkpoints.Checkpoint(id=each, name=each, type="Stable-diffusion", is_new=False) for each in "ab"
    ]
    view = Easel(Console(file=heard, width=200), yes=True)
    return studies.make(api, *both, "ml.g4dn.xlarge", view, Clock()), heard.getvalue()


def test_what_the_artist_made_before_is_not_made_again():
    api = StudiesApi(there=("sunsets", "sunset.safetensors", "tiny-merged.safetensors"))

    made, heard = studied(api)

    assert {"GET"} == {method for method, _ in api.asked}
    assert ("sunset.safetensors", "tiny-merged.safetensors") == (made.lora_id, made.merged_id)
    assert 3 == heard.count("there already")


def test_a_lora_tells_how_its_loss_fell():
    made, heard = studied(StudiesApi(there=("sunsets",)))

    assert ("made", "made") == (made.lora_id, made.merged_id)
    assert "loss 0.900 at first, 0.400 at last" in heard


def test_a_training_that_failed_ends_the_demo_by_its_reason():
    with pytest.raises(Problem, match="trainings/1 failed: the dataset is empty"):
        studied(StudiesApi(there=("sunsets",), training="Failed"))
