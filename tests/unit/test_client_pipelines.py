"""Pipelines: what a run says of itself, what a person decides, and what is followed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from client_fakes import START, FakeCodePipeline, action_detail

from atelier.client.errors import NotFound, Problem, Refusal
from atelier.client.following import Asked, Finished, Held, Learned, Moved, follow
from atelier.client.pipelines import Pipelines
from atelier.client.training import Progress, read


def clients(codepipeline, **parts):
    return SimpleNamespace(codepipeline=codepipeline, where="the local cloud", is_local=True, **parts)


def pipelines(codepipeline, **parts):
    return Pipelines(clients=clients(codepipeline, **parts))


def test_a_run_lists_every_action_of_its_pipeline_also_those_that_have_not_begun():
    codepipeline = FakeCodePipeline(
        details=[action_detail("Source", "Succeeded", variables={"CommitId": "c0ffee"})]
    )

    run = pipelines(codepipeline).execution("atelier-training", "run-1")

    expected = [
        ("Source", "Succeeded"),
        ("Build", "NotStarted"),
        ("Train", "NotStarted"),
        ("Approve", "NotStarted"),
    ]
    assert expected == [(each.stage, each.status) for each in run.actions]
    assert {"CommitId": "c0ffee"} == run.outputs


def test_the_time_of_an_action_that_has_ended_stands_still():
    codepipeline = FakeCodePipeline(details=[action_detail("Source", "Succeeded", seconds=7)])

    assert 7 == pipelines(codepipeline).execution("atelier-training", "run-1").actions[0].seconds


def test_the_reason_of_a_failure_is_the_one_that_the_service_gave():
    reason = "unknown hyperparameter: learning_speed"
    codepipeline = FakeCodePipeline(
        status="Failed", details=[action_detail("Train", "Failed", provider="Lambda", message=reason)]
    )

    run = pipelines(codepipeline).execution("atelier-training", "run-1")

    assert ("Train", reason) == (run.failure.stage, run.failure.reason)


def test_of_a_failed_build_the_command_is_named():
    build = SimpleNamespace(
        batch_get_builds=lambda ids: {
            "builds": [
                {
                    "phases": [
                        {"phaseType": "INSTALL", "phaseStatus": "SUCCEEDED"},
                        {
                            "phaseType": "BUILD",
                            "phaseStatus": "FAILED",
                            "contexts": [{"message": "make image: 2"}],
                        },
                    ]
                }
            ]
        }
    )
    codepipeline = FakeCodePipeline(
        status="Failed",
        details=[
            action_detail("Build", "Failed", provider="CodeBuild", message="Build failed", id="atelier:1")
        ],
    )

    run = pipelines(codepipeline, codebuild=build).execution("atelier-training", "run-1")

    assert "BUILD: make image: 2" == run.failure.reason


def test_a_rejection_shows_the_comment():
    codepipeline = FakeCodePipeline(
        status="Failed", details=[action_detail("Approve", "Failed", summary="repeats itself")]
    )

    assert "repeats itself" == pipelines(codepipeline).execution("atelier-training", "run-1").failure.reason


def test_of_a_retried_action_the_last_word_counts():
    codepipeline = FakeCodePipeline(
        details=[action_detail("Train", "Succeeded"), action_detail("Train", "Failed", message="no luck")]
    )

    assert (
        "Succeeded" == pipelines(codepipeline).execution("atelier-training", "run-1").action("Train").status
    )


def test_a_run_that_is_not_there_is_named():
    with pytest.raises(NotFound, match="atelier-training has no run run-9"):
        pipelines(FakeCodePipeline()).execution("atelier-training", "run-9")


def test_the_one_pipeline_there_is_needs_no_name():
    assert "atelier-training" == pipelines(FakeCodePipeline()).only(None)


def test_who_names_a_pipeline_need_not_be_allowed_to_list_them_all():
    class Closed(FakeCodePipeline):
        def get_paginator(self, operation):
            raise AssertionError(f"{operation} is not allowed")

    assert "atelier-training" == pipelines(Closed()).only("atelier-training")


def test_a_pipeline_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(NotFound, match="no pipeline nonsense in the local cloud; there is atelier-training"):
        pipelines(FakeCodePipeline()).only("nonsense")


def test_without_any_pipeline_it_says_to_deploy():
    with pytest.raises(NotFound, match="run `atelier deploy` first"):
        pipelines(FakeCodePipeline(names=[])).only(None)


def test_among_several_pipelines_one_must_be_named():
    with pytest.raises(Problem, match="say which pipeline: one, two"):
        pipelines(FakeCodePipeline(names=["one", "two"])).only(None)


def test_variables_start_a_run():
    codepipeline = FakeCodePipeline()

    assert "run-1" == pipelines(codepipeline).start("atelier-training", {"DATA_VERSION": "d1"})
    assert [{"name": "DATA_VERSION", "value": "d1"}] == codepipeline.started["variables"]


@pytest.mark.parametrize(("approve", "status"), [(True, "Approved"), (False, "Rejected")])
def test_a_decision_reaches_the_action_that_waits(approve, status):
    codepipeline = FakeCodePipeline(token="t-1")

    action = pipelines(codepipeline).decide("atelier-training", approve=approve, comment="because")

    assert "Approve" == action.stage
    assert {"summary": "because", "status": status} == codepipeline.decision["result"]
    assert "t-1" == codepipeline.decision["token"]


def test_where_nothing_waits_a_decision_is_refused():
    with pytest.raises(Problem, match="nothing waits for approval in atelier-training"):
        pipelines(FakeCodePipeline()).decide("atelier-training", approve=True, comment="")


def test_a_decision_on_another_run_is_refused():
    with pytest.raises(Problem, match="nothing waits for approval in run run-2"):
        pipelines(FakeCodePipeline(token="t")).decide(
            "atelier-training", approve=True, comment="", execution_id="run-2"
        )


def test_a_second_decision_is_told_that_it_is_late():
    codepipeline = FakeCodePipeline(token="t")

    def late(**request):
        raise ClientError({"Error": {"Code": "ApprovalAlreadyCompletedException", "Message": ""}}, "x")

    codepipeline.put_approval_result = late

    with pytest.raises(Refusal, match="someone has already decided on run run-1"):
        pipelines(codepipeline).decide("atelier-training", approve=True, comment="")


def test_a_comment_that_is_too_long_is_refused_here():
    with pytest.raises(Problem, match="at most 512 characters, this one 513"):
        pipelines(FakeCodePipeline(token="t")).decide("atelier-training", approve=True, comment="x" * 513)


def test_following_tells_every_change_once_and_ends():
    frames = [
        [action_detail("Source", "InProgress")],
        [action_detail("Source", "InProgress")],
        [action_detail("Source", "Succeeded")],
        [
            action_detail("Approve", "InProgress", custom="#{Train.SCORE}", is_resolved=False),
            action_detail("Source", "Succeeded"),
        ],
        [action_detail("Approve", "InProgress", custom="2.5"), action_detail("Source", "Succeeded")],
        [action_detail("Approve", "InProgress", custom="2.5"), action_detail("Source", "Succeeded")],
        [action_detail("Approve", "Succeeded"), action_detail("Source", "Succeeded")],
    ]
    codepipeline = FakeCodePipeline(frames=frames)

    told = list(follow(clients(codepipeline), "atelier-training", "run-1", sleep=lambda seconds: None))

    expected = [
        (Moved, "Source", "InProgress"),
        (Moved, "Source", "Succeeded"),
        (Moved, "Approve", "InProgress"),
        (Asked, "Approve", "InProgress"),
        (Moved, "Approve", "Succeeded"),
    ]
    assert expected == [(type(each), each.action.stage, each.action.status) for each in told[:-1]]
    assert isinstance(told[-1], Finished)
    (asked,) = [each.action for each in told if isinstance(each, Asked)]
    assert {"CustomData": "2.5"} == asked.configuration


def test_following_names_the_run_that_holds_this_one_up_once():
    frames = [[action_detail("Source", "Succeeded")] for _ in range(15)]
    codepipeline = FakeCodePipeline(frames=frames, token="t")
    codepipeline.holder = "run-0"

    told = list(follow(clients(codepipeline), "atelier-training", "run-1", sleep=lambda seconds: None))

    assert ["run-0"] == [each.by for each in told if isinstance(each, Held)]


def test_following_reads_the_training_job_behind_the_flow():
    flow = "arn:aws:states:us-east-1:000000000000:execution:flow:run-1-1"
    frames = [[action_detail("Train", "InProgress", id=flow)], [action_detail("Train", "Succeeded", id=flow)]]
    lines = ["loading", "train step=10 of=300 loss=5.250000 perplexity=190.57 tokens_per_second=900"]
    around = clients(
        FakeCodePipeline(frames=frames),
        stepfunctions=SimpleNamespace(describe_execution=lambda executionArn: {"input": FLOW}),
        logs=SimpleNamespace(
            describe_log_streams=lambda **request: {
                "logStreams": [{"logStreamName": "gpt-neo-1-1-0/algo-1"}]
            },
            get_log_events=lambda **request: {
                "events": [] if "nextToken" in request else [{"message": line} for line in lines],
                "nextForwardToken": "f/1",
            },
        ),
    )

    told = list(follow(around, "atelier-training", "run-1", sleep=lambda seconds: None))

    learned = [each.progress for each in told if isinstance(each, Learned)]
    assert [("gpt-neo-1-1-0", 10, 300, 190.57)] == [
        (each.job, each.step, each.steps, each.perplexity) for each in learned
    ]


FLOW = (
    '{"name": "gpt-neo-1-1", "run": "run-1", "commit": "c", "image": "i", "image_digest": "d",'
    ' "data_version": "v", "data_uri": "s3://b/data/v/"}'
)


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        (
            "train step=3 of=9 loss=2.0 perplexity=7.39",
            {"step": 3, "steps": 9, "loss": 2.0, "perplexity": 7.39},
        ),
        ("untrained step=0 of=9 loss=7.6 perplexity=2095.1", {"steps": 9, "perplexity_before": 2095.1}),
        (
            "validation step=9 of=9 loss=5.0 perplexity=148.4 bits_per_byte=2.31",
            {"step": 9, "steps": 9, "validation_perplexity": 148.4, "bits_per_byte": 2.31},
        ),
        ("Saved a checkpoint", {}),
        ("", {"last_line": ""}),
    ],
)
def test_a_line_of_the_log_is_understood(line, changes):
    assert replace(Progress(job="j", last_line=line), **changes) == read(line, Progress(job="j"))


def test_an_action_that_goes_on_has_taken_the_time_until_now():
    codepipeline = FakeCodePipeline(details=[action_detail("Source", "InProgress")])
    now = datetime.now(UTC)

    seconds = pipelines(codepipeline).execution("atelier-training", "run-1").actions[0].seconds

    assert seconds >= (now - START) / timedelta(seconds=1)
