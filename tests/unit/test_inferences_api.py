"""Endpoints and inferences from a request to its answer: functions, tables, a bucket and SageMaker."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from inference_fakes import DREAM, PIXEL, REGISTRY, an_answer
from moto import mock_aws
from openapi_schema_validator import OAS30Validator
from proxy_events import proxied
from tables import create

from atelier.contract import openapi, tables
from atelier.contract.operations import OPERATIONS
from atelier.lambdas.adapters.accounts import DynamoAccounts
from atelier.lambdas.adapters.checkpoints import DynamoCheckpoints
from atelier.lambdas.bootstrap import accounts, endpoints, inferences, results
from atelier.lambdas.bootstrap import reconciler as reconciliation
from atelier.lambdas.domain.accounts import EVERYTHING, Role, User
from atelier.lambdas.domain.checkpoints import Checkpoint, File
from atelier.lambdas.handlers import callers, endpoint_events, reconciler
from atelier.lambdas.handlers import endpoints as endpoint_operations
from atelier.lambdas.handlers import inferences as inference_operations
from atelier.lambdas.handlers import results as notices

FAMILIES = {"endpoints": endpoint_operations.handle, "inferences": inference_operations.handle}
DOCUMENT = openapi.document()
NOW = "2030-01-01T12:00:00+00:00"
ARN = "arn:aws:sns:us-east-1:123456789012"
WIRED = (
    accounts.access,
    endpoints.making,
    endpoints.watch,
    inferences.running,
    results.notices,
    results.taking,
    reconciliation.reconciling,
    callers.callers,
)
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "t",
    "AWS_SECRET_ACCESS_KEY": "t",
    "ACCOUNTS_TABLE": "accounts",
    "RATES_TABLE": "rates",
    "USER_REQUESTS": "1000",
    "ENDPOINTS_TABLE": "endpoints",
    "INFERENCES_TABLE": "inferences",
    "CHECKPOINTS_TABLE": "checkpoints",
    "BUCKET": "bucket",
    "ENDPOINT_ROLE_ARN": "arn:aws:iam::123456789012:role/endpoint",
    "ENDPOINT_IMAGE": f"{REGISTRY}/diffusion:1",
    "REGISTRY": REGISTRY,
    "SUCCESS_TOPIC_ARN": f"{ARN}:success",
    "ERROR_TOPIC_ARN": f"{ARN}:error",
    "NOTICES_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/notices",
}
ENDPOINT = {
    "endpoint_type": "Async",
    "instance_type": "ml.g4dn.xlarge",
    "initial_instance_count": 1,
    "autoscaling_enabled": True,
    "assign_to_roles": ["painter"],
    "endpoint_name": "x",
}
JOB = {"task_type": "txt2img", "inference_type": "Async", "models": {"Stable-diffusion": [DREAM]}}


@dataclass(frozen=True)
class Context:
    """What Lambda says of a call."""

    function_name: str = "f"
    memory_limit_in_mb: int = 128
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:f"
    aws_request_id: str = "r1"
    log_group_name: str = "/aws/lambda/f"
    log_stream_name: str = "s"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@dataclass(frozen=True)
class Said:
    status: int
    body: Any

    @property
    def data(self) -> Any:
        return self.body["data"]


@dataclass
class Gateway:
    """Calls functions as API Gateway does, and counts what they ask of AWS."""

    asked: Counter[str] = field(default_factory=Counter)

    def call(self, name: str, body: Any = None, query: Any = None, who: str = "ann", **path: str) -> Said:
        operation = OPERATIONS[name]
        principal = {"principal": "deployment"} if who == "deployment" else {"principal": "user", "user": who}
        event = proxied(
            operation,
            authorizer={**principal, "token": "t"},
            headers={},
            path=path,
            query={key: [str(each)] for key, each in (query or {}).items()},
            body=body,
        )
        self.asked.clear()
        answer = FAMILIES[operation.family](event, Context())
        said = Said(answer["statusCode"], json.loads(answer["body"] or "{}"))
        assert_declared(name, said)
        return said

    def count(self, model: Any, **_: Any) -> None:
        self.asked[f"{model.service_model.service_name}:{model.name}"] += 1


def assert_declared(name: str, said: Said) -> None:
    """An answer is what the document says."""
    operations = {each["operationId"]: each for path in DOCUMENT["paths"].values() for each in path.values()}
    content = operations[name]["responses"][str(said.status)]["content"]["application/json"]
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    assert [] == [each.message for each in OAS30Validator(schema).iter_errors(said.body)]


@pytest.fixture
def api(monkeypatch) -> Iterator[Gateway]:
    """A deployment with a user, who may do everything, and a checkpoint of theirs."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    gateway = Gateway()
    with mock_aws():
        boto3.setup_default_session()
        boto3.DEFAULT_SESSION.events.register("before-call", gateway.count)
        furnish()
        for each in WIRED:
            each.cache_clear()
        yield gateway
        for each in WIRED:
            each.cache_clear()
        boto3.DEFAULT_SESSION = None


def furnish() -> None:
    dynamodb = boto3.client("dynamodb")
    for name, keys in {"accounts": ("pk", "sk"), "rates": ("pk",)}.items():
        dynamodb.create_table(
            TableName=name,
            KeySchema=[
                {"AttributeName": each, "KeyType": kind}
                for each, kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
            AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in keys],
            BillingMode="PAY_PER_REQUEST",
        )
    create(dynamodb, "endpoints", tables.ENDPOINTS)
    create(dynamodb, "inferences", tables.INFERENCES)
    create(dynamodb, "checkpoints", tables.CHECKPOINTS)
    boto3.client("s3").create_bucket(Bucket="bucket")
    boto3.client("sqs").create_queue(QueueName="notices", Attributes={"VisibilityTimeout": "360"})
    people = DynamoAccounts(dynamodb, "accounts")
    people.save_role(Role(name="painter", permissions=EVERYTHING, creator="api"), was=None)
    people.save_user(User(name="ann", roles=("painter",), creator="api"), was=None)
    DynamoCheckpoints(dynamodb, "checkpoints", "bucket").add(
        Checkpoint(
            id="11111111-1111-4111-8111-111111111111",
            type="Stable-diffusion",
            creator="ann",
            created=NOW,
            status="Active",
            files=(File(name=DREAM, key=f"checkpoints/{DREAM}"),),
        )
    )


def an_event(name: str = "sd-async-x") -> dict[str, Any]:
    return {"detail-type": "SageMaker Endpoint State Change", "detail": {"EndpointName": name}}


@pytest.fixture
def serving(api) -> Gateway:
    """A deployment with an asynchronous endpoint in service."""
    assert 202 == api.call("CreateEndpoint", ENDPOINT).status
    endpoint_events.handle(an_event(), Context())
    return api


def a_notice(number: int, **values: Any) -> dict[str, Any]:
    return {
        "messageId": f"m{number}",
        "receiptHandle": f"r{number}",
        "attributes": {"ApproximateReceiveCount": "1"},
        "body": json.dumps({"Type": "Notification", "Message": json.dumps(values)}),
    }


def finish(id: str, output: str) -> Any:
    """Have SageMaker answer a job and tell of it."""
    key = f"async/output/{output}"
    boto3.client("s3").put_object(Bucket="bucket", Key=key, Body=an_answer(PIXEL))
    told = {"inferenceId": id, "invocationStatus": "Completed"}
    where = {"outputLocation": f"s3://bucket/{key}"}
    return notices.handle({"Records": [a_notice(1, **told, responseParameters=where)]}, Context())


def test_from_an_endpoint_to_a_picture(serving):
    found = serving.call("ListEndpoints").data["endpoints"]
    assert [("sd-async-x", "InService", "0", "1")] == [
        (
            each["endpoint_name"],
            each["endpoint_status"],
            each["min_instance_number"],
            each["max_instance_number"],
        )
        for each in found
    ]

    made = serving.call("CreateInferenceJob", JOB)
    job = made.data["inference"]
    assert (201, "txt2img", [[DREAM]]) == (
        made.status,
        job["type"],
        [each["name"] for each in job["models"]],
    )
    key = job["api_params_s3_location"].removeprefix("s3://bucket/")
    assert f"inferences/{job['id']}/api_params.json" == key
    assert key in job["api_params_s3_upload_url"]
    boto3.client("s3").put_object(Bucket="bucket", Key=key, Body=b'{"prompt": "a cat"}')

    started = serving.call("StartInferences", id=job["id"])
    assert (202, "inprogress") == (started.status, started.data["status"])
    assert {"batchItemFailures": []} == finish(job["id"], "1.out")

    shown = serving.call("GetInferenceJob", id=job["id"])
    assert (200, "succeeded", ["image_0.png"]) == (
        shown.status,
        shown.data["status"],
        shown.data["image_names"],
    )
    assert [1, 1] == [len(shown.data[each]) for each in ("img_presigned_urls", "output_presigned_urls")]
    assert "/image_0.png?" in shown.data["img_presigned_urls"][0]
    assert [job["id"]] == [
        each["InferenceJobId"] for each in serving.call("ListInferences").data["inferences"]
    ]

    assert 204 == serving.call("DeleteInferenceJobs", {"inference_id_list": [job["id"]]}).status
    gone = serving.call("GetInferenceJob", id=job["id"])
    assert (404, f"inference with id {job['id']} not found") == (gone.status, gone.body["message"])
    assert 204 == serving.call("DeleteEndpoints", {"endpoint_name_list": ["sd-async-x", "none"]}).status
    assert [] == serving.call("ListEndpoints").data["endpoints"]


def test_a_job_with_its_parameters_starts_and_is_cancelled(serving):
    started = serving.call("CreateInferenceJob", {**JOB, "payload_string": '{"prompt": "a cat"}'})
    id = started.data["InferenceJobId"]
    assert (202, "sd-async-x") == (started.status, started.data["inference"]["endpoint_name"])

    cancelled = serving.call("CancelInferenceJob", id=id)
    assert (200, "cancelled") == (cancelled.status, cancelled.data["status"])
    assert {"batchItemFailures": []} == finish(id, "2.out")
    assert 0 == boto3.client("s3").list_objects_v2(Bucket="bucket")["KeyCount"]
    again = serving.call("CreateInferenceJob", {**JOB, "payload_string": "{"})
    assert (400, "payload_string must be valid json string") == (again.status, again.body["message"])


def test_what_is_taken_is_told_as_clients_know_it(serving):
    again = serving.call("CreateEndpoint", ENDPOINT)
    assert (400, 'Cannot create already existing model "sd-async-x"') == (again.status, again.body["message"])
    other = serving.call("CreateEndpoint", {**ENDPOINT, "endpoint_name": "y"})
    assert (400, "role [painter] has a valid endpoint already") == (other.status, other.body["message"])
    flow = serving.call("CreateEndpoint", {**ENDPOINT, "workflow_name": "flow"})
    assert (404, "workflow flow not found") == (flow.status, flow.body["message"])


def test_the_deployments_token_sees_all_jobs_without_a_user(serving):
    serving.call("CreateInferenceJob", JOB)

    assert 1 == len(serving.call("ListInferences", who="deployment").data["inferences"])
    assert (
        [] == serving.call("ListInferences", query={"username": "bob"}, who="deployment").data["inferences"]
    )


def test_a_page_goes_on_where_the_last_one_ended(serving):
    for _ in range(3):
        serving.call("CreateInferenceJob", JOB)

    first = serving.call("ListInferences", query={"limit": 2}).data
    second = serving.call(
        "ListInferences", query={"limit": 2, "exclusive_start_key": first["last_evaluated_key"]}
    ).data

    ids = [each["InferenceJobId"] for each in (*first["inferences"], *second["inferences"])]
    assert (3, None) == (len(set(ids)), second["last_evaluated_key"])
    forged = serving.call("ListEndpoints", query={"exclusive_start_key": first["last_evaluated_key"]})
    assert 400 == forged.status


def test_operations_ask_little_of_aws_and_never_scan(serving):
    """Each call has two more in front: the user with their roles, and now and then how often they ask."""
    who = {"dynamodb:GetItem": 1, "dynamodb:BatchGetItem": 1}

    def asks(name, *arguments, **more):
        serving.call(name, *arguments, **more)
        assert not [each for each in serving.asked if each.endswith(":Scan")]
        return {key: n for key, n in serving.asked.items() if key != "dynamodb:UpdateItem"}

    assert {**who, "dynamodb:Query": 1} == asks("ListEndpoints")
    assert {**who, "dynamodb:Query": 1} == asks("ListInferences")
    assert {
        "dynamodb:GetItem": 3,
        "dynamodb:BatchGetItem": 1,
        "dynamodb:Query": 1,
        "dynamodb:PutItem": 3,
        "s3:PutObject": 1,
        "sagemaker-runtime:InvokeEndpointAsync": 1,
    } == asks("CreateInferenceJob", {**JOB, "payload_string": "{}"})
    id = serving.call("ListInferences").data["inferences"][0]["InferenceJobId"]
    assert {"dynamodb:GetItem": 2, "dynamodb:BatchGetItem": 1} == asks("GetInferenceJob", id=id)
    assert {
        "dynamodb:GetItem": 2,
        "dynamodb:BatchGetItem": 1,
        "dynamodb:PutItem": 1,
        "s3:ListObjectsV2": 1,
        "s3:DeleteObjects": 1,
    } == asks("CancelInferenceJob", id=id)
    assert {
        "dynamodb:GetItem": 2,
        "dynamodb:BatchGetItem": 1,
        "dynamodb:DeleteItem": 1,
        "s3:ListObjectsV2": 1,
    } == asks("DeleteInferenceJobs", {"inference_id_list": [id]})
    made = asks("CreateEndpoint", {**ENDPOINT, "endpoint_name": "y", "endpoint_type": "Real-time"})
    assert {
        "dynamodb:GetItem": 1,
        "dynamodb:BatchGetItem": 2,
        "dynamodb:TransactWriteItems": 1,
        "sagemaker:CreateModel": 1,
        "sagemaker:CreateEndpointConfig": 1,
        "sagemaker:CreateEndpoint": 1,
    } == made


def test_of_several_notices_only_those_that_were_not_taken_come_again(serving):
    id = serving.call("CreateInferenceJob", {**JOB, "payload_string": "{}"}).data["InferenceJobId"]
    failed = {"inferenceId": id, "invocationStatus": "Failed", "failureReason": "out of memory"}
    broken = {**a_notice(2), "body": "not JSON"}
    records = [
        a_notice(1, **failed),
        broken,
        a_notice(3, inferenceId="not-ours", invocationStatus="Completed"),
    ]

    said = notices.handle({"Records": records}, Context())

    assert {"batchItemFailures": [{"itemIdentifier": "m2"}]} == said
    shown = serving.call("GetInferenceJob", id=id).data
    assert ("failed", "out of memory") == (shown["status"], shown["error"])


@pytest.mark.parametrize("failures, comes_at_once", [(1, True), (2, False)])
def test_a_notice_that_fails_comes_again_soon_at_first(serving, monkeypatch, failures, comes_at_once):
    monkeypatch.setattr(notices, "PAUSES", (0,))
    sqs, queue = boto3.client("sqs"), {"QueueUrl": ENVIRONMENT["NOTICES_URL"]}
    sqs.send_message(**queue, MessageBody="nonsense")
    brought = sqs.receive_message(**queue)["Messages"][0]
    record = {
        "messageId": brought["MessageId"],
        "receiptHandle": brought["ReceiptHandle"],
        "body": brought["Body"],
        "attributes": {"ApproximateReceiveCount": str(failures)},
    }

    said = notices.handle({"Records": [record]}, Context())

    assert {"batchItemFailures": [{"itemIdentifier": brought["MessageId"]}]} == said
    assert comes_at_once == bool(sqs.receive_message(**queue).get("Messages"))


def test_the_clock_finds_endpoints_whose_events_were_lost(api):
    api.call("CreateEndpoint", ENDPOINT)

    reconciler.handle({}, Context())

    api.asked.clear()
    assert "InService" == api.call("ListEndpoints").data["endpoints"][0]["endpoint_status"]
    assert "sagemaker:DescribeEndpoint" not in api.asked
