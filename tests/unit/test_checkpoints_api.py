"""Checkpoints from a request to its answer: functions, table and bucket."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import boto3
import pytest
import requests
from account_fakes import with_role, with_user
from checkpoint_fakes import create_table, safetensors
from moto import mock_aws
from openapi_schema_validator import OAS30Validator
from proxy_events import proxied

from atelier.contract import openapi
from atelier.contract.operations import OPERATIONS
from atelier.contract.tables import CHECKPOINTS, Table
from atelier.lambdas.bootstrap import accounts as access
from atelier.lambdas.bootstrap import checkpoints as wiring
from atelier.lambdas.bootstrap import digests as digesting
from atelier.lambdas.bootstrap import downloads as fetching
from atelier.lambdas.handlers import callers, checkpoints, digests, downloads

DOCUMENT = openapi.document()
WIRED = (access.access, callers.callers, wiring.answering, fetching.fetching, digesting.digesting)
VARIABLES = {
    "ACCOUNTS_TABLE": "accounts",
    "RATES_TABLE": "rates",
    "USER_REQUESTS": "1000",
    "CHECKPOINTS_TABLE": "checkpoints",
    "BUCKET": "bucket",
    "DOWNLOADS_FUNCTION": "downloads",
    "ALLOW_PICKLED": "false",
    "LARGEST_DOWNLOAD": "1000000",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "t",
    "AWS_SECRET_ACCESS_KEY": "t",
}
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Context:
    """What Lambda says of a call."""

    function_name: str = "f"
    memory_limit_in_mb: int = 128
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:f"
    aws_request_id: str = "r1"
    log_group_name: str = "/aws/lambda/f"
    log_stream_name: str = "s"

    def get_remaining_time_in_millis(self):
        return 900_000


@dataclass
class Gateway:
    """Asks the function as API Gateway does, for one user."""

    username: str = "ann"
    query: dict = field(default_factory=dict)

    def call(self, name, body=None, **path):
        operation = OPERATIONS[name]
        event = proxied(
            operation,
            authorizer={"principal": "deployment", "token": "t"},
            headers={"username": self.username},
            path=path,
            query=self.query,
            body=body,
        )
        answer = checkpoints.handle(event, Context())
        said = json.loads(answer["body"] or "{}")
        assert_declared(name, answer["statusCode"], said)
        return answer["statusCode"], said

    def list(self, **query):
        status, said = Gateway(self.username, query).call("ListCheckpoints")
        assert 200 == status
        return said["data"]


def assert_declared(name, status, body):
    """An answer is what the document says."""
    operations = {each["operationId"]: each for path in DOCUMENT["paths"].values() for each in path.values()}
    content = operations[name]["responses"][str(status)]["content"]["application/json"]
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    assert [] == [each.message for each in OAS30Validator(schema).iter_errors(body)]


@pytest.fixture
def s3(monkeypatch) -> Iterator:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    with (
        mock_aws(config={"lambda": {"use_docker": False}}),
        closing(boto3.client("dynamodb")) as dynamodb,
        closing(boto3.client("s3")) as client,
    ):
        create_table(dynamodb, "checkpoints", CHECKPOINTS)
        create_table(dynamodb, "rates", Table(hash="pk"))
        dynamodb.create_table(
            TableName="accounts",
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        client.create_bucket(Bucket="bucket")
        for each in WIRED:
            each.cache_clear()
        yield client
        for each in WIRED:
            each.cache_clear()


@pytest.fixture
def api(s3) -> Gateway:
    """Ann may do all with checkpoints, Bob may only list, Eve nothing."""
    accounts = access.access().accounts
    for name, permission in {"ann": "checkpoint:all", "bob": "checkpoint:list", "eve": "user:list"}.items():
        with_role(accounts, f"role of {name}", permission)
        with_user(accounts, name, f"role of {name}")
    return Gateway()


def begin(api, name="a.safetensors", type="Stable-diffusion", **more):
    body = {"checkpoint_type": type, "filenames": [{"filename": name, "parts_number": 1}], **more}
    status, said = api.call("CreateCheckpoint", body)
    assert 201 == status, said
    return said["data"]


def finish(api, begun, body=None):
    tags = {}
    for name, (link,) in begun["s3PresignUrl"].items():
        sent = requests.put(link, data=safetensors() if body is None else body, timeout=5)
        tags[name] = [{"ETag": sent.headers["ETag"], "PartNumber": 1}]
    change = {"status": "Active", "multi_parts_tags": tags}
    return api.call("UpdateCheckpoint", change, id=begun["checkpoint"]["id"])


def test_a_checkpoint_is_uploaded_by_its_links_and_listed(api, s3):
    begun = begin(api, params={"message": "mine", "creator": "somebody"})
    made = begun["checkpoint"]
    place = made["params"]["multipart_upload"]["a.safetensors"]
    assert f"s3://bucket/checkpoints/Stable-diffusion/{made['id']}" == made["s3_location"]
    assert ("Initial", "ann", "mine") == (
        made["status"],
        made["params"]["creator"],
        made["params"]["message"],
    )

    status, said = finish(api, begun)

    assert (200, "Active") == (status, said["data"]["checkpoint"]["status"])
    assert safetensors() == s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
    (listed,) = api.list()["checkpoints"]
    assert (["a.safetensors"], ["ann", "role of ann"]) == (listed["name"], listed["allowed_roles_or_users"])
    assert {"created", "creator", "message"} == set(listed["params"])


def test_the_digest_of_a_file_is_there_when_its_job_has_read_it(api):
    begun = begin(api)
    finish(api, begun)
    key = begun["checkpoint"]["params"]["multipart_upload"]["a.safetensors"]["key"]

    digests.handle({"detail": {"bucket": {"name": "bucket"}, "object": {"key": key}}}, Context())

    (listed,) = api.list()["checkpoints"]
    assert 64 == len(listed["params"]["sha256"]["a.safetensors"])


def test_a_file_that_is_no_checkpoint_says_so_in_the_list(api):
    status, said = finish(api, begin(api), b"a pickle of some sort")

    assert (400, "a.safetensors is not a safetensors file") == (status, said["message"])
    (listed,) = api.list()["checkpoints"]
    assert ("Disabled", said["message"]) == (listed["status"], listed["params"]["error"])


def test_a_name_is_taken_once_and_given_up_with_its_checkpoint(api, s3):
    begun = begin(api)
    again = {"checkpoint_type": "Stable-diffusion", "filenames": [{"filename": "a.safetensors"}]}

    status, said = api.call("CreateCheckpoint", again)
    assert 400 == status
    assert "a.safetensors already exists, please use another or rename/delete exists" == said["message"]

    id = begun["checkpoint"]["id"]
    for _ in range(2):
        assert 204 == api.call("DeleteCheckpoints", {"checkpoint_id_list": [id, UNKNOWN]})[0]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="bucket")
    begin(api)


def test_an_active_checkpoint_is_renamed(api):
    begun = begin(api)
    id = begun["checkpoint"]["id"]
    early = api.call("UpdateCheckpoint", {"name": "b"}, id=id)
    finish(api, begun)

    assert (400, "only active can update name") == (early[0], early[1]["message"])
    assert 202 == api.call("UpdateCheckpoint", {"name": "b"}, id=id)[0]
    assert ["b.safetensors"] == api.list()["checkpoints"][0]["name"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "one of status and name is required"),
        ({"status": "Active", "name": "b"}, "one of status and name is required"),
        ({"status": "Disabled"}, 'status "Disabled" should be Active'),
        ({"status": "Active"}, "multi parts tags is empty"),
        ({"status": "Active", "multi_parts_tags": {}}, "multi parts tags is empty"),
        ({"name": "../b"}, "does not match input string"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(api, body, why):
    status, said = api.call("UpdateCheckpoint", body, id=begin(api)["checkpoint"]["id"])

    assert 400 == status
    assert why in said["message"]


@pytest.mark.parametrize("id", [UNKNOWN, "NAME#Stable-diffusion#a.safetensors", "x"])
def test_a_checkpoint_that_is_not_there_is_not_found(api, id):
    begin(api)

    status, said = api.call("UpdateCheckpoint", {"name": "b"}, id=id)

    assert (404, "checkpoint not found") == (status, said["message"])


def test_files_to_fetch_become_a_job(api, s3):
    function(s3)
    body = {"checkpoint_type": "Lora", "urls": ["https://a.example/a.safetensors?token=secret"]}

    assert 202 == api.call("CreateCheckpoint", body)[0]

    (listed,) = api.list()["checkpoints"]
    assert ("Initial", ["a.safetensors"]) == (listed["status"], listed["name"])
    assert "secret" not in json.dumps(listed)


def function(s3):
    """Make the function that downloads; what it does is not done here."""
    trust = {"Version": "2012-10-17", "Statement": []}
    with closing(boto3.client("iam")) as iam, closing(boto3.client("lambda")) as functions:
        role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("f.py", "def handle(event, context): pass")
        functions.create_function(
            FunctionName="downloads",
            Runtime="python3.12",
            Role=role,
            Handler="f.handle",
            Code={"ZipFile": code.getvalue()},
        )


@pytest.mark.parametrize(
    "url",
    ["http://a.example/a", "https://169.254.169.254/a", "https://localhost/a", "https://u:p@a.example/a"],
)
def test_a_url_of_no_public_place_is_refused_at_once(api, url):
    status, said = api.call("CreateCheckpoint", {"checkpoint_type": "Lora", "urls": [url]})

    assert 400 == status
    assert said["message"].startswith("a URL to fetch must")
    assert 0 == api.list()["total"]


def test_a_job_whose_checkpoint_is_gone_does_nothing(api, caplog):
    downloads.handle({"checkpoint": UNKNOWN, "source": 0}, Context())

    assert "nothing to do" == caplog.records[-1].outcome


def test_lists_come_in_pages_the_newest_first(api):
    ids = [begin(api, f"{each}.safetensors")["checkpoint"]["id"] for each in range(5)][::-1]
    begin(api, "v.safetensors", type="VAE")

    first = api.list(types=["Stable-diffusion"], per_page=["2"])
    last = api.list(types=["Stable-diffusion"], per_page=["2"], page=["3"])

    assert (1, 2, 3, 5) == tuple(first[each] for each in ("page", "per_page", "pages", "total"))
    assert (ids[:2], ids[4:]) == (
        [each["id"] for each in first["checkpoints"]],
        [each["id"] for each in last["checkpoints"]],
    )
    assert [] == api.list(page=["99"])["checkpoints"]
    assert 6 == api.list()["total"]
    assert 0 == api.list(status=["Active"])["total"]
    assert 6 == api.list(roles=["role of ann", "other"], username=["ann"])["total"]


def test_each_sees_and_does_what_they_may(api):
    begun = begin(api)
    create = {"checkpoint_type": "Lora", "filenames": [{"filename": "b.safetensors"}]}

    assert 0 == Gateway("bob").list()["total"]
    for name, who, body in [
        ("CreateCheckpoint", "bob", create),
        ("DeleteCheckpoints", "bob", {"checkpoint_id_list": [begun["checkpoint"]["id"]]}),
        ("ListCheckpoints", "eve", None),
    ]:
        status, said = Gateway(who).call(name, body)
        assert 403 == status
        assert said["message"].startswith(f"User {who} has no permissions")
    assert 401 == Gateway("nobody").call("ListCheckpoints")[0]


def test_a_comfy_checkpoint_keeps_its_paths(api):
    begun = begin(api, type="Comfy", source_path="/home/c/x", target_path="models/checkpoints")

    assert ("/home/c/x", "models/checkpoints") == (
        begun["checkpoint"]["source_path"],
        begun["checkpoint"]["target_path"],
    )


def test_what_is_logged_holds_no_link(api, caplog):
    finish(api, begin(api))

    logged = str([each.__dict__ for each in caplog.records])
    assert "answered" in logged
    assert not re.search(r"X-Amz-Signature|uploadId", logged)


def test_a_page_ends_where_an_answer_must_whoever_asks_for_more(api):
    begin(api, name="a.safetensors")

    page = api.list(per_page=["1000"])

    assert (200, 1, 1) == (page["per_page"], page["pages"], page["total"])


WHO = ["GetItem", "BatchGetItem"]
COSTS = {
    "ListCheckpoints": ["Query"],
    "CreateCheckpoint": ["BatchGetItem", "CreateMultipartUpload", "BatchGetItem", "TransactWriteItems"],
    "UpdateCheckpoint": ["GetItem", "CompleteMultipartUpload", "GetObject", "TransactWriteItems"],
    "DeleteCheckpoints": [
        "GetItem",
        "TransactWriteItems",
        "AbortMultipartUpload",
        "ListObjectsV2",
        "DeleteObjects",
        "TransactWriteItems",
    ],
}


@pytest.mark.parametrize("name", COSTS)
def test_an_operation_makes_few_calls_and_scans_nothing(api, name):
    begun, calls = begin(api), []
    if name == "DeleteCheckpoints":
        finish(api, begun)
    boto = [wiring.answering().keeping.checkpoints._client, wiring.answering().keeping.uploads._client]
    for each in [*boto, access.access().accounts._client]:
        each.meta.events.register("before-call", lambda model, **_: calls.append(model.name))

    ask(api, name, begun)

    assert [*WHO, *COSTS[name]] == [each for each in calls if each != "UpdateItem"]
    assert calls.count("UpdateItem") <= 1


def ask(api, name, begun):
    """Ask for an operation on an upload that was begun."""
    if name == "ListCheckpoints":
        return api.list()
    if name == "CreateCheckpoint":
        return begin(api, name="b.safetensors")
    if name == "UpdateCheckpoint":
        return finish(api, begun)
    return api.call(name, {"checkpoint_id_list": [begun["checkpoint"]["id"]]})
