"""The demo's words: what it asks, what it shows at the end, what it says when it cannot go on."""

import io
import json
from types import SimpleNamespace

import git
import pytest
from click.testing import CliRunner
from client_fakes import FakeCodePipeline, action_detail
from rich.console import Console

from atelier import demo
from atelier.cli.demo import budget, comparison
from atelier.cli.main import cli
from atelier.cli.screen import Lines, Screen, progress
from atelier.client.completions import Api
from atelier.client.errors import Problem
from atelier.client.following import Asked, Learned, Moved
from atelier.client.models import Version
from atelier.client.pipelines import Pipelines
from atelier.client.repositories import Head
from atelier.client.training import Progress
from atelier.contract.events import BITS_PER_BYTE, PERPLEXITY, PERPLEXITY_BEFORE

CUSTOM = "Version 2: 2.3125 bits per byte; better.\nCommit c0ffee"


def console():
    return Console(file=io.StringIO(), width=100)


def said(console):
    return console.file.getvalue()


def version(number, **values):
    metrics = {BITS_PER_BYTE: 2.5 - number / 10, PERPLEXITY: 150.5 - number, PERPLEXITY_BEFORE: 2095.1}
    return Version(
        **{
            "model": "gpt-neo",
            "version": number,
            "status": "approved",
            "published": "2026-01-01T00:00:00+00:00",
            "metrics": metrics,
            "commit": f"c{number}",
            "image_digest": f"sha256:{number}",
            "data_version": "d1",
            "run": "run-1",
            **values,
        }
    )


def execution(**values):
    codepipeline = FakeCodePipeline(**values)
    clients = SimpleNamespace(codepipeline=codepipeline, where="the local cloud")
    return Pipelines(clients=clients).execution("atelier-training", "run-1")


@pytest.fixture
def waiting():
    return execution(details=[action_detail("Approve", "InProgress", custom=CUSTOM)])


def test_with_yes_it_approves_with_the_facts_in_view(waiting):
    terminal = console()

    decision = Lines(terminal, yes=True).decide(waiting, waiting.waiting)

    assert decision.approve
    assert "Version 2: 2.3125 bits per byte; better." in said(terminal)


def test_without_a_terminal_and_without_yes_it_leaves_the_decision_open(waiting):
    assert Lines(console(), yes=False).decide(waiting, waiting.waiting) is None
    assert not Lines(console(), yes=False).clear_way(waiting)


def test_a_failure_is_told_with_its_reason():
    terminal = console()
    run = execution(details=[action_detail("Build", "Failed", message="make image: exit 2")])

    Lines(terminal, yes=False).event(Moved(execution=run, action=run.action("Build")))

    assert "Build: Failed in 1.0 s (make image: exit 2)" in said(terminal)


def test_training_is_told_in_few_lines():
    terminal = console()
    lines, run = Lines(terminal, yes=False), execution()

    for step in range(100):
        lines.event(Learned(execution=run, progress=Progress(job="j", step=step, steps=100)))

    assert 1 == said(terminal).count("step ")


def test_the_screen_draws_every_stage_and_the_training():
    terminal = Console(file=io.StringIO(), width=100, force_terminal=True)
    run = execution(details=[action_detail("Train", "InProgress")])

    with Screen(terminal, yes=True) as screen:
        screen.event(
            Learned(execution=run, progress=Progress(job="j", step=5, steps=10, loss=5.25, perplexity=190.6))
        )

    for words in (
        "Source",
        "Publish" if run.action("Publish") else "Approve",
        "step 5/10",
        "perplexity 190.6",
    ):
        assert words in said(terminal)


def test_the_screen_shows_the_facts_and_approves_when_told_to(waiting):
    terminal = Console(file=io.StringIO(), width=100, force_terminal=True)

    with Screen(terminal, yes=True) as screen:
        screen.event(Asked(execution=waiting, action=waiting.waiting))
        assert screen.decide(waiting, waiting.waiting).approve


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (Progress(job="j"), "starting"),
        (Progress(job="j", step=3, steps=9, loss=2, perplexity=7.4), "step 3/9, loss 2.000, perplexity 7.4"),
        (
            Progress(job="j", step=9, steps=9, perplexity_before=2095, bits_per_byte=2.3),
            "step 9/9, untrained 2,095, 2.300 bits per byte",
        ),
    ],
)
def test_progress_is_one_line(now, line):
    assert line == progress(now)


def test_two_versions_are_compared_side_by_side():
    terminal = console()

    terminal.print(comparison(version(1), version(2)))

    for words in ("version 1", "version 2", "2.4000", "2.3000", "149.50", "148.50", "c1", "c2"):
        assert words in said(terminal)


def test_times_stand_beside_what_they_may_take():
    terminal = console()

    terminal.print(budget({"up": 1.25, "Build": 30.0}))

    assert "1.2 s  at most 3.0 s" in " ".join(said(terminal).replace("   ", " ").split(" ")).replace(
        "  ", "  "
    )


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "holds no text to train on"), (b"\x89PNG\r\n", "book.txt is not UTF-8 text")]
)
def test_a_demo_with_data_that_training_would_refuse_starts_nothing(tmp_path, monkeypatch, content, words):
    with git.Repo.init(tmp_path / "work", initial_branch="main") as made:
        author = git.Actor("Tester", "tester@example.invalid")
        made.index.commit("Begin", author=author, committer=author)
    (tmp_path / "book.txt").write_bytes(content)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "home"))

    result = CliRunner().invoke(cli, ["demo", "--yes", "--data", str(tmp_path / "book.txt")])

    assert 1 == result.exit_code
    assert words in " ".join(result.stderr.split())
    assert not (tmp_path / "home").exists()


def test_what_is_not_committed_is_told():
    head = Head(root=".", commit="c", subject="s", uncommitted=tuple(f"f{each}" for each in range(7)))

    assert ["only what is committed goes; not committed: f0, f1, f2, f3, f4 and 2 more"] == list(
        demo.left_behind(head)
    )


def test_the_result_is_one_object_of_exactly_these_members():
    result = demo.Result(
        prefix="atelier",
        execution=execution(),
        version=version(2),
        previous=None,
        endpoint_status="InService",
        api=Api(url="http://127.0.0.1:9/completions", key_id="k", key="secret"),
        answers=(demo.Answer(prompt="A", text=" class"),),
        seconds={"up": 1.234, "total": 99.0},
    )

    document = result.document()

    names = (
        "execution_id commit image_digest data_version perplexity_before perplexity_after bits_per_byte"
        " model_version model_status endpoint_status api_url completion seconds"
    )
    assert names.split() == list(document)
    assert (2095.1, 148.5, 2.3) == tuple(
        document[name] for name in ("perplexity_before", "perplexity_after", "bits_per_byte")
    )
    assert {"up": 1.23, "total": 99.0} == document["seconds"]
    assert "secret" not in json.dumps(document)


class FakeModels:
    def __init__(self, *versions):
        self._versions = versions

    def versions(self):
        return list(self._versions)


@pytest.mark.parametrize(
    ("models", "words"),
    [
        (FakeModels(), "nothing was served before"),
        (FakeModels(version(3, status="rejected"), version(2)), "version 2 still serves"),
    ],
)
def test_a_run_that_failed_says_why_and_what_serves(models, words):
    run = execution(status="Failed", details=[action_detail("Train", "Failed", message="empty data")])

    told = demo.failed(run, models)

    assert "Train: empty data" in told
    assert words in told


class Watcher:
    """A view that keeps what it hears."""

    def __init__(self, *, yes=False):
        self.yes, self.told = yes, []

    def step(self, text):
        self.told.append(text)

    warn = step

    def event(self, event):
        self.told.append(event)

    def clear_way(self, execution):
        return self.yes


def test_an_earlier_run_that_waits_is_rejected_when_it_may_be():
    codepipeline = FakeCodePipeline(token="t")
    pipelines = Pipelines(clients=SimpleNamespace(codepipeline=codepipeline, where="here"))

    demo.clear(pipelines, demo.Plan(folder="."), Watcher(yes=True), "run-1")

    assert "Rejected" == codepipeline.decision["result"]["status"]


def test_an_earlier_run_that_waits_is_left_alone_otherwise():
    codepipeline = FakeCodePipeline(token="t")
    pipelines = Pipelines(clients=SimpleNamespace(codepipeline=codepipeline, where="here"))

    with pytest.raises(demo.Undecided, match="run run-1 waits for approval"):
        demo.clear(pipelines, demo.Plan(folder="."), Watcher(), "run-1")
    assert {} == codepipeline.decision


@pytest.mark.parametrize(
    ("status", "commit", "expected"),
    [
        ("InProgress", "c0ffee00c0ffee00", True),
        ("Failed", "c0ffee00c0ffee00", False),
        ("InProgress", "another", False),
    ],
)
def test_a_run_of_the_same_commit_that_is_under_way_is_gone_on_with(status, commit, expected):
    assert expected == demo.is_under_way(execution(status=status), commit)


def test_a_push_that_starts_nothing_is_a_problem(monkeypatch):
    monkeypatch.setattr(demo, "STARTS_WITHIN", 0.0)
    pipelines = Pipelines(clients=SimpleNamespace(codepipeline=FakeCodePipeline(), where="here"))

    with pytest.raises(Problem, match="c0ffee00 was pushed, but pipeline p did not start"):
        demo.started(pipelines, "p", "run-1", "c0ffee00c0ffee", sleep=lambda seconds: None)


def test_the_run_that_a_push_starts_is_found():
    pipelines = Pipelines(clients=SimpleNamespace(codepipeline=FakeCodePipeline(), where="here"))

    assert "run-1" == demo.started(pipelines, "p", "run-0", "c0ffee00", sleep=lambda seconds: None)
