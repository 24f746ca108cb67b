import json

import pytest
from function_fakes import RUN

from atelier.contract import events
from atelier.contract.documents import Invalid
from atelier.contract.settings import (
    MissingSettings,
    PublishSettings,
    StartFlowSettings,
    from_environment,
)


def test_settings_come_from_the_environment():
    environ = {"STATE_MACHINE_ARN": "arn:x", "DATA_BUCKET": "data", "PATH": "/bin"}

    assert StartFlowSettings(state_machine_arn="arn:x", data_bucket="data") == from_environment(
        StartFlowSettings, environ
    )


def test_all_missing_settings_are_named_with_their_class():
    with pytest.raises(MissingSettings, match=r"PublishSettings: .*STABLE_ENDPOINT.* not set") as caught:
        from_environment(PublishSettings, {"MODEL_TABLE": "t", "CODE_BUCKET": ""})

    assert "CODE_BUCKET" in str(caught.value)
    assert "MODEL_TABLE" not in str(caught.value)


def job_event(**data):
    configuration = {"FunctionName": "f", "UserParameters": '{"a": 1}'}
    return {
        "CodePipeline.job": {
            "id": "j1",
            "data": {"actionConfiguration": {"configuration": configuration}, **data},
        }
    }


def test_a_job_says_its_parameters_and_where_to_go_on():
    assert events.PipelineJob(id="j1", parameters='{"a": 1}') == events.pipeline_job(job_event())
    assert "t" == events.pipeline_job(job_event(continuationToken="t")).token


@pytest.mark.parametrize("event", [{}, {"CodePipeline.job": None}, {"CodePipeline.job": {"id": "x"}}])
def test_an_event_that_is_no_job_is_refused(event):
    with pytest.raises(Invalid, match="not a CodePipeline job event"):
        events.pipeline_job(event)


def test_a_rejected_approval_carries_the_comment():
    detail = {
        "execution-id": RUN,
        "state": "FAILED",
        "action": "Approve",
        "execution-result": {"external-execution-summary": "too dull"},
    }

    told = events.withdrawal({"detail": detail, "time": "2001-01-01T00:00:00Z"})

    assert told == events.Withdrawal(
        run=RUN, reason="Approve failed", comment="too dull", at="2001-01-01T00:00:00+00:00"
    )


def test_a_superseded_run_says_so():
    assert (
        "run superseded" == events.withdrawal({"detail": {"execution-id": RUN, "state": "SUPERSEDED"}}).reason
    )


@pytest.mark.parametrize("event", [{}, {"detail": {}}, {"detail": None}])
def test_an_event_that_is_no_state_change_is_refused(event):
    with pytest.raises(Invalid, match="not a CodePipeline state change"):
        events.withdrawal(event)


def test_a_training_job_is_read_from_its_description():
    description = {
        "TrainingJobName": "job",
        "TrainingJobStatus": "Completed",
        "SecondaryStatus": "Completed",
        "ModelArtifacts": {"S3ModelArtifacts": "s3://b/model.tar.gz"},
        "FinalMetricDataList": [{"MetricName": events.PERPLEXITY, "Value": 300, "Timestamp": 1}],
        "HyperParameters": {"steps": "240"},
        "TrainingTimeInSeconds": 61,
    }

    found = events.training(description)

    assert ("job", "Completed", "s3://b/model.tar.gz", 61) == (
        found.job,
        found.status,
        found.artifact,
        found.seconds,
    )
    assert {events.PERPLEXITY: 300.0} == found.metrics


def test_a_stopped_job_says_what_stopped_it():
    found = events.training(
        {
            "TrainingJobName": "job",
            "TrainingJobStatus": "Stopped",
            "SecondaryStatus": "MaxWaitTimeExceeded",
        }
    )

    assert "Stopped (MaxWaitTimeExceeded)" == found.status


@pytest.mark.parametrize(
    ("error", "cause", "words"),
    [
        (
            "States.TaskFailed",
            {"FailureReason": "AlgorithmError: empty text", "X": 1},
            "AlgorithmError: empty text",
        ),
        ("GateRefused", {"errorType": "GateRefused", "errorMessage": "too bad"}, "too bad"),
        (
            "CandidateFailed",
            {"EndpointName": "e", "EndpointStatus": "Failed", "FailureReason": "no /ping"},
            "no /ping",
        ),
        (
            "CandidateFailed",
            {"EndpointName": "e", "EndpointStatus": "Creating"},
            "the endpoint e is Creating",
        ),
        ("X", "plain words", "plain words"),
        ("States.Timeout", "", "States.Timeout"),
        ("X", [1], "[1]"),
    ],
)
def test_the_reason_of_a_failure_is_what_a_person_should_read(error, cause, words):
    text = cause if isinstance(cause, str) else json.dumps(cause)

    assert words == events.reason({"Error": error, "Cause": text})
