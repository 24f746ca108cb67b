"""What a training job leaves for the next one in the channel that they share."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from containers import SMALL, TEXT, losses, prepare, train

pytestmark = pytest.mark.timeout(1500)  # the first run on a machine installs torch

SHORT = {**SMALL, "steps": 3, "checkpoint_every": 1000, "evaluations": 1}


@pytest.fixture(scope="module")
def cases(image, tmp_path_factory):
    """What came of preparing texts in one process of the image."""
    folder, log = tmp_path_factory.mktemp("cases"), tmp_path_factory.mktemp("log") / "log"
    process = image.python(Path(__file__).with_name("prepare_texts.py"), folder, log)
    assert 0 == process.wait(120), log.read_text()
    return json.loads(log.read_text())


def job(image, folder, shared):
    """Train with a shared channel; return the log."""
    base = prepare(folder, TEXT, **SHORT)
    (base / "input" / "data" / "shared").symlink_to(shared)
    code, log = train(image, base)
    assert 0 == code, log
    return log


def test_the_next_job_learns_the_same_from_what_the_first_has_made(image, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()

    first, second = job(image, tmp_path / "first", shared), job(image, tmp_path / "second", shared)

    assert re.search("^cache kept=", first, re.MULTILINE)
    assert re.search("^cache hit=", second, re.MULTILINE)
    assert losses(first) == losses(second)


def test_what_is_kept_is_found_and_is_the_same(cases):
    assert cases["first"]["said"].startswith("cache kept=")
    assert cases["second"]["said"].startswith("cache hit=")
    assert cases["first"]["ids"] == cases["second"]["ids"]
    assert [".json", ".npy"] == cases["second"]["kept"]


@pytest.mark.parametrize("case", ["known", "other text", "other size"])
def test_another_tokenizer_text_or_vocabulary_is_made_anew(cases, case):
    assert "cache hit" not in cases[case]["said"]
    assert cases["first"]["ids"] != cases[case]["ids"]


def test_a_checkpoints_own_tokenizer_is_not_left_to_others(cases):
    assert "" == cases["known"]["said"]


@pytest.mark.parametrize("case", ["ids", "sidecar", "missing"])
def test_what_is_damaged_is_made_anew(cases, case):
    assert "cache hit" not in cases[case]["said"]
    assert "cache kept=" in cases[case]["said"]
    assert (case != "missing") == ("making it anew" in cases[case]["said"])
    assert cases["first"]["ids"] == cases[case]["ids"]
    assert [".json", ".npy"] == cases[case]["kept"]


def test_a_folder_that_cannot_be_written_is_only_a_warning(cases):
    assert "warning: nothing is cached for other jobs" in cases["blocked"]["said"]
    assert cases["first"]["ids"] == cases["blocked"]["ids"]


def test_the_newest_texts_are_kept_and_the_others_go(cases):
    assert [*[".json"] * 16, *[".npy"] * 16] == cases["many"]["kept"]
