import io
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber
from function_fakes import NOW, RUN, flow_input, metrics, version
from moto import mock_aws

from atelier.lambdas.adapters.codepipeline import JobReports, PipelineApprovals
from atelier.lambdas.adapters.flows import StateMachine
from atelier.lambdas.adapters.registry import DynamoRegistry
from atelier.lambdas.adapters.sagemaker import EndpointPrompts, SageMakerEndpoints
from atelier.lambdas.adapters.stacks import CloudFormationStacks
from atelier.lambdas.adapters.storage import DataBucket, S3Artifacts
from atelier.lambdas.domain.training import Approval, Step
from atelier.lambdas.errors import Busy, Conflict, Failed, Invalid, NotFound

KEYS = {
    "region_name": "us-east-1",
    "aws_access_key_id": "testing",
    "aws_secret_access_key": "testing",
}


def client(service):
    return boto3.client(service, **KEYS)


@pytest.fixture
def table() -> Iterator[DynamoRegistry]:
    """A registry in moto's DynamoDB."""
    with mock_aws(), closing(client("dynamodb")) as dynamodb:
        dynamodb.create_table(
            TableName="models",
            KeySchema=[
                {"AttributeName": "model", "KeyType": "HASH"},
                {"AttributeName": "version", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "model", "AttributeType": "S"},
                {"AttributeName": "version", "AttributeType": "N"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        yield DynamoRegistry(dynamodb, "models", "gpt-neo")


def test_versions_are_numbered_and_come_back_as_they_were(table):
    first = table.record(version(0, metrics=metrics(2.4743)))
    second = table.record(version(0, training_job="another", comment="ä"))

    assert (1, 2) == (first.version, second.version)
    assert first == table.get(1)
    assert 2.4743 == table.get(1).metrics["validation:bits_per_byte"]
    assert [2, 1] == [each.version for each in table.newest_first()]


def test_the_same_job_is_recorded_once(table):
    assert table.record(version(0)) == table.record(version(0))
    assert 1 == len(list(table.newest_first()))


def test_a_run_finds_what_it_recorded_last(table):
    table.record(version(0))
    again = table.record(version(0, training_job="second attempt"))

    assert again == table.of_run(RUN)
    assert table.of_run("unknown") is None


def test_of_two_writers_one_wins(table):
    was = table.record(version(0))
    table.save(was.to("approved"), was=was)

    with pytest.raises(Conflict, match="not pending any more"):
        table.save(was.to("rejected"), was=was)

    assert "approved" == table.get(1).status


def test_of_two_publishers_one_wins(table):
    pending = table.record(version(0))
    approved = pending.to("approved")
    table.save(approved, was=pending)
    published = approved.to("retired", published=NOW)
    table.save(published, was=approved)

    with pytest.raises(Conflict):
        table.save(approved.to("retired"), was=approved)


def test_a_version_that_is_not_there_is_not_found(table):
    with pytest.raises(NotFound, match="no version 7 of gpt-neo"):
        table.get(7)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_no_number_is_refused_by_its_name(table, value):
    with pytest.raises(Invalid, match=f"train:loss is {value}"):
        table.record(version(0, metrics={"train:loss": value}))


@pytest.fixture
def recording(stubbed):
    """Record a version in a table that cancels the transaction for the given reasons, one try each."""
    dynamodb, stub = stubbed("dynamodb")
    pauses = []

    def record(*reasons):
        stub.add_response("get_item", {})
        stub.add_response("update_item", {"Attributes": {"latest": {"N": "1"}}})
        for each in reasons:
            told = {"CancellationReasons": [{"Code": "None"}, {"Code": each}]}
            stub.add_client_error("transact_write_items", "TransactionCanceledException", modeled_fields=told)
        stub.add_response("transact_write_items", {})
        kept = DynamoRegistry(dynamodb, "models", "gpt-neo", sleep=pauses.append).record(version(0))
        return kept.version, pauses

    return record


def test_a_job_that_was_recorded_meanwhile_is_a_conflict(recording):
    with pytest.raises(Conflict, match="recorded elsewhere"):
        recording("ConditionalCheckFailed")


def test_a_record_that_met_another_is_tried_again(recording):
    number, pauses = recording("TransactionConflict", "ThrottlingError")

    assert (1, 2) == (number, len(pauses))


def test_a_record_that_goes_on_meeting_others_may_succeed_later(recording):
    with pytest.raises(Busy, match="the registry is too busy"):
        recording(*["TransactionConflict"] * 4)


def test_a_record_that_dynamodb_refuses_is_not_tried_again(recording):
    with pytest.raises(ClientError, match="TransactionCanceled"):
        recording("ValidationError")


@pytest.fixture
def bucket():
    """A bucket in moto's S3."""
    with mock_aws(), closing(client("s3")) as s3:
        s3.create_bucket(Bucket="data")
        yield s3


def test_data_is_found_by_version_and_pointer(bucket):
    data = DataBucket(bucket, "data")
    assert (None, None) == (data.latest(), data.locate("d1"))

    bucket.put_object(Bucket="data", Key="data/d1/text.txt", Body=b"text")
    bucket.put_object(Bucket="data", Key="data/LATEST", Body=b"d1\n")

    assert ("d1", "s3://data/data/d1/") == (data.latest(), data.locate("d1"))
    assert data.locate("d") is None


def test_an_artefact_is_hashed(bucket):
    bucket.put_object(Bucket="data", Key="m/model.tar.gz", Body=b"abc")

    assert S3Artifacts(bucket).sha256("s3://data/m/model.tar.gz").startswith("ba7816bf8f01cfea")


def test_an_artefact_that_is_not_there_is_a_failure_with_its_name(bucket):
    with pytest.raises(Failed, match=r"s3://data/none cannot be read"):
        S3Artifacts(bucket).sha256("s3://data/none")


MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:atelier-training"
EXECUTION = "arn:aws:states:us-east-1:000000000000:execution:atelier-training:run-1"


@pytest.fixture
def stubbed():
    """A client of a service that gives the answers it is told, in order."""
    open_clients = []

    def make(service):
        found = client(service)
        stubber = Stubber(found)
        stubber.activate()
        open_clients.append(found)
        return found, stubber

    yield make
    for each in open_clients:
        each.close()


def execution(status, **more):
    when = datetime(2001, 1, 1, tzinfo=UTC)
    return {
        "executionArn": EXECUTION,
        "stateMachineArn": MACHINE,
        "status": status,
        "startDate": when,
        **more,
    }


def test_a_flow_is_found_by_its_name(stubbed):
    sfn, stub = stubbed("stepfunctions")
    stub.add_response(
        "describe_execution", execution("SUCCEEDED", output='{"a": "b"}'), {"executionArn": EXECUTION}
    )
    stub.add_response("describe_execution", execution("FAILED", cause="empty text", error="TrainingFailed"))
    stub.add_client_error("describe_execution", "ExecutionDoesNotExist")
    flows = StateMachine(sfn, MACHINE)

    assert {"a": "b"} == flows.get("run-1").output
    failed = flows.get("run-1")
    assert ("empty text", "2001-01-01T00:00:00+00:00") == (failed.reason, failed.started)
    assert flows.get("run-1") is None


def test_a_flow_that_was_started_before_is_a_conflict(stubbed):
    sfn, stub = stubbed("stepfunctions")
    stub.add_client_error("start_execution", "ExecutionAlreadyExists")

    with pytest.raises(Conflict, match="started before"):
        StateMachine(sfn, MACHINE).start("run-1", flow_input())


def test_other_errors_of_step_functions_stay_what_they_are(stubbed):
    sfn, stub = stubbed("stepfunctions")
    stub.add_client_error("start_execution", "AccessDeniedException")
    stub.add_client_error("describe_execution", "AccessDeniedException")
    flows = StateMachine(sfn, MACHINE)

    with pytest.raises(ClientError, match="AccessDenied"):
        flows.start("run-1", flow_input())
    with pytest.raises(ClientError, match="AccessDenied"):
        flows.get("run-1")


@pytest.mark.parametrize(
    ("code", "status"), [("ThrottlingException", 400), ("InternalFailure", 500), ("ServiceUnavailable", 503)]
)
def test_a_fault_of_step_functions_that_passes_is_told_as_such(stubbed, code, status):
    sfn, stub = stubbed("stepfunctions")
    for operation in ("describe_execution", "start_execution", "stop_execution"):
        stub.add_client_error(operation, code, "slow down", http_status_code=status)
    flows = StateMachine(sfn, MACHINE)

    with pytest.raises(Busy, match="slow down"):
        flows.get("run-1")
    with pytest.raises(Busy, match="slow down"):
        flows.start("run-1", flow_input())
    with pytest.raises(Busy, match="slow down"):
        flows.stop("run-1", "why")


def test_step_functions_out_of_reach_may_be_reached_later():
    class Unreachable:
        def describe_execution(self, **request):
            raise EndpointConnectionError(endpoint_url="https://states")

    with pytest.raises(Busy, match="does not answer"):
        StateMachine(Unreachable(), MACHINE).get("run-1")


MISSING = 'Could not find endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/x".'


def test_an_endpoint_that_is_not_there_is_none(stubbed):
    sagemaker, stub = stubbed("sagemaker")
    stub.add_client_error("describe_endpoint", "ValidationException", MISSING)

    assert SageMakerEndpoints(sagemaker).get("x") is None


def test_a_call_that_is_not_allowed_is_not_taken_for_absence(stubbed):
    sagemaker, stub = stubbed("sagemaker")
    stub.add_client_error("describe_endpoint", "AccessDeniedException", "not authorized")

    with pytest.raises(ClientError):
        SageMakerEndpoints(sagemaker).get("x")


def test_an_endpoint_that_changes_is_busy(stubbed):
    sagemaker, stub = stubbed("sagemaker")
    stub.add_client_error("delete_endpoint", "ValidationException", 'Cannot update in-progress endpoint "x".')

    with pytest.raises(Busy):
        SageMakerEndpoints(sagemaker).delete("x")


def test_what_is_gone_already_is_discarded_without_a_word(stubbed):
    sagemaker, stub = stubbed("sagemaker")
    stub.add_client_error("delete_endpoint", "ValidationException", MISSING)
    stub.add_client_error(
        "delete_endpoint_config", "ValidationException", "Could not find endpoint configuration"
    )
    stub.add_client_error("delete_model", "ValidationException", 'Could not find model "x".')
    endpoints = SageMakerEndpoints(sagemaker)

    endpoints.delete("x")
    endpoints.discard("x")

    stub.assert_no_pending_responses()


def complete(stubbed, answer):
    runtime, stub = stubbed("sagemaker-runtime")
    raw = answer.encode()
    stub.add_response(
        "invoke_endpoint",
        {"Body": StreamingBody(io.BytesIO(raw), len(raw))},
        {
            "EndpointName": "stable",
            "ContentType": "application/json",
            "Accept": "application/json",
            "Body": b'{"prompt": "a"}',
        },
    )
    return EndpointPrompts(runtime).complete("stable", {"prompt": "a"})


def test_a_prompt_is_answered(stubbed):
    assert {"completions": []} == complete(stubbed, '{"completions": []}')


@pytest.mark.parametrize("answer", ["<html>", "[]", ""])
def test_an_answer_that_is_no_object_is_a_failure(stubbed, answer):
    with pytest.raises(Failed, match="the model's answer is not"):
        complete(stubbed, answer)


@pytest.mark.parametrize(
    ("code", "status", "original", "error", "words"),
    [
        ("ModelError", 400, json.dumps({"message": "prompt is too long"}), Invalid, "prompt is too long"),
        ("ModelError", 413, "too large", Invalid, "too large"),
        ("ModelError", 503, json.dumps({"message": "queue is full"}), Busy, "queue is full"),
        ("ModelError", 500, "", Failed, "no reason is given"),
        ("ModelError", 500, '{"other": 1}', Failed, "other"),
        ("ThrottlingException", None, None, Busy, "busy"),
        ("ValidationError", None, None, Busy, "not in service"),
        ("AccessDeniedException", None, None, ClientError, "AccessDenied"),
    ],
)
def test_errors_of_a_model_become_ours(stubbed, code, status, original, error, words):
    runtime, stub = stubbed("sagemaker-runtime")
    told = {} if status is None else {"OriginalStatusCode": status, "OriginalMessage": original}
    stub.add_client_error("invoke_endpoint", code, "Could not find it", modeled_fields=told)

    with pytest.raises(error, match=words):
        EndpointPrompts(runtime).complete("stable", {"prompt": "a"})


def test_a_step_with_a_token_goes_on_and_hands_on_nothing(stubbed):
    codepipeline, stub = stubbed("codepipeline")
    stub.add_response(
        "put_job_success_result",
        {},
        {
            "jobId": "j1",
            "continuationToken": "t",
            "executionDetails": {"summary": "training", "externalExecutionId": "x"},
        },
    )

    JobReports(codepipeline).success("j1", Step(summary="training", token="t", external_id="x"))

    stub.assert_no_pending_responses()


def test_a_last_step_hands_on_its_variables(stubbed):
    codepipeline, stub = stubbed("codepipeline")
    expected = {"jobId": "j1", "outputVariables": {"A": "1"}, "executionDetails": {"summary": "done"}}
    stub.add_response("put_job_success_result", {}, expected)

    JobReports(codepipeline).success("j1", Step(summary="done", outputs={"A": "1"}))

    stub.assert_no_pending_responses()


def test_a_long_reason_is_cut_to_what_codepipeline_takes(stubbed):
    codepipeline, stub = stubbed("codepipeline")
    stub.add_response(
        "put_job_failure_result",
        {},
        {"jobId": "j1", "failureDetails": {"type": "JobFailed", "message": "x" * 5000}},
    )

    JobReports(codepipeline).failure("j1", "x" * 9000)

    stub.assert_no_pending_responses()


def test_a_job_that_is_settled_is_a_conflict(stubbed):
    codepipeline, stub = stubbed("codepipeline")
    stub.add_client_error("put_job_success_result", "InvalidJobStateException")

    with pytest.raises(Conflict, match="settled before"):
        JobReports(codepipeline).success("j1", Step(summary="done"))


def test_an_approval_says_who_and_what(stubbed):
    codepipeline, stub = stubbed("codepipeline")
    train = {"actionName": "Train", "status": "Succeeded"}
    approve = {
        "actionName": "Approve",
        "status": "Succeeded",
        "updatedBy": "arn:aws:iam::000000000000:user/ann",
        "output": {"executionResult": {"externalExecutionSummary": "reads well"}},
    }
    stub.add_response("list_action_executions", {"actionExecutionDetails": [train, approve]}, ANY_RUN)

    found = PipelineApprovals(codepipeline).of("p", RUN, "Approve")

    assert Approval(approver="arn:aws:iam::000000000000:user/ann", comment="reads well") == found


ANY_RUN = {"pipelineName": "p", "filter": {"pipelineExecutionId": RUN}}


def test_an_approval_that_nobody_gave_is_empty(stubbed):
    codepipeline, stub = stubbed("codepipeline")
    stub.add_response("list_action_executions", {"actionExecutionDetails": []}, ANY_RUN)

    assert Approval() == PipelineApprovals(codepipeline).of("p", RUN, "Approve")


STACK_ID = "arn:aws:cloudformation:us-east-1:000000000000:stack/api/1"


def stacks(stubbed, bucket):
    cloudformation, stub = stubbed("cloudformation")
    bucket.create_bucket(Bucket="code")
    bucket.put_object(Bucket="code", Key="templates/x", Body=b"{}")
    made = CloudFormationStacks(
        cloudformation, bucket, bucket="code", role_arn="arn:aws:iam::000000000000:role/r", tags={"a": "b"}
    )
    return made, stub


def described(status):
    when = "2001-01-01T00:00:00Z"
    outputs = [{"OutputKey": "ApiUrl", "OutputValue": "https://api"}]
    stack = {
        "StackName": "api",
        "StackId": STACK_ID,
        "CreationTime": when,
        "StackStatus": status,
        "Outputs": outputs,
    }
    return {"Stacks": [stack]}


def event(resource, status, reason="", physical="x"):
    return {
        "StackId": STACK_ID,
        "EventId": "1",
        "StackName": "api",
        "Timestamp": "2001-01-01T00:00:00Z",
        "LogicalResourceId": resource,
        "PhysicalResourceId": physical,
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


def test_a_stack_that_is_not_there_is_created(stubbed, bucket):
    found, stub = stacks(stubbed, bucket)
    stub.add_client_error("describe_stacks", "ValidationError", "Stack with id api does not exist")
    stub.add_response(
        "create_stack",
        {"StackId": STACK_ID},
        {
            "StackName": "api",
            "TemplateBody": "{}",
            "Parameters": [{"ParameterKey": "CodeKey", "ParameterValue": "y"}],
            "Capabilities": ["CAPABILITY_IAM"],
            "RoleARN": "arn:aws:iam::000000000000:role/r",
            "Tags": [{"Key": "a", "Value": "b"}],
        },
    )

    assert found.apply("api", "templates/x", {"CodeKey": "y"})


def test_a_stack_without_changes_is_done(stubbed, bucket):
    found, stub = stacks(stubbed, bucket)
    stub.add_response("describe_stacks", described("UPDATE_COMPLETE"))
    stub.add_client_error("update_stack", "ValidationError", "No updates are to be performed.")

    assert not found.apply("api", "templates/x", {})


def test_a_stack_that_rolled_back_names_the_first_cause_of_the_last_change(stubbed, bucket):
    found, stub = stacks(stubbed, bucket)
    stub.add_response("describe_stacks", described("UPDATE_ROLLBACK_COMPLETE"))
    newest_first = [
        event("Stage", "UPDATE_FAILED", "Resource update cancelled"),
        event("Serving", "UPDATE_FAILED", "no such key"),
        event("api", "UPDATE_IN_PROGRESS", physical=STACK_ID),
        event("Serving", "CREATE_FAILED", "long ago"),
    ]
    stub.add_response("describe_stack_events", {"StackEvents": newest_first}, {"StackName": STACK_ID})

    assert "Serving: no such key" == found.get("api").reason


def test_a_stack_that_is_complete_has_its_outputs(stubbed, bucket):
    found, stub = stacks(stubbed, bucket)
    stub.add_response("describe_stacks", described("UPDATE_COMPLETE"), {"StackName": ANY})

    assert {"ApiUrl": "https://api"} == found.get("api").outputs
