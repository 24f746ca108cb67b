"""The fleet's functions beside AWS: what they read of a bucket, a parameter, a service and a table."""

import hashlib
import io
from types import SimpleNamespace

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from fleet_fakes import archive, moment, world
from moto import mock_aws

from atelier.contract import fleet as words
from atelier.contract import tables
from atelier.contract.fleet import Model
from atelier.lambdas.adapters.feeds import FleetFeed
from atelier.lambdas.adapters.landing_memory import DynamoMemory
from atelier.lambdas.adapters.landings import ModelBucket, Whole
from atelier.lambdas.adapters.model_parameter import SsmModel
from atelier.lambdas.adapters.tasks import EcsService
from atelier.lambdas.bootstrap import fleet as wiring
from atelier.lambdas.domain.fleet import Record, State, Trial
from atelier.lambdas.errors import Busy, Conflict, Failed, Invalid
from atelier.lambdas.handlers import fleet as handlers

BUCKET = "models"
MODEL = Model(
    name="first",
    bucket=BUCKET,
    key=words.key("first"),
    version_id="v1",
    sha256="a" * 64,
    size=5,
    landed=moment(0),
)
CONTEXT = SimpleNamespace(
    function_name="f", memory_limit_in_mb=128, invoked_function_arn="arn", aws_request_id="r1"
)


@pytest.fixture
def aws():
    """An account of moto's, with the fleet's bucket."""
    with mock_aws():

        def client(service):
            return boto3.client(
                service,
                region_name="us-east-1",
                aws_access_key_id="a",
                aws_secret_access_key="b",
                config=Config(retries={"total_max_attempts": 1}),
            )

        s3 = client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield SimpleNamespace(client=client, s3=s3)


def test_the_bucket_lists_current_versions_with_what_lies_beside_them(aws):
    for body in (b"old", b"new"):
        aws.s3.put_object(Bucket=BUCKET, Key=words.key("first"), Body=body)
    aws.s3.put_object(
        Bucket=BUCKET, Key=words.beside(words.key("first")), Body=b"A" * 64 + b"  model.tar.gz\n"
    )
    aws.s3.put_object(Bucket=BUCKET, Key="fleet/readme.txt", Body=b"no model")
    aws.s3.put_object(Bucket=BUCKET, Key=words.key("gone"), Body=b"x")
    aws.s3.delete_object(Bucket=BUCKET, Key=words.key("gone"))
    bucket = ModelBucket(aws.s3, BUCKET)

    (found,) = bucket.landed()

    assert ("first", 3, True) == (found.name, found.size, bool(found.beside))
    assert "a" * 64 == bucket.sha256(found)
    with bucket.opened(found) as stream:
        assert b"new" == stream.read(10)


def test_without_a_file_beside_s3s_own_sha256_counts(aws):
    aws.s3.put_object(Bucket=BUCKET, Key=words.key("plain"), Body=b"x")
    aws.s3.put_object(Bucket=BUCKET, Key=words.key("summed"), Body=b"y", ChecksumAlgorithm="SHA256")
    bucket = ModelBucket(aws.s3, BUCKET)
    found = {each.name: bucket.sha256(each) for each in bucket.landed()}

    assert {"plain": None, "summed": hashlib.sha256(b"y").hexdigest()} == found


def test_what_is_beside_a_model_and_no_sha256_is_invalid(aws):
    aws.s3.put_object(Bucket=BUCKET, Key=words.key("first"), Body=b"x")
    aws.s3.put_object(Bucket=BUCKET, Key=words.beside(words.key("first")), Body=b"\xff\xfe")
    bucket = ModelBucket(aws.s3, BUCKET)
    (found,) = bucket.landed()

    with pytest.raises(Invalid, match="no SHA-256"):
        bucket.sha256(found)


def test_a_stream_that_s3_cuts_off_is_for_later_and_no_broken_model():
    stream = Whole(io.BytesIO(b"half"), 8)

    assert b"half" == stream.read(10)
    with pytest.raises(Busy, match="4 bytes before the end"):
        stream.read(10)


def test_the_parameter_keeps_every_version_and_names_the_newest(aws):
    parameter = SsmModel(aws.client("ssm"), "/atelier/fleet/model")

    assert parameter.get() is None
    assert [1, 2] == [parameter.put(MODEL), parameter.put(MODEL)]
    assert parameter.get() == MODEL
    parameter.clear()
    assert parameter.get() is None
    assert (MODEL, None, None) == (parameter.get(2), parameter.get(3), parameter.get(99))
    assert 4 == parameter.put(MODEL)  # no number ever names another model


def test_a_parameter_that_a_person_broke_names_no_model(aws):
    aws.client("ssm").put_parameter(Name="/atelier/fleet/model", Value="latest", Type="String")

    assert SsmModel(aws.client("ssm"), "/atelier/fleet/model").get() is None


@pytest.fixture
def memory(aws):
    client, table = aws.client("dynamodb"), tables.FLEET
    index = table.indexes[0]
    client.create_table(
        TableName="fleet",
        KeySchema=[{"AttributeName": table.hash, "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in (table.hash, index.hash, index.range)
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": index.name,
                "KeySchema": [
                    {"AttributeName": index.hash, "KeyType": "HASH"},
                    {"AttributeName": index.range, "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return DynamoMemory(client, "fleet")


def test_the_state_comes_back_as_it_was_and_one_of_two_writers_wins(memory):
    assert memory.state() == State()
    trial = Trial(landing="l", model=MODEL, began=moment(1), before="task:1")

    saved = memory.save(State(serving=MODEL, landing="k", trial=trial))

    assert saved == memory.state()
    memory.save(saved)
    with pytest.raises(Conflict):
        memory.save(saved)
    with pytest.raises(Conflict):
        memory.save(State())


def test_a_landing_comes_back_as_it_was(memory):
    record = Record(
        id="fleet/first@v1",
        name="first",
        key="k",
        version_id="v1",
        landed="t",
        status="refused",
        at="u",
        size=7,
    )

    memory.write(record)

    assert (record, None) == (memory.record(record.id), memory.record("another"))


class Ecs:
    """A service with one revision, as ECS describes it."""

    def __init__(self, value="/atelier/fleet/model", desired=0):
        self.registered, self.updated, self.desired = [], [], desired
        self.definition = {
            "family": "atelier-fleet",
            "taskDefinitionArn": "task:1",
            "revision": 1,
            "status": "ACTIVE",
            "cpu": "1024",
            "containerDefinitions": [
                {"name": "sidecar", "environment": []},
                {"name": "model", "environment": [{"name": "MODEL_PARAMETER", "value": value}]},
            ],
        }

    def describe_services(self, cluster, services):
        deployments = [
            {"status": "PRIMARY", "taskDefinition": "task:1", "rolloutState": "IN_PROGRESS"},
            {
                "status": "ACTIVE",
                "taskDefinition": "task:0",
                "rolloutState": "FAILED",
                "rolloutStateReason": "why",
            },
        ]
        return {"services": [{"deployments": deployments, "desiredCount": self.desired}]}

    def describe_task_definition(self, taskDefinition, include):
        reserved = {"key": "aws:cloudformation:stack-name", "value": "atelier-serving-fleet"}
        return {"taskDefinition": self.definition, "tags": [reserved, {"key": "a", "value": "b"}]}

    def register_task_definition(self, **definition):
        self.registered.append(definition)
        return {"taskDefinition": {"taskDefinitionArn": "task:2"}}

    def update_service(self, **request):
        self.updated.append(request)


class Scaling:
    """Scaling that remembers how few tasks there may be."""

    def __init__(self):
        self.fewest = []

    def register_scalable_target(self, **target):
        self.fewest.append((target["ResourceId"], target["MinCapacity"]))


class Logs:
    def __init__(self, *messages, fault=None, empty_pages=0):
        self.messages, self.fault, self.empty_pages = messages, fault, empty_pages

    def filter_log_events(self, **request):
        if self.fault:
            raise self.fault
        page = int(request.get("nextToken", 0))
        if page < self.empty_pages:
            return {"events": [], "nextToken": str(page + 1)}
        return {"events": [{"message": each} for each in self.messages]}


def service(ecs, logs=None, scaling=None):
    return EcsService(
        ecs,
        logs or Logs(),
        scaling or Scaling(),
        cluster="c",
        service="s",
        parameter="/atelier/fleet/model",
        log_group="g",
        fewest=2,
    )


def test_a_deployment_differs_in_the_parameters_version_alone():
    ecs = Ecs()

    assert "task:2" == service(ecs).deploy(7)

    (made,) = ecs.registered
    assert {"family", "cpu", "containerDefinitions", "tags"} == made.keys()
    assert [{"key": "a", "value": "b"}] == made["tags"]
    assert [{"name": "MODEL_PARAMETER", "value": "/atelier/fleet/model:7"}] == made["containerDefinitions"][
        1
    ]["environment"]
    assert [("task:2", 2, True)] == [
        (each["taskDefinition"], each["desiredCount"], each["forceNewDeployment"]) for each in ecs.updated
    ]


def test_scaling_keeps_tasks_once_there_is_a_model_and_none_where_there_is_not():
    ecs, scaling = Ecs(), Scaling()
    found = service(ecs, scaling=scaling)

    found.deploy(7)
    found.rest()

    assert [("service/c/s", 2), ("service/c/s", 0)] == scaling.fewest
    assert 0 == ecs.updated[-1]["desiredCount"]


def test_a_deployment_leaves_the_number_of_tasks_to_scaling():
    ecs = Ecs(desired=5)

    service(ecs).deploy(7)

    assert 5 == ecs.updated[0]["desiredCount"]


@pytest.mark.parametrize(("value", "version"), [("/a/model", None), ("/a/model:12", 12)])
def test_a_look_tells_which_version_tasks_read_and_why_the_last_deployment_failed(value, version):
    found = service(Ecs(value)).look()

    assert (version, "task:1", "IN_PROGRESS", "why") == (
        found.version,
        found.definition,
        found.rollout,
        found.reason,
    )


def test_a_service_is_brought_back_to_a_revision_of_before():
    ecs = Ecs(desired=3)

    service(ecs).back("task:1")

    assert [{"cluster": "c", "service": "s", "taskDefinition": "task:1", "forceNewDeployment": True}] == (
        ecs.updated
    )


def test_behind_an_empty_page_of_a_log_there_may_be_more():
    assert "why" == service(Ecs(), Logs("error: why", empty_pages=2)).last_words(moment(0))
    assert "" == service(Ecs(), Logs("error: why", empty_pages=1000)).last_words(moment(0))


def test_the_last_error_that_a_task_wrote_is_the_reason():
    denied = ClientError({"Error": {"Code": "AccessDenied"}}, "FilterLogEvents")
    said = Logs("fetching", "error: one", "error: the last ", "an error: not this")

    assert "the last" == service(Ecs(), said).last_words(moment(0))
    assert "" == service(Ecs(), Logs()).last_words(moment(0))
    assert "" == service(Ecs(), Logs(fault=denied)).last_words(moment(0))


def test_a_published_artefact_is_copied_once_with_its_sha256(aws):
    aws.s3.create_bucket(Bucket="data")
    aws.s3.put_object(Bucket="data", Key="models/m.tar.gz", Body=b"weights")
    feed = FleetFeed(aws.s3, BUCKET)

    for _ in range(2):
        feed.land("gpt-neo", "s3://data/models/m.tar.gz", "b" * 64)

    versions = aws.s3.list_object_versions(Bucket=BUCKET)["Versions"]
    assert [words.key("gpt-neo"), words.beside(words.key("gpt-neo"))] == sorted(
        each["Key"] for each in versions
    )
    (found,) = ModelBucket(aws.s3, BUCKET).landed()
    assert "b" * 64 == ModelBucket(aws.s3, BUCKET).sha256(found)


def test_an_artefact_or_a_bucket_that_is_gone_fails_in_words(aws):
    with pytest.raises(Failed, match="s3://nowhere/m cannot land in the fleet's bucket models"):
        FleetFeed(aws.s3, BUCKET).land("gpt-neo", "s3://nowhere/m", "b" * 64)
    with pytest.raises(Failed, match="bucket elsewhere cannot be read"):
        FleetFeed(aws.s3, "elsewhere").land("gpt-neo", "s3://nowhere/m", "b" * 64)


class Notices:
    def __init__(self):
        self.brought = []

    def bring(self, receipt, *, seconds):
        self.brought.append((receipt, seconds))


def batch(*counts):
    return {
        "Records": [
            {
                "messageId": f"m{n}",
                "receiptHandle": f"r{n}",
                "attributes": {"ApproximateReceiveCount": str(count)},
            }
            for n, count in enumerate(counts)
        ]
    }


@pytest.fixture
def wired(monkeypatch):
    made, notices = world(), Notices()
    monkeypatch.setattr(wiring, "fleet", lambda: made)
    monkeypatch.setattr(wiring, "notices", lambda: notices)
    return SimpleNamespace(world=made, notices=notices)


def test_one_look_is_for_a_whole_batch(wired):
    wired.world.bucket.land("first", archive(), 0)

    assert {"batchItemFailures": []} == handlers.landed(batch(1, 1, 1), CONTEXT)
    assert [1] == wired.world.service.deployed

    wired.world.service.complete()
    handlers.report({"detail": {"eventName": "SERVICE_DEPLOYMENT_COMPLETED"}}, CONTEXT)
    assert ["The fleet serves first"] == wired.world.people.subjects


def test_what_a_look_could_not_do_comes_again_soon_and_then_in_the_queues_own_time(wired):
    wired.world.bucket.land("first", archive(), 0)
    wired.world.service.fault = Busy("ECS is too busy, try again")

    answer = handlers.landed(batch(1, 4), CONTEXT)

    assert ["m0", "m1"] == [each["itemIdentifier"] for each in answer["batchItemFailures"]]
    assert [("r0", 5)] == wired.notices.brought


def test_a_look_that_another_overtook_comes_again_for_what_the_other_has_not_seen(wired):
    wired.world.bucket.land("first", archive(), 0)
    wired.world.memory.overtaken = True

    answer = handlers.landed(batch(1), CONTEXT)

    assert [{"itemIdentifier": "m0"}] == answer["batchItemFailures"]
    assert [("r0", 5)] == wired.notices.brought
    assert [] == wired.world.service.deployed
