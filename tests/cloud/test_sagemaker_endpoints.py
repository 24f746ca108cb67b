"""Endpoints: a container that serves, is watched, is replaced without a failed request, and is stopped."""

import asyncio
import io
import json
import os
import signal
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from sagemaker_world import ECHO, ROLE, World

from atelier.cloud.context import Refused
from atelier.cloud.services.resources import Request
from atelier.cloud.services.sagemaker.plugin import PLUGIN
from atelier.cloud.services.wire import ServiceError

SETTINGS = json.dumps(
    {
        "serving_grace": 2,
        "startup_timeout": 1.5,
        "startup_timeout_limit": 1.5,
        "ping_interval": 0.05,
        "invocation_timeout": 2,
        "restart_delay": 0.1,
        "shutdown_grace": 1,
    }
)


@pytest.fixture
def world(tmp_path, cloud):
    world = World(tmp_path, cloud, settings=SETTINGS)
    yield world
    world.close()


def echo(version):
    return f"VERSION = {version!r}\n{ECHO}"


def packed(files):
    """A tar.gz of names and contents."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def ask(world, endpoint, body=b"hello", path=None, **headers):
    """Send one invocation; return status, headers and body."""
    path = path or f"/endpoints/{endpoint}/invocations"
    sent = {"Content-Type": "text/plain", **headers}
    return asyncio.run(PLUGIN.rest(world.cloud, "POST", path, sent, body))


def error(answer):
    status, headers, body = answer
    return status, headers["x-amzn-errortype"], json.loads(body)


def serve(world, name, version="v1", **more):
    described = world.endpoint(
        name, world.config(name, world.image(f"echo-{version}", echo(version)), **more)
    )
    assert "InService" == described["EndpointStatus"], described
    return described


def test_an_endpoint_answers_with_its_model(world):
    data = world.put("model.tar.gz", packed({"name": b"gpt"}))

    described = serve(world, "answers", data=data)

    status, headers, body = ask(world, "answers")
    assert (200, b"v1gpt:hello") == (status, body)
    assert "AllTraffic" == headers["x-Amzn-Invoked-Production-Variant"]
    assert "text/plain" == headers["content-type"]
    variant = described["ProductionVariants"][0]
    assert "AllTraffic" == variant["VariantName"]
    assert "@sha256:" in variant["DeployedImages"][0]["ResolvedImage"]


def test_the_model_is_read_only(world):
    data = world.put("model.tar.gz", packed({"name": b"gpt", "deep/er": b"x"}))

    serve(world, "sealed", data=data)

    (model,) = (world.home / "sagemaker" / "endpoints" / "sealed").glob("*/model")
    assert 0o555 == model.stat().st_mode & 0o777
    assert 0o444 == (model / "deep" / "er").stat().st_mode & 0o777


def test_the_container_serves_and_logs(world):
    serve(world, "logged")

    container = world.engine.containers[0]
    logs, group = world.running.client("logs"), "/aws/sagemaker/Endpoints/logged"

    def messages():
        try:
            stream = logs.describe_log_streams(logGroupName=group)["logStreams"][0]["logStreamName"]
        except (logs.exceptions.ResourceNotFoundException, IndexError):
            return []
        events = logs.get_log_events(logGroupName=group, logStreamName=stream)["events"]
        return [each["message"] for each in events]

    assert ("serve",) == container.arguments
    assert container.port is not None
    assert ["serving"] == world.until(messages, bool)


def test_a_container_that_never_answers_ping_fails_the_endpoint(world):
    image = world.image("deaf", "import time\nprint('thinking', flush=True)\ntime.sleep(60)")

    described = world.endpoint("deaf", world.config("deaf", image))

    assert "Failed" == described["EndpointStatus"]
    assert "did not pass the ping health check within 1.5 seconds" in described["FailureReason"]
    assert "thinking" in described["FailureReason"]
    assert world.engine.started[0].wait(0) is not None


def test_a_container_that_exits_fails_the_endpoint_with_its_last_words(world):
    image = world.image("crash", "raise SystemExit('no weights here')")

    described = world.endpoint("crash", world.config("crash", image))

    assert "Failed" == described["EndpointStatus"]
    assert "exited with code 1" in described["FailureReason"]
    assert "no weights here" in described["FailureReason"]


def test_an_archive_that_leads_out_of_its_folder_is_refused(world):
    data = world.put("model.tar.gz", packed({"../../escaped": b"x"}))

    described = world.endpoint("escape", world.config("escape", world.image("echo", echo("v1")), data=data))

    assert "Failed" == described["EndpointStatus"]
    assert "the archive is refused" in described["FailureReason"]
    assert [] == list(world.home.rglob("escaped"))


def test_an_absolute_name_in_an_archive_stays_in_its_folder(world):
    data = world.put("model.tar.gz", packed({"/name": b"gpt"}))

    serve(world, "absolute", data=data)

    assert b"v1gpt:hello" == ask(world, "absolute")[2]


def test_data_that_is_no_archive_is_a_reason(world):
    data = world.put("model.tar.gz", b"not an archive")

    described = world.endpoint("noise", world.config("noise", world.image("echo", echo("v1")), data=data))

    assert "not a readable tar archive" in described["FailureReason"]


def test_data_that_is_missing_is_a_reason(world):
    uri = f"s3://{world.bucket}/nothing.tar.gz"

    described = world.endpoint("hollow", world.config("hollow", world.image("echo", echo("v1")), data=uri))

    assert f"cannot read {uri}" in described["FailureReason"]


def test_a_killed_container_is_started_again(world):
    serve(world, "phoenix")
    pid = int(ask(world, "phoenix", b"pid")[2])

    os.kill(pid, signal.SIGKILL)

    assert (
        200
        == world.until(lambda: ask(world, "phoenix", b"pid"), lambda it: it[0] == 200 and int(it[2]) != pid)[
            0
        ]
    )
    assert "InService" == world.settled("phoenix")["EndpointStatus"]


def test_an_update_moves_the_traffic_without_a_failed_request(world):
    serve(world, "moving")
    world.config("moving-2", world.image("echo-v2", echo("v2")))

    with load(world, "moving") as answers:
        world.call("UpdateEndpoint", EndpointName="moving", EndpointConfigName="moving-2")
        described = world.settled("moving")
        world.until(lambda: ask(world, "moving")[2], lambda body: body == b"v2:hello")

    assert ("InService", "moving-2") == (described["EndpointStatus"], described["EndpointConfigName"])
    assert {200} == {status for status, _ in answers}
    assert {b"v1:hello", b"v2:hello"} == {body for _, body in answers}
    world.until(lambda: world.engine.started[0].wait(0), lambda code: code is not None)


def test_an_update_to_a_broken_model_keeps_the_old_one_serving(world):
    serve(world, "steady")
    world.config("broken", world.image("crash", "import time\ntime.sleep(0.3)\nraise SystemExit('broken')"))

    with load(world, "steady") as answers:
        world.call("UpdateEndpoint", EndpointName="steady", EndpointConfigName="broken")
        during = world.call("DescribeEndpoint", EndpointName="steady")
        described = world.settled("steady")

    assert "Updating" == during["EndpointStatus"]
    assert "broken" == during["PendingDeploymentSummary"]["EndpointConfigName"]
    assert ("InService", "steady") == (described["EndpointStatus"], described["EndpointConfigName"])
    assert "broken" in described["FailureReason"]
    assert {(200, b"v1:hello")} == set(answers)
    assert len(answers) > 20


class load:
    """Keeps four callers asking while the body runs; gives their answers."""

    def __init__(self, world, name):
        self.world, self.name, self.over = world, name, threading.Event()

    def __enter__(self):
        self.answers = []
        self.pool = ThreadPoolExecutor(4)
        self.work = [self.pool.submit(self.run) for _ in range(4)]
        return self.answers

    def run(self):
        while not self.over.is_set():
            status, _, body = ask(self.world, self.name)
            self.answers.append((status, body))

    def __exit__(self, *_):
        self.over.set()
        self.pool.shutdown()
        for each in self.work:
            each.result()


def test_a_request_that_runs_is_finished_before_its_container_stops(world):
    serve(world, "draining")
    world.config("next", world.image("echo-v2", echo("v2")))

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, world, "draining", b"sleep1.2")
        time.sleep(0.2)
        world.call("UpdateEndpoint", EndpointName="draining", EndpointConfigName="next")

        assert (200, b"v1:sleep1.2") == slow.result()[::2]


def test_invocations_run_side_by_side(world):
    serve(world, "wide")

    async def many():
        path, headers = "/endpoints/wide/invocations", {}
        calls = [PLUGIN.rest(world.cloud, "POST", path, headers, b"sleep0.5") for _ in range(30)]
        return await asyncio.gather(*calls)

    began = time.monotonic()
    answers = asyncio.run(many())

    assert {200} == {each[0] for each in answers}
    assert time.monotonic() - began < 30 * 0.5 / 2


def test_a_deleted_endpoint_stops_its_container(world):
    serve(world, "gone")

    world.call("DeleteEndpoint", EndpointName="gone")

    world.until(lambda: world.call("ListEndpoints")["Endpoints"], lambda rows: rows == [])
    assert world.engine.started[0].wait(0) is not None
    assert not (world.home / "sagemaker" / "endpoints" / "gone").exists()
    with pytest.raises(ServiceError, match="Could not find endpoint"):
        world.call("DescribeEndpoint", EndpointName="gone")


def test_an_endpoint_comes_back_with_its_cloud(world):
    data = world.put("model.tar.gz", packed({"name": b"gpt"}))
    serve(world, "lasting", data=data)
    PLUGIN.service.stop(world.cloud)
    assert world.engine.started[0].wait(0) is not None
    world.s3.delete_object(Bucket=world.bucket, Key="model.tar.gz")

    PLUGIN.service.start(world.cloud)

    assert "InService" == world.settled("lasting")["EndpointStatus"]
    assert b"v1gpt:hello" == ask(world, "lasting")[2]


def test_an_endpoint_whose_creation_was_interrupted_is_failed(world):
    image = world.image("deaf", "import time\ntime.sleep(60)")
    world.call("CreateEndpoint", EndpointName="half", EndpointConfigName=world.config("half", image))
    world.until(lambda: world.engine.started, bool)
    PLUGIN.service.stop(world.cloud)

    PLUGIN.service.start(world.cloud)

    assert "Failed" == world.call("DescribeEndpoint", EndpointName="half")["EndpointStatus"]


def test_an_endpoint_in_progress_is_left_alone(world):
    image = world.image("deaf", "import time\ntime.sleep(60)")
    world.call("CreateEndpoint", EndpointName="busy", EndpointConfigName=world.config("busy", image))

    with pytest.raises(ServiceError, match="Cannot update in-progress endpoint"):
        world.call("DeleteEndpoint", EndpointName="busy")


def test_a_model_error_has_what_the_container_said(world):
    serve(world, "failing")

    status, kind, document = error(ask(world, "failing", b"fail"))

    assert (424, "ModelError") == (status, kind)
    assert (500, "the model broke") == (document["OriginalStatusCode"], document["OriginalMessage"])
    assert ":log-group:/aws/sagemaker/Endpoints/failing:" in document["LogStreamArn"]


def test_an_invocation_that_takes_too_long_is_a_model_error(world):
    serve(world, "sleepy")

    status, kind, document = error(ask(world, "sleepy", b"sleep5"))

    assert (424, "ModelError") == (status, kind)
    assert "timed out while waiting for a response" in document["Message"]


@pytest.mark.parametrize(
    ("request_", "status", "kind", "text"),
    [
        ({"endpoint": "nobody"}, 400, "ValidationError", "nobody of account 000000000000 not found"),
        ({"endpoint": "under_score"}, 400, "ValidationError", "not the name of an endpoint"),
        ({"endpoint": "x", "body": bytes(6 * 1024 * 1024 + 1)}, 413, "ValidationError", "at most 6291456"),
        (
            {"endpoint": "x", "path": "/endpoints/x/async-invocations"},
            *(400, "ValidationError", "InvokeEndpointAsync with its payload in the body"),
        ),
        (
            {"endpoint": "x", "path": "/endpoints/x/invocations-response-stream"},
            *(400, "ValidationError", "InvokeEndpointWithResponseStream is not part"),
        ),
        (
            {"endpoint": "x", "X-Amzn-SageMaker-Target-Model": "m"},
            *(400, "ValidationError", "target-model is not part"),
        ),
    ],
)
def test_an_invocation_that_cannot_be_is_refused(world, request_, status, kind, text):
    found = error(ask(world, request_.pop("endpoint"), **request_))

    assert (status, kind) == found[:2]
    assert text in found[2]["Message"]


def test_an_endpoint_that_is_not_in_service_is_no_target(world):
    world.endpoint("failed", world.config("failed", world.image("crash", "raise SystemExit(1)")))

    status, kind, document = error(ask(world, "failed"))

    assert (400, "ValidationError") == (status, kind)
    assert "is Failed, not InService" in document["Message"]


def test_a_caller_without_permission_may_not_invoke(world):
    serve(world, "private")
    world.cloud.identity.denied.add("sagemaker:InvokeEndpoint")

    assert (403, "AccessDeniedException") == error(ask(world, "private"))[:2]


def test_another_path_is_not_of_the_runtime(world):
    assert asyncio.run(PLUGIN.rest(world.cloud, "GET", "/ping", {}, b"")) is None


@pytest.mark.parametrize("operation", ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"])
def test_nothing_is_made_twice(world, operation):
    image = world.image("echo-v1", echo("v1"))
    serve(world, "once")
    container = {"Image": image}
    variant = {
        "VariantName": "v", "ModelName": "once", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large",
    }  # fmt: skip
    requests = {
        "CreateModel": {
            "ModelName": "once",
            "PrimaryContainer": container,
            "ExecutionRoleArn": "arn:aws:iam::000000000000:role/trainer",
        },
        "CreateEndpointConfig": {"EndpointConfigName": "once", "ProductionVariants": [variant]},
        "CreateEndpoint": {"EndpointName": "once", "EndpointConfigName": "once"},
    }

    with pytest.raises(ServiceError, match="Cannot create already existing"):
        world.call(operation, **requests[operation])


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}, "VpcConfig"),
        ({"KmsKeyId": "key"}, "CreateEndpointConfig.KmsKeyId"),
        (
            {"DataCaptureConfig": {
                "EnableCapture": True, "InitialSamplingPercentage": 1, "DestinationS3Uri": "s3://b/x",
                "CaptureOptions": [{"CaptureMode": "Input"}],
            }},
            "does not match|DataCaptureConfig",
        ),
    ],
)  # fmt: skip
def test_what_an_endpoint_cannot_be_here_is_refused_by_name(world, more, named):
    world.config("plain", world.image("echo", echo("v1")))
    variant = {
        "VariantName": "v", "ModelName": "plain", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large",
    }  # fmt: skip

    with pytest.raises((Refused, ServiceError), match=named):
        world.call("CreateEndpointConfig", EndpointConfigName="other", ProductionVariants=[variant], **more)


def test_a_variant_of_two_instances_is_two_containers_that_share_the_load(world):
    described = serve(world, "two", InitialInstanceCount=2)

    with ThreadPoolExecutor(2) as pool:
        busy = pool.submit(ask, world, "two", b"sleep1")
        time.sleep(0.2)
        world.until(lambda: ask(world, "two", b"pid")[2], bool)
        pids = {ask(world, "two", b"pid")[2] for _ in range(4)}
        busy.result()

    variant = described["ProductionVariants"][0]
    assert (2, 2) == (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"])
    assert 2 == len(world.engine.started)
    assert 1 == len(pids)  # the other one was busy


def capacity(world, name, count):
    change = {"VariantName": "AllTraffic", "DesiredInstanceCount": count}
    world.call("UpdateEndpointWeightsAndCapacities", EndpointName=name, DesiredWeightsAndCapacities=[change])
    described = world.settled(name)
    return described["ProductionVariants"][0]["CurrentInstanceCount"]


def test_an_endpoint_is_scaled_out_and_in_without_a_failed_request(world):
    data = world.put("model.tar.gz", packed({"name": b"gpt"}))
    serve(world, "elastic", data=data)

    with load(world, "elastic") as answers:
        assert 3 == capacity(world, "elastic", 3)
        assert 1 == capacity(world, "elastic", 1)

    assert {(200, b"v1gpt:hello")} == set(answers)
    assert 1 == sum(each.wait(0) is None for each in world.engine.started)


def test_an_endpoint_keeps_its_capacity_when_more_cannot_start(world):
    image = world.image("twin", echo("v1"))
    world.endpoint("capped", world.config("capped", image))
    world.engine.scripts = dict.fromkeys(world.engine.scripts, "raise SystemExit('no room')")

    assert 1 == capacity(world, "capped", 2)

    described = world.settled("capped")
    assert "no room" in described["FailureReason"]
    assert 1 == described["ProductionVariants"][0]["DesiredInstanceCount"]


def test_an_account_has_a_quota_of_instances(world):
    serve(world, "greedy")

    with pytest.raises(ServiceError, match="for endpoint usage' is 16 Instances") as refused:
        capacity(world, "greedy", 17)
    assert "ResourceLimitExceeded" == refused.value.code
    world.config("many", world.image("many", echo("v1")), InitialInstanceCount=16)
    with pytest.raises(ServiceError, match="utilization of 1 Instances and a request delta of 16"):
        world.call("CreateEndpoint", EndpointName="many", EndpointConfigName="many")


def test_an_endpoint_that_answers_at_once_cannot_have_no_instance(world):
    serve(world, "real-time")

    with pytest.raises(ServiceError, match="only an asynchronous endpoint can have none"):
        capacity(world, "real-time", 0)


def test_an_endpoint_comes_back_with_all_its_instances(world):
    serve(world, "broad")
    capacity(world, "broad", 2)
    PLUGIN.service.stop(world.cloud)

    PLUGIN.service.start(world.cloud)

    assert 2 == world.settled("broad")["ProductionVariants"][0]["CurrentInstanceCount"]


def test_a_serverless_variant_is_refused_by_name(world):
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 1}

    with pytest.raises(Refused, match="ServerlessConfig"):
        world.config("less", world.image("echo", echo("v1")), ServerlessConfig=serverless)


def test_a_configuration_of_no_model_is_refused(world):
    variant = {
        "VariantName": "v", "ModelName": "none", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large",
    }  # fmt: skip

    with pytest.raises(ServiceError, match="Could not find model"):
        world.call("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[variant])


def test_states_are_events_in_the_words_of_eventbridge(world):
    serve(world, "spoken")
    world.call("DeleteEndpoint", EndpointName="spoken")
    world.until(lambda: world.call("ListEndpoints")["Endpoints"], lambda rows: rows == [])

    events = world.cloud.events.published
    assert ["CREATING", "IN_SERVICE", "DELETING"] == [each["detail"]["EndpointStatus"] for each in events]
    assert {"SageMaker Endpoint State Change"} == {each["detail-type"] for each in events}


def test_models_and_configurations_are_listed_described_and_deleted(world):
    world.config("listed", world.image("echo", echo("v1")))

    assert ["listed"] == [each["ModelName"] for each in world.call("ListModels")["Models"]]
    rows = world.call("ListEndpointConfigs")["EndpointConfigs"]
    assert ["listed"] == [each["EndpointConfigName"] for each in rows]
    described = world.call("DescribeEndpointConfig", EndpointConfigName="listed")
    assert "listed" == described["ProductionVariants"][0]["ModelName"]
    assert "SingleModel" == world.call("DescribeModel", ModelName="listed")["PrimaryContainer"]["Mode"]
    world.call("DeleteEndpointConfig", EndpointConfigName="listed")
    world.call("DeleteModel", ModelName="listed")
    assert [] == world.call("ListModels")["Models"]


def test_throttled_storage_fails_an_endpoint_with_the_reason(tmp_path, cloud):
    class Throttled:
        """Refuses every download, as S3 does under load."""

        def download_file(self, *_, **__):
            raise ClientError({"Error": {"Code": "SlowDown", "Message": "slow down"}}, "GetObject")

        def close(self):
            pass

    world = World(tmp_path, cloud, settings=SETTINGS, s3=Throttled())
    data = f"s3://{world.bucket}/model.tar.gz"

    described = world.endpoint("slow", world.config("slow", world.image("echo", echo("v1")), data=data))

    assert "SlowDown" in described["FailureReason"]
    world.close()


def test_a_stack_cannot_change_a_model_of_a_custom_name(world):
    (model, *_) = PLUGIN.resources
    container = {"Image": world.image("echo", echo("v1"))}
    properties = {"ModelName": "mine", "ExecutionRoleArn": ROLE, "PrimaryContainer": container}
    request = Request(stack="s", logical_id="Model", properties=properties, name="generated")
    made = model.create(world.cloud, request)

    with pytest.raises(Refused, match="it has a custom name: rename mine"):
        model.update(world.cloud, made.ref, request)


def test_a_second_update_waits_for_the_first(world):
    serve(world, "patient")
    world.config("later", world.image("echo-v2", echo("v2")))
    world.call("UpdateEndpoint", EndpointName="patient", EndpointConfigName="later")

    with pytest.raises(ServiceError, match="Cannot update in-progress endpoint"):
        world.call("UpdateEndpoint", EndpointName="patient", EndpointConfigName="later")
    assert "later" == world.settled("patient")["EndpointConfigName"]


def test_an_update_that_a_kill_interrupted_leaves_the_old_one_serving(world):
    serve(world, "halfway")
    table = world.cloud.store.table("sagemaker.endpoints")
    PLUGIN.service.stop(world.cloud)
    table.change("halfway", EndpointStatus="Updating", pending={"Id": "i-new"})
    stray = world.home / "sagemaker" / "endpoints" / "halfway" / "i-new"
    stray.mkdir()

    PLUGIN.service.start(world.cloud)

    described = world.settled("halfway")
    assert ("InService", "halfway") == (described["EndpointStatus"], described["EndpointConfigName"])
    assert "the local cloud was stopped while" in described["FailureReason"]
    assert not stray.exists()
