import json
from dataclasses import asdict, dataclass
from types import SimpleNamespace

import pytest
from function_fakes import (
    NOW,
    RUN,
    FakeApprovals,
    FakeArtifacts,
    FakeData,
    FakeEndpoints,
    FakeFlows,
    FakePrompts,
    FakeRegistry,
    FakeReports,
    flow_input,
    flow_result,
    judgement,
    metrics,
    start_training,
    version,
)

from atelier.contract.documents import dump
from atelier.contract.events import RegisterModel
from atelier.lambdas.bootstrap import training as bootstrap
from atelier.lambdas.domain.training import Approval
from atelier.lambdas.errors import Busy, Conflict, Failed, NotFound
from atelier.lambdas.handlers import flow, pipeline, serving


@dataclass
class Context:
    """What Lambda says of a call."""

    function_name: str = "f"
    memory_limit_in_mb: int = 128
    invoked_function_arn: str = "arn"
    aws_request_id: str = "r1"


def job(parameters, token=None):
    data = {"actionConfiguration": {"configuration": {"UserParameters": parameters}}}
    return {
        "CodePipeline.job": {"id": "j1", "data": {**data, **({"continuationToken": token} if token else {})}}
    }


@pytest.fixture
def reports(monkeypatch):
    """The ear of CodePipeline, in place of the wiring."""
    found = FakeReports()
    monkeypatch.setattr(bootstrap, "reports", lambda: found)
    return found


def wire(monkeypatch, name, **ports):
    monkeypatch.setattr(bootstrap, name, lambda: SimpleNamespace(**ports))


def test_a_job_that_goes_on_is_reported_once_with_its_token(monkeypatch, reports):
    wire(monkeypatch, "start_flow", flows=FakeFlows(), data=FakeData())

    pipeline.start_flow(job(dump(start_training())), Context())

    assert [("j1", f"{RUN}-1")] == [(name, step.token) for name, step in reports.successes]
    assert [] == reports.failures


def test_a_finished_flow_is_reported_with_its_facts(monkeypatch, reports):
    flows = FakeFlows()
    flows.set(f"{RUN}-1", "SUCCEEDED", output=asdict(flow_result()))
    wire(monkeypatch, "start_flow", flows=flows, data=FakeData())

    pipeline.start_flow(job(dump(start_training()), f"{RUN}-1"), Context())

    ((_, step),) = reports.successes
    assert "1" == step.outputs["MODEL_VERSION"]


def test_a_foreseen_failure_is_reported_in_its_own_words(monkeypatch, reports):
    wire(monkeypatch, "start_flow", flows=FakeFlows(), data=FakeData(pointer=None))

    pipeline.start_flow(job(dump(start_training())), Context())

    assert [("j1", "no training data has been uploaded yet")] == reports.failures
    assert [] == reports.successes


@pytest.mark.parametrize("parameters", ["", "[]", '{"execution": 7}', "not json"])
def test_parameters_that_make_no_sense_are_reported(monkeypatch, reports, parameters):
    wire(monkeypatch, "start_flow", flows=FakeFlows(), data=FakeData())

    pipeline.start_flow(job(parameters), Context())

    assert 1 == len(reports.failures)


def test_missing_settings_are_reported_by_name(reports):
    bootstrap.start_flow.cache_clear()

    pipeline.start_flow(job(dump(start_training())), Context())

    ((_, message),) = reports.failures
    assert "StartFlowSettings: STATE_MACHINE_ARN, DATA_BUCKET not set" in message


def test_an_unforeseen_failure_is_reported_with_its_kind():
    reports = FakeReports()

    with pipeline.settled("j1", reports):
        raise KeyError("surprise")

    assert [("j1", "KeyError: 'surprise'")] == reports.failures


def test_a_job_that_was_settled_before_is_not_called_again():
    with pipeline.settled("j1", FakeReports(error=Conflict("settled before"))):
        pass


def test_a_report_that_does_not_get_through_is_raised_so_that_lambda_calls_again():
    with pytest.raises(ConnectionError), pipeline.settled("j1", FakeReports(error=ConnectionError())):
        pass


def test_an_approved_version_is_registered_with_its_approver(monkeypatch, reports):
    store = FakeRegistry(version())
    approvals = FakeApprovals(Approval(approver="ann", comment="yes"))
    wire(monkeypatch, "register", pipeline="p", registry=store, approvals=approvals)

    pipeline.register(job(dump(RegisterModel(version="1", execution=RUN, approval="Approve"))), Context())

    assert ("approved", "ann") == (store.get(1).status, store.get(1).approver)
    ((_, step),) = reports.successes
    assert {"MODEL_VERSION": "1", "MODEL_STATUS": "approved"} == step.outputs


def test_a_rejection_reaches_the_registry(monkeypatch):
    store, endpoints = FakeRegistry(version()), FakeEndpoints()
    wire(monkeypatch, "reject", candidate="candidate", flows=FakeFlows(), registry=store, endpoints=endpoints)

    detail = {"execution-id": RUN, "state": "FAILED", "action": "Approve"}
    pipeline.reject({"detail": detail}, Context())

    assert "rejected" == store.get(1).status


def wire_flow(monkeypatch, store, endpoints=None, answer=None):
    wire(
        monkeypatch,
        "flow",
        candidate="candidate",
        registry=store,
        endpoints=lambda: endpoints or FakeEndpoints(),
        prompts=lambda: FakePrompts(answer),
        artifacts=lambda: FakeArtifacts(),
    )


def description():
    return {
        "TrainingJobName": "gpt-neo-1a2b3c4d-1-0",
        "TrainingJobStatus": "Completed",
        "ModelArtifacts": {"S3ModelArtifacts": "s3://data/model.tar.gz"},
        "FinalMetricDataList": [{"MetricName": name, "Value": value} for name, value in metrics().items()],
        "HyperParameters": {"steps": "240"},
        "TrainingTimeInSeconds": 60,
    }


def test_the_flow_gates_then_records_and_hands_on_strings(monkeypatch):
    store = FakeRegistry()
    wire_flow(monkeypatch, store)
    limits = {"bits_per_byte": 3.0, "regression": 0.05}

    judged = flow.gate({"training": description(), "limits": limits}, Context())
    facts = flow.record(
        {"flow": asdict(flow_input()), "training": description(), "judgement": judged}, Context()
    )

    assert ("1", "2.5000", "candidate") == (facts["model_version"], facts["bits_per_byte"], facts["endpoint"])
    assert all(isinstance(each, str) for each in facts.values())
    assert "pending" == store.get(1).status


def test_a_whole_number_of_the_flow_is_a_number_too(monkeypatch):
    wire_flow(monkeypatch, FakeRegistry())
    whole = asdict(judgement()) | {"perplexity": 300}

    facts = flow.record(
        {"flow": asdict(flow_input()), "training": description(), "judgement": whole}, Context()
    )

    assert "300.00" == facts["perplexity"]


def failing(endpoints, monkeypatch):
    wire_flow(monkeypatch, FakeRegistry(), endpoints)
    failure = {"Error": "States.TaskFailed", "Cause": json.dumps({"FailureReason": "empty text"})}
    return flow.take_back({"flow": asdict(flow_input()), "failure": failure}, Context())


def test_the_first_reason_survives_taking_back(monkeypatch):
    assert {"reason": "empty text"} == failing(FakeEndpoints(), monkeypatch)


def test_the_first_reason_survives_when_taking_back_fails(monkeypatch):
    class Broken(FakeEndpoints):
        def discard(self, config):
            raise PermissionError("not allowed")

    assert {"reason": "empty text; what was created could not be taken back: not allowed"} == failing(
        Broken(), monkeypatch
    )


def test_a_busy_endpoint_makes_the_flow_call_again(monkeypatch):
    endpoints = FakeEndpoints()
    endpoints.set("candidate", "Creating", "gpt-neo-1a2b3c4d-1")

    with pytest.raises(Busy):
        failing(endpoints, monkeypatch)


def request(method, path, body=None):
    return {
        "httpMethod": method,
        "path": path,
        "resource": path,
        "headers": {"content-type": "application/json"},
        "multiValueHeaders": {},
        "queryStringParameters": None,
        "requestContext": {"requestId": "r1", "stage": "live", "identity": {}},
        "body": body,
        "isBase64Encoded": False,
    }


def ask(monkeypatch, answer, method="POST", path="/completions", body='{"prompt": "Hello"}', store=None):
    wire(
        monkeypatch,
        "serving",
        endpoint="stable",
        prompts=FakePrompts(answer),
        registry=store or FakeRegistry(version(status="approved", published=NOW)),
    )
    response = serving.handle(request(method, path, body), Context())
    return response["statusCode"], json.loads(response["body"])


def test_a_completion_is_answered(monkeypatch):
    answer = {"completions": [{"text": " there"}], "model": {}}

    assert (200, answer) == ask(monkeypatch, answer)


def test_the_current_model_is_answered(monkeypatch):
    status, body = ask(monkeypatch, {}, "GET", "/models/current", None)

    assert (200, 1) == (status, body["version"])


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (Busy("try again"), 503, "try again"),
        (Failed("the model failed"), 502, "the model failed"),
        (NotFound("not here"), 404, "not here"),
        (RuntimeError("secret"), 500, "something went wrong here"),
    ],
)
def test_errors_become_http_in_one_table_and_unforeseen_ones_keep_their_text(
    monkeypatch, answer, status, message
):
    assert (status, {"message": message}) == ask(monkeypatch, answer)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (None, 400, "not JSON"),
        ("{", 400, "not JSON"),
        ('{"prompt": 7}', 400, "prompt must be a string"),
        ("x" * 70_000, 413, "at most 65536"),
    ],
)
def test_a_bad_request_says_what_is_wrong(monkeypatch, body, status, words):
    found, answer = ask(monkeypatch, {}, body=body)

    assert status == found
    assert words in answer["message"]


def test_a_path_that_is_not_there_is_answered_in_json(monkeypatch):
    assert (404, {"message": "there is no such path or method"}) == ask(monkeypatch, {}, "GET", "/nothing")
