"""The demo from the outside: with the tiny model for its words, and once with GPT-Neo as it is."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import workshop as shop
from click.testing import CliRunner

from atelier.cli.connect import reached
from atelier.cli.main import cli
from atelier.client import completions, datasets
from atelier.client.outputs import output
from atelier.cloud.gateway import launch

MEMBERS = [
    *("execution_id", "commit", "image_digest", "data_version"),
    *("perplexity_before", "perplexity_after", "bits_per_byte"),
    *("model_version", "model_status", "endpoint_status", "api_url", "completion", "seconds"),
]


def run(workshop, monkeypatch, *words):
    monkeypatch.chdir(workshop.folder)
    monkeypatch.setenv("ATELIER_HOME", str(workshop.home))
    return CliRunner().invoke(cli, ["demo", *words, "--data", str(workshop.data)])


def test_a_demo_after_a_change_makes_the_next_version_and_compares_it(workshop, monkeypatch):
    before = workshop.serving()
    commit = workshop.commit(WORD="shown")
    (workshop.folder / "notes.txt").write_text("not committed")

    result = run(workshop, monkeypatch, "--yes", "--json")

    (workshop.folder / "notes.txt").unlink()
    assert 0 == result.exit_code, result.output
    document = json.loads(result.stdout.splitlines()[-1])
    assert MEMBERS == list(document)
    assert (commit, "approved", "InService", " shown") == tuple(
        document[name] for name in ("commit", "model_status", "endpoint_status", "completion")
    )
    assert before.version < document["model_version"]
    for words in (
        "only what is committed goes; not committed: notes.txt",
        "Train: Succeeded",
        f"version {before.version}",
        f"version {document['model_version']}",
        "--header @<(atelier api-key --header)",
        "atelier down",
    ):
        assert words in result.stderr
    assert workshop.api.key not in result.output


def test_a_demo_without_anyone_to_approve_leaves_the_model_waiting_for_the_next_one(workshop, monkeypatch):
    workshop.commit(WORD="waits")

    result = run(workshop, monkeypatch, "--json")

    assert (3, "") == (result.exit_code, result.stdout)
    assert "atelier pipeline approve atelier-training" in result.stderr
    waiting = workshop.pipelines.waiting(shop.PIPELINE)

    again = run(workshop, monkeypatch, "--yes", "--json")

    assert f"Going on with run {waiting}" in again.stderr
    assert waiting == json.loads(again.stdout)["execution_id"]
    assert " waits" == workshop.answer()


def test_a_demo_whose_build_fails_gives_the_reason(workshop, monkeypatch):
    buildspec = "buildspecs/training.yml"
    workshop.change(
        buildspec, "  build:\n    commands:\n", "  build:\n    commands:\n      - make nonsense\n"
    )

    result = run(workshop, monkeypatch, "--yes")

    workshop.change(buildspec, "      - make nonsense\n", "")
    assert 1 == result.exit_code
    assert "make nonsense" in result.stderr.splitlines()[-1]
    assert "still serves" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: None, "is not a git repository"),
        (lambda folder: subprocess.run(["git", "init", "-q", folder], check=True), "has no commit yet"),
    ],
)
def test_a_demo_of_what_cannot_be_pushed_starts_nothing(prepare, words, monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("ATELIER_HOME", f"{folder}/home")

        result = CliRunner().invoke(cli, ["demo", "--yes"])

        assert 1 == result.exit_code
        assert words in result.stderr
        assert not Path(folder, "home").exists()


@contextmanager
def home_of(folder):
    """A home whose cloud does not outlive the test."""
    try:
        yield folder / "home"
    finally:
        launch.stop(folder / "home")


@pytest.mark.timeout(1200)
def test_the_demo_teaches_gpt_neo_english_and_answers_over_http():
    with tempfile.TemporaryDirectory(prefix="atelier-demo-") as place, home_of(Path(place)) as home:
        folder = shop.begin(shop.copy(Path(place) / "work", *shop.PARTS, "images"))
        words = ["demo", "--yes", "--json", "-p", "TrainingSteps=160"]

        done = subprocess.run(
            [sys.executable, "-m", "atelier", *words],
            cwd=folder,
            env={**os.environ, "ATELIER_HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )

        assert 0 == done.returncode, done.stderr
        document = json.loads(done.stdout.splitlines()[-1])
        assert MEMBERS == list(document)
        assert document["perplexity_after"] < document["perplexity_before"] / 4
        assert 1 == document["model_version"]
        clients = reached(launch.connection(home))
        same = {"prompt": "The with statement", "temperature": 0, "max_new_tokens": 8}
        answers = [completions.complete(completions.published(clients), same) for _ in range(2)]
        assert answers[0]["completions"][0]["text"] == answers[1]["completions"][0]["text"]
        refuses_bad_data(shop.Workshop(clients=clients, folder=folder), Path(place))


def refuses_bad_data(workshop, place):
    """Data that nobody can learn from fails with a reason, and what serves goes on serving."""
    bucket = output(workshop.clients, "atelier-storage", "DataBucketName")
    before = workshop.serving().version
    for name, content, words in (
        ("picture.png", bytes(range(256)) * 40, "not UTF-8 text"),
        ("blank.txt", b" \n" * 40, "bytes of text"),
    ):
        (place / name).write_bytes(content)
        datasets.upload(workshop.clients, bucket, place / name)

        run = workshop.run(workshop.pipelines.start(shop.PIPELINE, {}))

        assert "Failed" == run.status
        assert words in run.failure.reason
        assert before == workshop.serving().version
        assert workshop.answer()
