"""Endpoints, their scaling, their calls and their objects, as AWS is asked for them."""

import io
from collections.abc import Iterator
from contextlib import closing

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber
from inference_fakes import KEYS, an_endpoint_of
from moto import mock_aws

from atelier.lambdas.adapters.fleet import Parts, SageMakerFleet, SageMakerLauncher, refusals
from atelier.lambdas.adapters.invocations import SageMakerInvocations
from atelier.lambdas.adapters.objects import S3Objects
from atelier.lambdas.adapters.scaling import ApplicationScaling
from atelier.lambdas.domain.endpoints import Sight
from atelier.lambdas.domain.inferences import Sent
from atelier.lambdas.errors import Busy, Failed, Invalid, Throttled, TimedOut, TooLarge

PARTS = Parts(
    image="r/diffusion@sha256:1",
    role_arn="arn:aws:iam::123456789012:role/endpoint",
    bucket="bucket",
    success_topic_arn="arn:aws:sns:us-east-1:123456789012:success",
    error_topic_arn="arn:aws:sns:us-east-1:123456789012:error",
)
NAME = "sd-async-x"
MISSING = ("ValidationException", 'Could not find model "x".')
ARNS = {
    "create_model": {"ModelArn": "arn:aws:sagemaker:us-east-1:123456789012:model/x"},
    "create_endpoint_config": {
        "EndpointConfigArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/x"
    },
    "create_endpoint": {"EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/x"},
}


@pytest.fixture
def sagemaker() -> Iterator:
    with closing(boto3.client("sagemaker", **KEYS)) as client:
        yield client


@pytest.fixture
def asked(sagemaker) -> Iterator[Stubber]:
    with Stubber(sagemaker) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def expect(asked, *names, **expected):
    for name in names:
        asked.add_response(name, ARNS.get(name, {}), expected or None)


def test_an_asynchronous_endpoint_tells_its_topics_and_keeps_its_answers(sagemaker, asked):
    expect(
        asked,
        "create_model",
        ModelName=NAME,
        PrimaryContainer={"Image": "r/diffusion@sha256:1", "Environment": {}},
        ExecutionRoleArn=PARTS.role_arn,
    )
    expect(
        asked,
        "create_endpoint_config",
        EndpointConfigName=NAME,
        ProductionVariants=[
            {
                "VariantName": "prod",
                "ModelName": NAME,
                "InstanceType": "ml.g4dn.xlarge",
                "InitialInstanceCount": 1,
                "ContainerStartupHealthCheckTimeoutInSeconds": 600,
            }
        ],
        AsyncInferenceConfig={
            "OutputConfig": {
                "S3OutputPath": "s3://bucket/async/output/",
                "S3FailurePath": "s3://bucket/async/failures/",
                "NotificationConfig": {
                    "SuccessTopic": PARTS.success_topic_arn,
                    "ErrorTopic": PARTS.error_topic_arn,
                },
            },
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 1},
        },
    )
    expect(asked, "create_endpoint", EndpointName=NAME, EndpointConfigName=NAME)

    SageMakerLauncher(sagemaker, PARTS).launch(an_endpoint_of())


def test_a_real_time_endpoint_of_a_custom_image_gets_its_extensions(sagemaker, asked):
    given = {"Image": "r/mine:1", "Environment": {"CUSTOM_EXTENSIONS": "https://github.com/o/r.git"}}
    container = {"ModelName": NAME, "PrimaryContainer": given, "ExecutionRoleArn": PARTS.role_arn}
    expect(asked, "create_model", **container)
    expect(asked, "create_endpoint_config", EndpointConfigName=NAME, ProductionVariants=ANY)
    expect(asked, "create_endpoint")

    SageMakerLauncher(sagemaker, PARTS).launch(
        an_endpoint_of(kind="Real-time", custom_image="r/mine:1", extensions="https://github.com/o/r.git")
    )


@pytest.mark.parametrize(
    "kind, words, code",
    [
        (Invalid, "ResourceLimitExceeded: no more", "ResourceLimitExceeded"),
        (Invalid, "ValidationException: no more", "ValidationException"),
        (Throttled, "ThrottlingException: no more", "ThrottlingException"),
        (Busy, "too busy", "ServiceUnavailable"),
    ],
)
def test_what_was_made_is_taken_back_when_sagemaker_refuses_the_rest(sagemaker, asked, kind, words, code):
    expect(asked, "create_model", "create_endpoint_config")
    asked.add_client_error("create_endpoint", code, "no more")
    expect(asked, "delete_endpoint_config", EndpointConfigName=NAME)
    expect(asked, "delete_model", ModelName=NAME)

    with pytest.raises(kind, match=words):
        SageMakerLauncher(sagemaker, PARTS).launch(an_endpoint_of())


def test_what_was_there_before_is_left_alone(sagemaker, asked):
    words = 'Cannot create already existing model "arn:aws:sagemaker:us-east-1:1:model/x".'
    asked.add_client_error("create_model", "ValidationException", words)

    with pytest.raises(Invalid, match="Cannot create already existing model"):
        SageMakerLauncher(sagemaker, PARTS).launch(an_endpoint_of())


def test_what_cannot_be_taken_back_is_told(sagemaker, asked):
    expect(asked, "create_model")
    asked.add_client_error("create_endpoint_config", "ValidationException", "no")
    asked.add_client_error("delete_model", "ThrottlingException", "slowly")

    with pytest.raises(Failed, match="not all could be taken back: slowly"):
        SageMakerLauncher(sagemaker, PARTS).launch(an_endpoint_of())


def test_what_is_gone_already_need_not_be_taken_back(sagemaker, asked):
    expect(asked, "create_model")
    asked.add_client_error("create_endpoint_config", "ValidationException", "no")
    asked.add_client_error("delete_model", *MISSING)

    with pytest.raises(Invalid, match="no"):
        SageMakerLauncher(sagemaker, PARTS).launch(an_endpoint_of())


def test_an_unforeseen_refusal_is_nobodys_answer(sagemaker, asked):
    asked.add_client_error("create_model", "AccessDeniedException", "no")

    with pytest.raises(sagemaker.exceptions.ClientError):
        SageMakerLauncher(sagemaker, PARTS).launch(an_endpoint_of())


class Silent:
    """SageMaker answers *until* a call, then no more."""

    def __init__(self, until):
        self.until, self.asked = until, []

    def __getattr__(self, name):
        def call(**_):
            self.asked.append(name)
            if name == self.until:
                raise ReadTimeoutError(endpoint_url="https://sagemaker")

        return call


def test_nobody_knows_what_became_of_a_call_without_an_answer_so_it_is_taken_back():
    silent = Silent("create_model")

    with pytest.raises(Busy):
        SageMakerLauncher(silent, PARTS).launch(an_endpoint_of())

    assert ["create_model", "delete_model"] == silent.asked


def test_an_endpoint_that_may_have_been_made_is_left_to_whoever_looks_next():
    silent = Silent("create_endpoint")

    SageMakerLauncher(silent, PARTS).launch(an_endpoint_of())

    assert ["create_model", "create_endpoint_config", "create_endpoint"] == silent.asked


def test_a_look_tells_state_and_instances(sagemaker, asked):
    described = {
        "EndpointName": NAME,
        "EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/x",
        "EndpointStatus": "Updating",
        "CreationTime": 0,
        "LastModifiedTime": 0,
    }
    variants = [{"VariantName": "prod", "CurrentInstanceCount": 2}]
    asked.add_response("describe_endpoint", {**described, "ProductionVariants": variants})
    asked.add_response("describe_endpoint", {**described, "EndpointStatus": "Failed", "FailureReason": "why"})
    asked.add_client_error("describe_endpoint", *MISSING)
    fleet = SageMakerFleet(sagemaker)

    assert Sight(status="Updating", instances=2) == fleet.look(NAME)
    assert Sight(status="Failed", instances=0, reason="why") == fleet.look(NAME)
    assert fleet.look(NAME) is None


def test_an_endpoint_that_changes_is_not_dismantled_yet(sagemaker, asked):
    asked.add_client_error("delete_endpoint", "ValidationException", "Cannot update in-progress endpoint")

    with pytest.raises(Busy):
        SageMakerFleet(sagemaker).dismantle(NAME)


def test_all_three_go_and_none_is_fine(sagemaker, asked):
    for name in ("delete_endpoint", "delete_endpoint_config", "delete_model"):
        asked.add_client_error(name, *MISSING)

    SageMakerFleet(sagemaker).dismantle(NAME)


def test_an_endpoint_scales_to_none_and_is_woken():
    with (
        mock_aws(),
        closing(boto3.client("sagemaker", **KEYS)) as sagemaker,
        closing(boto3.client("application-autoscaling", **KEYS)) as scaling,
        closing(boto3.client("cloudwatch", **KEYS)) as cloudwatch,
    ):
        SageMakerLauncher(sagemaker, PARTS).launch(an_endpoint_of())
        scales = ApplicationScaling(scaling, cloudwatch)
        scales.enable(an_endpoint_of())
        scales.enable(an_endpoint_of())
        target = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"][0]
        policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
        alarm = cloudwatch.describe_alarms(AlarmNames=[f"{NAME}-wake"])["MetricAlarms"][0]

        assert (0, 3) == (target["MinCapacity"], target["MaxCapacity"])
        assert f"endpoint/{NAME}/variant/prod" == target["ResourceId"]
        kinds = {each["PolicyName"]: each for each in policies}
        tracking = kinds[f"{NAME}-work"]["TargetTrackingScalingPolicyConfiguration"]
        followed = tracking["CustomizedMetricSpecification"]
        assert "ApproximateBacklogSizePerInstance" == followed["MetricName"]
        assert [kinds[f"{NAME}-wake"]["PolicyARN"]] == alarm["AlarmActions"]
        assert "HasBacklogWithoutCapacity" == alarm["MetricName"]

        scales.disable(NAME)
        scales.disable(NAME)
        assert [] == scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
        assert [] == cloudwatch.describe_alarms()["MetricAlarms"]


def test_an_endpoint_that_never_has_none_needs_no_waking():
    with (
        mock_aws(),
        closing(boto3.client("sagemaker", **KEYS)) as sagemaker,
        closing(boto3.client("application-autoscaling", **KEYS)) as scaling,
        closing(boto3.client("cloudwatch", **KEYS)) as cloudwatch,
    ):
        real = an_endpoint_of(kind="Real-time", least=1)
        SageMakerLauncher(sagemaker, PARTS).launch(real)
        ApplicationScaling(scaling, cloudwatch).enable(real)
        policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
        tracking = policies[0]["TargetTrackingScalingPolicyConfiguration"]

        assert [f"{NAME}-work"] == [each["PolicyName"] for each in policies]
        assert {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"} == (
            tracking["PredefinedMetricSpecification"]
        )
        assert [] == cloudwatch.describe_alarms()["MetricAlarms"]


@pytest.fixture
def runtime() -> Iterator:
    with closing(boto3.client("sagemaker-runtime", **KEYS)) as client:
        yield client


def submit(runtime):
    return SageMakerInvocations(runtime).submit(NAME, id="7", input="s3://bucket/input.json")


def answer(runtime):
    return SageMakerInvocations(runtime).answer(NAME, b"{}")


def test_a_request_is_handed_over_by_its_address_and_its_job(runtime):
    taken = {"InferenceId": "7", "OutputLocation": "s3://bucket/o", "FailureLocation": "s3://bucket/f"}
    given = {
        "EndpointName": NAME,
        "InferenceId": "7",
        "InputLocation": "s3://bucket/input.json",
        "ContentType": "application/json",
        "InvocationTimeoutSeconds": 3600,
        "RequestTTLSeconds": 21600,
    }
    with Stubber(runtime) as asked:
        asked.add_response("invoke_endpoint_async", taken, given)

        assert Sent(output="s3://bucket/o", failure="s3://bucket/f") == submit(runtime)


@pytest.mark.parametrize(
    "kind, code", [(Busy, "ThrottlingException"), (Busy, "ServiceUnavailable"), (Invalid, "ValidationError")]
)
def test_a_request_is_refused_for_good_or_for_now(runtime, kind, code):
    with Stubber(runtime) as asked:
        asked.add_client_error("invoke_endpoint_async", code, "no")

        with pytest.raises(kind):
            submit(runtime)


def test_nobody_knows_whether_a_request_without_an_answer_was_taken(runtime):
    assert (
        SageMakerInvocations(Raising(ReadTimeoutError(endpoint_url="x"))).submit("e", id="7", input="s")
        is None
    )
    with pytest.raises(Busy, match="cannot be reached"):
        SageMakerInvocations(Raising(ConnectTimeoutError(endpoint_url="x"))).submit("e", id="7", input="s")
    with Stubber(runtime) as asked:
        asked.add_client_error("invoke_endpoint_async", "InternalFailure", "no")
        assert submit(runtime) is None


class Raising:
    """Raises whatever it is asked."""

    def __init__(self, error):
        self.error = error

    def __getattr__(self, name):
        def call(**_):
            raise self.error

        return call


def test_a_real_time_endpoint_answers(runtime):
    with Stubber(runtime) as asked:
        body = StreamingBody(io.BytesIO(b"{}"), 2)
        asked.add_response("invoke_endpoint", {"Body": body, "ContentType": "application/json"})

        assert b"{}" == answer(runtime)


@pytest.mark.parametrize(
    "kind, status, said, words",
    [
        (Invalid, 400, '{"message": "no such sampler"}', "no such sampler"),
        (Busy, 503, "busy", "busy"),
        (Failed, 500, "", "no reason is given"),
    ],
)
def test_a_container_refuses_in_its_own_words(runtime, kind, status, said, words):
    with Stubber(runtime) as asked:
        asked.add_client_error(
            "invoke_endpoint",
            "ModelError",
            "Received client error",
            modeled_fields={"OriginalStatusCode": status, "OriginalMessage": said},
        )

        with pytest.raises(kind, match=words):
            answer(runtime)


def test_a_real_time_endpoint_may_take_too_long():
    with pytest.raises(TimedOut, match="took too long"):
        answer(Raising(ReadTimeoutError(endpoint_url="x")))
    with pytest.raises(Busy, match="cannot be reached"):
        answer(Raising(ConnectTimeoutError(endpoint_url="x")))


def test_sagemaker_that_cannot_be_reached_is_busy():
    with pytest.raises(Busy), refusals():
        raise ConnectTimeoutError(endpoint_url="x")


@pytest.fixture
def s3() -> Iterator:
    with mock_aws(), closing(boto3.client("s3", **KEYS)) as client:
        client.create_bucket(Bucket="bucket")
        yield client


def test_objects_are_written_read_and_deleted(s3):
    objects = S3Objects(s3, "bucket")
    for key in ("a/1", "a/2", "ab"):
        objects.write(key, b"12", "text/plain")

    assert b"12" == objects.read("a/1", 2)
    with pytest.raises(TooLarge):
        objects.read("a/1", 1)
    assert objects.read("a", 2) is None
    assert (True, False) == (objects.exists("ab"), objects.exists("a"))

    objects.delete()
    objects.delete("ab", "unknown")
    objects.delete_folder("a/")
    assert [False] * 3 == [objects.exists(each) for each in ("a/1", "a/2", "ab")]


def test_only_addresses_in_the_bucket_have_a_key(s3):
    objects = S3Objects(s3, "bucket")

    assert "a/b" == objects.key(objects.uri("a/b"))
    assert [None] * 4 == [
        objects.key(each) for each in ("s3://buckets/a", "s3://bucket/", "https://bucket/a", "")
    ]


def test_links_are_for_one_object_and_a_short_time(s3):
    objects = S3Objects(s3, "bucket")

    assert "/a/b?" in objects.upload_url("a/b")
    assert "/a/b?" in objects.download_url("a/b")


@pytest.mark.parametrize("code", ["SlowDown", "InternalError", "ServiceUnavailable"])
def test_a_bucket_that_is_busy_is_asked_again_later(code):
    with closing(boto3.client("s3", **KEYS)) as client, Stubber(client) as asked:
        asked.add_client_error("put_object", code)

        with pytest.raises(Busy):
            S3Objects(client, "bucket").write("a", b"", "text/plain")


def test_an_object_that_one_may_not_look_for_is_not_there_when_a_list_does_not_have_it():
    with closing(boto3.client("s3", **KEYS)) as client, Stubber(client) as asked:
        asked.add_client_error("get_object", "AccessDenied")
        asked.add_response("list_objects_v2", {})
        asked.add_client_error("get_object", "AccessDenied")
        asked.add_response("list_objects_v2", {"Contents": [{"Key": "a"}]})

        assert S3Objects(client, "bucket").read("a", 1) is None
        with pytest.raises(client.exceptions.ClientError):
            S3Objects(client, "bucket").read("a", 1)


def test_objects_that_could_not_be_deleted_are_told():
    with closing(boto3.client("s3", **KEYS)) as client, Stubber(client) as asked:
        asked.add_response("delete_objects", {"Errors": [{"Key": "a", "Code": "InternalError"}]})

        with pytest.raises(Busy, match="InternalError"):
            S3Objects(client, "bucket").delete("a")
