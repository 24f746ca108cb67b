"""The functions around the WebUI's pipeline, from the event that calls them to what they leave."""

import json
from dataclasses import asdict
from types import SimpleNamespace

import pytest
from function_fakes import FakeReports
from webui_fakes import (
    HEAD,
    NOW,
    OURS,
    FakeDeclarations,
    FakeHistory,
    FakeLatest,
    FakePeople,
    FakePipeline,
    FakeUpstreams,
    image,
    publication,
)

from atelier.contract.documents import Invalid
from atelier.lambdas.bootstrap import upstream as tracking
from atelier.lambdas.bootstrap import webui as wiring
from atelier.lambdas.handlers import upstream, webui

CONTEXT = SimpleNamespace(
    function_name="f", memory_limit_in_mb=128, invoked_function_arn="arn", aws_request_id="r1"
)


@pytest.fixture
def history(monkeypatch):
    """What is remembered; all that the functions work with is fake, and reached through their wiring."""
    made = SimpleNamespace(history=FakeHistory(), people=FakePeople(), latest=FakeLatest())
    made.pipeline, made.reports = FakePipeline(), FakeReports()
    made.declarations, made.upstreams = FakeDeclarations(), FakeUpstreams()
    made.differences = SimpleNamespace(paths=lambda push: iter(made.paths))
    for module, names in ((wiring, ("changes", "publish", "follow")), (tracking, ("track",))):
        for name in names:
            monkeypatch.setattr(module, name, lambda: made)
    monkeypatch.setattr(wiring, "reports", lambda: made.reports)
    return made


def test_a_look_answers_what_it_came_to(history):
    answer = upstream.track({}, CONTEXT)

    assert {"outcome": "started", "summary": f"{HEAD} is being built", "head": HEAD, "run": "run-1"} == answer
    assert answer == json.loads(json.dumps(answer))


@pytest.mark.parametrize(("path", "tokens"), [("extension/x.py", ["e1"]), ("README.md", [])])
def test_a_push_that_touches_the_image_starts_a_run_for_its_event(history, path, tokens):
    history.paths = [path]
    detail = {"repositoryName": "atelier", "commitId": OURS, "oldCommitId": HEAD}

    webui.changed({"id": "e1", "detail": detail}, CONTEXT)
    webui.changed({"id": "e1", "detail": detail}, CONTEXT)  # events may come twice

    assert tokens == list(history.pipeline.started)


def test_an_image_is_published_and_reported(history):
    webui.publish(job(json.dumps(asdict(publication()))), CONTEXT)

    assert image() == history.latest.get("image")
    (reported,) = history.reports.successes
    assert f"{HEAD[:12]}-{OURS[:12]} is the latest image" == reported[1].summary


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (json.dumps(asdict(publication(image="latest"))), "names no image by its digest"),
        ("{}", "image is missing"),
        ("nonsense", "not JSON"),
    ],
)
def test_what_cannot_be_published_is_reported_with_its_reason(history, parameters, words):
    webui.publish(job(parameters), CONTEXT)

    (reported,) = history.reports.failures
    assert words in reported[1]
    assert {} == history.latest.values


def test_a_run_that_ends_is_written_down(history):
    run = history.pipeline.start("t", HEAD)
    history.pipeline.end(run, failed="Build", reason="Build: broken")
    detail = {"execution-id": run, "state": "FAILED"}

    webui.follow({"time": NOW.replace("+00:00", "Z"), "detail": detail}, CONTEXT)

    assert ("failed", NOW) == ((found := history.history.run(run)).status, found.ended)


def test_what_is_no_event_is_raised_so_that_lambda_keeps_it(history):
    with pytest.raises(Invalid):
        webui.follow({}, CONTEXT)


def job(parameters):
    configuration = {"configuration": {"UserParameters": parameters}}
    return {"CodePipeline.job": {"id": "j1", "data": {"actionConfiguration": configuration}}}
