"""Asynchronous endpoints: requests wait, survive, are answered into S3, and topics hear of it."""

import asyncio
import json
import os
import re
import signal
import time

import pytest
from async_world import (
    GAUGE,
    SOURCE,
    Post,
    answered,
    asynchronous,
    failed,
    object_at,
    scale,
    send,
    serve,
    waiting,
)
from sagemaker_world import ECHO, World

from atelier.cloud.context import Refused
from atelier.cloud.services.sagemaker import live
from atelier.cloud.services.sagemaker.plugin import PLUGIN
from atelier.cloud.services.wire import ServiceError

SETTINGS = {
    "serving_grace": 2,
    "startup_timeout": 5,
    "ping_interval": 0.05,
    "restart_delay": 0.1,
    "shutdown_grace": 0.3,
    "metrics_interval": 0.05,
}


@pytest.fixture
def settings():
    """What a test changes before its world begins."""
    return dict(SETTINGS)


@pytest.fixture
def world(tmp_path, cloud, settings):
    world = World(tmp_path, cloud, settings=json.dumps(settings))
    yield world
    world.close()


@pytest.fixture
def post(world, cloud, unique):
    """Two topics with a queue behind them; `post()` returns the notices that have come."""
    return Post(cloud, unique)


def test_a_request_is_accepted_at_once_and_answered_into_s3(world):
    serve(world)

    status, given, document = send(world, **{"Inference-Id": "mine"})

    assert (202, {"InferenceId": "mine"}) == (status, document)
    assert b"v1:hello" == answered(world, given)
    output = given["X-Amzn-SageMaker-OutputLocation"]
    assert re.fullmatch(rf"s3://{world.bucket}/answers/[0-9a-f-]{{36}}\.out", output)
    failure = given["X-Amzn-SageMaker-FailureLocation"]
    assert re.fullmatch(rf"s3://{world.bucket}/failures/[0-9a-f-]{{36}}-error\.out", failure)
    world.until(lambda: waiting(world), lambda rows: rows == [])


def test_the_answer_has_the_content_type_of_the_container(world):
    serve(world)
    _, given, _ = send(world)
    answered(world, given)

    key = given["X-Amzn-SageMaker-OutputLocation"].partition(world.bucket + "/")[2]

    assert "text/plain" == world.s3.head_object(Bucket=world.bucket, Key=key)["ContentType"]


def test_success_is_told_in_sagemakers_words(world, post):
    serve(world, post=post)

    _, given, document = send(world, **{"Content-Type": "text/x"})

    ((topic, notice),) = world.until(post, bool)
    times = [notice.pop(name) for name in ("eventTime", "receivedTime")]
    assert post.topics[0] == topic
    asked = notice["requestParameters"].pop("inputLocation")
    assert asked.startswith(f"s3://{world.bucket}/in/")
    assert {
        "awsRegion": "us-east-1",
        "invocationStatus": "Completed",
        "requestParameters": {"endpointName": "slow", "contentType": "text/x"},
        "responseParameters": {
            "contentType": "text/plain",
            "outputLocation": given["X-Amzn-SageMaker-OutputLocation"],
        },
        "inferenceId": document["InferenceId"],
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    } == notice
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", each) for each in times)


def test_a_container_that_refuses_is_a_failure_with_its_words(world, post):
    serve(world, post=post)

    _, given, document = send(world, body=b"fail")

    assert b"the model broke" == failed(world, given)
    ((topic, notice),) = world.until(post, bool)
    assert (post.topics[1], "Failed") == (topic, notice["invocationStatus"])
    assert document["InferenceId"] == notice["inferenceId"]
    assert (
        'Received server error (500) from primary with message "the model broke"' in notice["failureReason"]
    )
    assert "responseParameters" not in notice


def test_an_input_that_is_not_there_is_a_failure(world, post):
    serve(world, post=post)
    nowhere = f"s3://{world.bucket}/nothing"

    _, given, _ = send(world, location=nowhere)

    assert b"cannot read" in failed(world, given)
    ((_, notice),) = world.until(post, bool)
    assert f"ClientError: cannot read {nowhere}: NoSuchKey" in notice["failureReason"]


def test_a_request_that_takes_too_long_is_a_failure(world, post):
    serve(world, post=post)

    send(world, body=b"sleep20", InvocationTimeoutSeconds=1)

    ((_, notice),) = world.until(post, bool)
    assert "timed out" in notice["failureReason"]


def test_a_request_that_ends_its_container_each_time_is_a_failure(world, post):
    serve(world, post=post, source=SOURCE.replace('if body == b"fail":', MORTAL))

    send(world, body=b"die")
    _, given, _ = send(world)

    assert b"v1:hello" == answered(world, given)
    come = world.until(post, lambda come: len(come) == 2)
    (reason,) = [notice["failureReason"] for _, notice in come if notice["invocationStatus"] == "Failed"]
    assert "the container ended while it was answering this request, 3 times" in reason


MORTAL = """if body == b"die":
            os._exit(1)
        if body == b"fail":"""


@pytest.mark.parametrize(("concurrency", "instances", "at_most"), [(1, 1, 1), (3, 1, 3), (1, 2, 2)])
def test_instances_answer_as_many_at_a_time_as_they_may(world, concurrency, instances, at_most):
    serve(world, concurrency=concurrency, InitialInstanceCount=instances, source=GAUGE)

    given = [send(world)[1] for _ in range(8)]

    seen = [int(answered(world, each)) for each in given]
    fleet = live.of(world.cloud).fleets["slow"]
    assert concurrency == max(seen)
    assert instances == fleet.size()
    assert at_most >= max(seen)


def test_requests_wait_while_there_is_no_instance(world):
    serve(world)
    assert 0 == scale(world, "slow", 0)

    _, given, _ = send(world)
    time.sleep(0.3)
    assert object_at(world, given["X-Amzn-SageMaker-OutputLocation"]) is None
    assert 1 == scale(world, "slow", 1)

    assert b"v1:hello" == answered(world, given)


def test_scaling_in_lets_a_request_finish(world):
    serve(world, source=SOURCE.replace("time.sleep(float(body[5:]))", FIRST_TIME_ONLY.replace("30", "1")))
    _, given, _ = send(world, body=b"sleep1")
    world.until(lambda: (world.home / "slept").exists(), bool)

    assert 0 == scale(world, "slow", 0)

    assert b"v1:sleep1" == answered(world, given)


def test_the_same_request_twice_is_answered_twice(world, post):
    serve(world, post=post)
    location = world.put("same", b"hello")

    given = [send(world, location=location, **{"Inference-Id": "one"})[1] for _ in range(2)]

    assert [b"v1:hello"] * 2 == [answered(world, each) for each in given]
    come = world.until(post, lambda come: len(come) == 2)
    assert {"one"} == {notice["inferenceId"] for _, notice in come}


class TestTimeToLive:
    @pytest.fixture
    def settings(self):
        return {**SETTINGS, "request_ttl_limit": 0.5}

    def test_a_request_that_waits_too_long_expires(self, world, post):
        serve(world, post=post)
        scale(world, "slow", 0)

        _, given, _ = send(world, RequestTTLSeconds=60)

        ((topic, notice),) = world.until(post, bool)
        assert post.topics[1] == topic
        assert ("Failed", "Request TTL expired") == (notice["invocationStatus"], notice["failureReason"])
        assert {"message": "Request TTL expired"} == json.loads(failed(world, given))
        assert [] == world.until(lambda: waiting(world), lambda rows: rows == [])


def test_what_a_stop_interrupts_is_answered_after_the_next_start(world, post):
    serve(world, post=post, source=SOURCE.replace("time.sleep(float(body[5:]))", FIRST_TIME_ONLY))
    _, running, _ = send(world, body=b"sleep30")
    _, queued, _ = send(world)
    world.until(lambda: (world.home / "slept").exists(), bool)

    PLUGIN.service.stop(world.cloud)
    assert 2 == len(waiting(world))
    assert [] == post()
    PLUGIN.service.start(world.cloud)

    assert b"v1:sleep30" == answered(world, running)
    assert b"v1:hello" == answered(world, queued)
    come = world.until(post, lambda come: len(come) == 2)
    assert {"Completed"} == {notice["invocationStatus"] for _, notice in come}


FIRST_TIME_ONLY = """
            mark = base.parents[5] / "slept"
            if not mark.exists():
                mark.touch()
                time.sleep(30)
"""


def test_a_container_that_is_killed_is_asked_again(world):
    serve(world, source=SOURCE.replace("time.sleep(float(body[5:]))", FIRST_TIME_ONLY))
    _, given, _ = send(world, body=b"sleep30")
    world.until(lambda: (world.home / "slept").exists(), bool)

    os.killpg(world.engine.started[0].pid, signal.SIGKILL)

    assert b"v1:sleep30" == answered(world, given)


def test_requests_go_with_their_endpoint(world):
    serve(world)
    scale(world, "slow", 0)
    send(world)

    world.call("DeleteEndpoint", EndpointName="slow")

    world.until(lambda: world.call("ListEndpoints")["Endpoints"], lambda rows: rows == [])
    assert [] == waiting(world)


def test_an_update_of_the_endpoint_keeps_what_waits(world):
    serve(world)
    scale(world, "slow", 0)
    _, given, _ = send(world)
    next_one = world.config(
        "next", world.image("next", f"VERSION = 'v2'\n{ECHO}"), asynchronous=asynchronous(world)
    )

    world.call("UpdateEndpoint", EndpointName="slow", EndpointConfigName=next_one)

    assert b"v2:hello" == answered(world, given)


def test_a_topic_that_may_not_be_told_costs_one_line_of_the_log(world, post, caplog):
    serve(world, post=post)
    world.running.client("sns").delete_topic(TopicArn=post.topics[0])

    for _ in range(2):
        answered(world, send(world)[1])
    world.until(lambda: waiting(world), lambda rows: rows == [])

    assert 1 == sum("cannot notify" in each.message for each in caplog.records)


def test_the_backlog_is_told_to_cloudwatch(world):
    serve(world, InitialInstanceCount=2)
    PLUGIN.service.start(world.cloud)
    world.settled("slow")
    scale(world, "slow", 0)
    for _ in range(3):
        send(world)

    def latest(name, **dimensions):
        found = world.cloud.metrics.samples("AWS/SageMaker", name, {"EndpointName": "slow", **dimensions}, 0)
        return found[-1].total if found else None

    names = ("ApproximateBacklogSize", "ApproximateBacklogSizePerInstance", "HasBacklogWithoutCapacity")
    world.until(lambda: [latest(name) for name in names], lambda seen: seen == [3, 3, 1])
    scale(world, "slow", 2)
    world.until(lambda: [latest(name) for name in names], lambda seen: seen == [0, 0, 0])


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"InputLocation": "https://example.org/x"}, "other than s3://bucket/key is not part"),
        ({"InputLocation": "s3://bucket"}, "not of the form s3://bucket/key"),
        ({"Inference-Id": "x" * 65}, "InferenceId: between 1 and 64 characters"),
        ({"InvocationTimeoutSeconds": 3601}, "InvocationTimeoutSeconds: a whole number from 1 to 3600"),
        ({"InvocationTimeoutSeconds": "1e2"}, "a whole number"),
        ({"RequestTTLSeconds": 59}, "RequestTTLSeconds: a whole number from 60 to 21600"),
        ({"Filename": "mine"}, "x-amzn-sagemaker-filename is not part of the local cloud"),
        ({"S3OutputPathExtension": "mine"}, "s3outputpathextension is not part"),
        ({"Accept": "x" * 1025}, "Accept: between 1 and 1024"),
    ],
)
def test_a_request_that_cannot_be_is_refused(world, headers, text):
    status, given, document = send(world, "any", **{"InputLocation": "s3://b/k", **headers})

    assert (400, "ValidationError") == (status, given["x-amzn-errortype"])
    assert text in document["Message"]


def test_an_endpoint_answers_only_in_its_own_way(world):
    serve(world)
    world.endpoint("quick", world.config("quick", world.image("quick", SOURCE)))

    _, _, wrong = send(world, "quick")
    answer = asyncio.run(PLUGIN.rest(world.cloud, "POST", "/endpoints/slow/invocations", {}, b"hello"))
    _, _, none = send(world, "nobody")

    assert "does not support this inference type" in wrong["Message"]
    assert "does not support this inference type" in json.loads(answer[2])["Message"]
    assert "Endpoint nobody of account 000000000000 not found." == none["Message"]


def test_a_caller_without_permission_may_not_invoke(world):
    world.cloud.identity.denied.add("sagemaker:InvokeEndpointAsync")

    assert 403 == send(world)[0]


def test_the_configuration_is_described(world):
    serve(world, concurrency=2)

    config = world.call("DescribeEndpointConfig", EndpointConfigName="slow")
    endpoint = world.call("DescribeEndpoint", EndpointName="slow")

    assert asynchronous(world, None, 2) == config["AsyncInferenceConfig"] == endpoint["AsyncInferenceConfig"]


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ({"KmsKeyId": "key"}, "OutputConfig.KmsKeyId is not part"),
        ({"S3OutputPath": "https://example.org/x"}, "is no s3:// location"),
        (
            {"NotificationConfig": {"IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"]}},
            "IncludeInferenceResponseIn is not part",
        ),
    ],
)
def test_what_is_not_supported_is_refused_by_name(world, output, text):
    config = asynchronous(world)
    config["OutputConfig"] |= output

    with pytest.raises(Refused, match=text):
        world.config("refused", world.image("echo", SOURCE), asynchronous=config)


def test_an_output_path_is_required(world):
    with pytest.raises(ServiceError, match="S3OutputPath is required"):
        world.config("none", world.image("echo", SOURCE), asynchronous={"OutputConfig": {}})
