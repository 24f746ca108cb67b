"""Users, roles and tokens from a request to its answer: authorizer, functions and a table."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from openapi_schema_validator import OAS30Validator
from proxy_events import proxied

from atelier.contract import openapi
from atelier.contract.operations import OPERATIONS
from atelier.lambdas.bootstrap import accounts as wiring
from atelier.lambdas.handlers import authorizer, callers, deployment_token, roles, users

FAMILIES = {"roles": roles.handle, "users": users.handle}
METHOD = "arn:aws:execute-api:us-east-1:123456789012:a1b2c3/prod/GET/users"
DEPLOYMENT = "d" * 43
DOCUMENT = openapi.document()


@dataclass(frozen=True)
class Context:
    """What Lambda says of a call."""

    function_name: str = "f"
    memory_limit_in_mb: int = 128
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:f"
    aws_request_id: str = "r1"
    log_group_name: str = "/aws/lambda/f"
    log_stream_name: str = "s"


@dataclass(frozen=True)
class Said:
    status: int
    body: dict

    @property
    def data(self):
        return self.body["data"]


class Gateway:
    """Asks the authorizer, then the function, as API Gateway does."""

    def __init__(self, token, username=None):
        self.token, self.username = token, username

    def call(self, name, body=None, **path):
        query = {each: [path.pop(each)] for each in ("role", "username_is", "show_password") if each in path}
        if "username_is" in query:
            query["username"] = query.pop("username_is")
        operation = OPERATIONS[name]
        headers = {"x-api-key": self.token} | ({"username": self.username} if self.username else {})
        allowed = authorizer.handle({"headers": headers, "methodArn": METHOD}, Context())
        if allowed["policyDocument"]["Statement"][0]["Effect"] == "Deny":
            return Said(403, {"message": "Forbidden"})
        event = proxied(
            operation,
            authorizer={**allowed["context"], "principalId": allowed["principalId"]},
            headers=headers,
            path=path,
            query=query,
            body=body,
        )
        answer = FAMILIES[operation.family](event, Context())
        said = Said(answer["statusCode"], json.loads(answer["body"] or "{}"))
        assert_declared(name, said)
        return said

    def as_user(self, username):
        return Gateway(self.token, username)


def assert_declared(name, said):
    """An answer is what the document says."""
    operations = {each["operationId"]: each for path in DOCUMENT["paths"].values() for each in path.values()}
    content = operations[name]["responses"][str(said.status)]["content"]["application/json"]
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    assert [] == [each.message for each in OAS30Validator(schema).iter_errors(said.body)]


@pytest.fixture
def api(monkeypatch) -> Iterator[Gateway]:
    """A deployment that has just been made, asked with its own token for `api`."""
    variables = {"ACCOUNTS_TABLE": "accounts", "RATES_TABLE": "rates", "USER_REQUESTS": "1000"}
    aws = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "t", "AWS_SECRET_ACCESS_KEY": "t"}
    for name, value in {**variables, **aws}.items():
        monkeypatch.setenv(name, value)
    wired = (wiring.access, wiring.authorizer, wiring.deployment_token, callers.callers)
    with (
        mock_aws(),
        closing(boto3.client("dynamodb")) as dynamodb,
        closing(boto3.client("secretsmanager")) as secrets,
    ):
        for table, keys in {"accounts": ("pk", "sk"), "rates": ("pk",)}.items():
            dynamodb.create_table(
                TableName=table,
                KeySchema=[
                    {"AttributeName": each, "KeyType": kind}
                    for each, kind in zip(keys, ("HASH", "RANGE"), strict=False)
                ],
                AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in keys],
                BillingMode="PAY_PER_REQUEST",
            )
        arn = secrets.create_secret(Name="token", SecretString=DEPLOYMENT)["ARN"]
        monkeypatch.setenv("SECRET_ARN", arn)
        for each in wired:
            each.cache_clear()
        assert deployment_token.attempt({"RequestType": "Create"}) is None
        yield Gateway(DEPLOYMENT, "api")
        for each in wired:
            each.cache_clear()


def user_with(api, name, *permissions):
    """Make a user with permissions; answer with a gateway that carries a token of theirs."""
    role = {"role_name": f"role of {name}", "permissions": list(permissions)}
    assert 201 == api.call("CreateRole", role).status
    made = api.call("CreateUser", {"username": name, "password": "hunter2", "roles": [role["role_name"]]})
    assert 201 == made.status
    return Gateway(api.call("CreateToken", {}, username=name).data["secret"])


def test_a_new_deployment_has_its_roles_and_its_user(api):
    everything = sorted(f"{each}:all" for each in ("train", "checkpoint", "inference", "user", "role"))
    everything = sorted([*everything, "sagemaker_endpoint:all"])

    found = api.call("ListRoles").data
    assert [
        {"role_name": "IT Operator", "creator": "api", "permissions": everything},
        {"role_name": "byoc", "creator": "api", "permissions": everything},
    ] == found["roles"]
    assert found["last_evaluated_key"] is None
    assert [
        {
            "username": "api",
            "roles": ["IT Operator"],
            "creator": "api",
            "permissions": everything,
            "password": "********",
        }
    ] == api.call("ListUsers").data["users"]


def test_roles_are_made_listed_and_deleted(api):
    made = api.call("CreateRole", {"role_name": "painter", "permissions": ["inference:all"], "creator": "x"})

    assert (201, "role created") == (made.status, made.body["message"])
    assert "data" not in made.body
    (found,) = api.call("ListRoles", role="painter").data["roles"]
    assert {"role_name": "painter", "creator": "api", "permissions": ["inference:all"]} == found
    assert [] == api.call("ListRoles", role="unknown").data["roles"]
    for _ in range(2):
        assert 204 == api.call("DeleteRoles", {"role_name_list": ["painter"]}).status
    assert 2 == len(api.call("ListRoles").data["roles"])


def test_users_are_made_listed_and_deleted_and_passwords_never_shown(api, capsys):
    body = {"username": "ann", "password": "hunter2", "roles": ["byoc"]}

    assert (201, "user created") == (
        (made := api.call("CreateUser", body)).status,
        made.body["message"],
    )
    (found,) = api.call("ListUsers", username_is="ann", show_password="True").data["users"]
    assert ("ann", ["byoc"], "api", "********") == tuple(
        found[each] for each in ("username", "roles", "creator", "password")
    )
    for _ in range(2):
        assert 204 == api.call("DeleteUsers", {"user_name_list": ["ann"]}).status
    assert [] == api.call("ListUsers", username_is="ann").data["users"]
    assert "hunter2" not in capsys.readouterr().out


def test_the_first_user_is_told_all_roles(api):
    body = {"username": "boss", "password": "p", "initial": True}

    made = Gateway(DEPLOYMENT).call("CreateUser", body)

    assert 201 == made.status
    assert {
        "user": {"username": "boss", "roles": ["IT Operator"]},
        "all_roles": ["IT Operator", "byoc"],
    } == made.data
    ann = user_with(api, "ann", "user:all")
    assert 403 == ann.call("CreateUser", {"username": "eve", "initial": True}).status


def test_a_users_token_is_shown_once_listed_without_its_secret_and_revoked(api):
    ann = user_with(api, "ann", "user:list")

    made = ann.call("CreateToken", {"description": "laptop", "expires_in": 3600}, username="ann")

    assert 201 == made.status
    secret, token = made.data["secret"], made.data["token"]
    assert secret.startswith("atl_")
    assert 47 == len(secret)
    assert ("ann", "laptop") == (token["username"], token["description"])
    listed = ann.call("ListTokens", username="ann")
    assert token in listed.data["tokens"]
    assert secret not in json.dumps(listed.body)
    assert 200 == Gateway(secret).call("ListUsers").status
    assert 204 == ann.call("DeleteToken", username="ann", id=token["id"]).status
    assert 403 == Gateway(secret).call("ListUsers").status
    assert 404 == ann.call("DeleteToken", username="ann", id=token["id"]).status


ROWS = [
    ("ListRoles", {}, ["role:list"], "['role:all', 'role:list']"),
    (
        "CreateRole",
        {"body": {"role_name": "r", "permissions": ["role:create"]}},
        ["role:create"],
        "['role:all', 'role:create']",
    ),
    ("DeleteRoles", {"body": {"role_name_list": ["r"]}}, ["role:all"], "['role:all']"),
    ("ListUsers", {}, ["user:list"], "['user:all', 'user:list']"),
    ("CreateUser", {"body": {"username": "new"}}, ["user:all"], "['user:all']"),
    ("DeleteUsers", {"body": {"user_name_list": ["new"]}}, ["user:all"], "['user:all']"),
]


@pytest.mark.parametrize(("name", "request_", "enough", "told"), ROWS)
def test_every_row_wants_its_permission(api, name, request_, enough, told):
    ann = user_with(api, "ann", "inference:list")
    bob = user_with(api, "bob", *enough)

    refused = ann.call(name, **request_)

    assert (403, f"User ann has no permissions: {told}") == (refused.status, refused.body["message"])
    assert bob.call(name, **request_).status in {200, 201, 204}


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        *((name, request) for name, request, _, _ in ROWS),
        ("CreateToken", {"body": {}, "username": "api"}),
        ("ListTokens", {"username": "api"}),
        ("DeleteToken", {"username": "api", "id": "1"}),
    ],
)
def test_every_row_refuses_whom_it_does_not_know(api, name, request_):
    ann = user_with(api, "ann", "user:all", "role:all")
    unknown = [Gateway(DEPLOYMENT).call(name, **request_), api.as_user("nobody").call(name, **request_)]

    assert [(401, "Unauthorized")] * 2 == [(each.status, each.body["message"]) for each in unknown]
    assert 403 == ann.as_user("api").call(name, **request_).status
    for token in ("", "wrong", DEPLOYMENT[:-1]):
        assert (403, {"message": "Forbidden"}) == (
            (said := Gateway(token, "api").call(name, **request_)).status,
            said.body,
        )


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("DeleteRoles", {"role_name_list": ["byoc"]}, "cannot delete default role"),
        ("DeleteUsers", {"user_name_list": ["api"]}, "cannot delete default user"),
        ("CreateUser", {"username": "x", "roles": ["painter"]}, 'user roles "painter" not exist'),
        ("CreateRole", {"role_name": "x", "permissions": ["x:all"]}, 'permission "x:all" not exist'),
        (
            "CreateUser",
            {"username": "../x"},
            '[ECMA 262 regex "^[^/]+$" does not match input string "../x"]',
        ),
    ],
)
def test_what_makes_no_sense_is_said(api, name, body, message):
    said = api.call(name, body)

    assert (400, message) == (said.status, said.body["message"])


def test_nobody_grants_what_they_do_not_hold(api):
    ann = user_with(api, "ann", "user:all", "role:all")

    made = ann.call("CreateRole", {"role_name": "x", "permissions": ["role:all", "train:list"]})
    assert (400, "creator ann has no permissions: ['train:list']") == (made.status, made.body["message"])
    assert 400 == ann.call("CreateUser", {"username": "ann", "roles": ["IT Operator"]}).status
    assert 403 == ann.call("CreateToken", {}, username="api").status
    assert 201 == ann.call("CreateRole", {"role_name": "x", "permissions": ["role:list"]}).status


def test_names_of_any_kind_are_kept_as_they_are(api):
    for name in ("änne ☂", "..\\windows", "'; DROP TABLE users;--", "a#b", "TOKEN", " "):
        assert 201 == api.call("CreateUser", {"username": name, "roles": ["byoc"]}).status
        assert [name] == [each["username"] for each in api.call("ListUsers", username_is=name).data["users"]]
        assert 204 == api.call("DeleteUsers", {"user_name_list": [name]}).status
    assert 1 == len(api.call("ListUsers").data["users"])


def test_a_user_who_is_deleted_is_gone_at_once_with_their_tokens(api):
    ann = user_with(api, "ann", "user:list")
    assert 204 == api.call("DeleteUsers", {"user_name_list": ["ann"]}).status

    assert 403 == ann.call("ListUsers").status
    api.call("CreateUser", {"username": "ann", "roles": ["byoc"]})
    assert 403 == ann.call("ListUsers").status


def test_a_role_that_is_deleted_gives_nothing_any_more(api):
    ann = user_with(api, "ann", "user:list")
    assert 204 == api.call("DeleteRoles", {"role_name_list": ["role of ann"]}).status

    assert 403 == ann.call("ListUsers").status
    assert [[]] == [each["roles"] for each in api.call("ListUsers", username_is="ann").data["users"]]


def test_each_user_asks_no_more_often_than_they_may(api, monkeypatch):
    ann = user_with(api, "ann", "user:list")
    monkeypatch.setenv("USER_REQUESTS", "6")
    for each in (wiring.access, callers.callers):
        each.cache_clear()

    answers = [ann.call("ListUsers") for _ in range(20)]

    throttled = [each for each in answers if each.status == 429]
    assert throttled
    assert "asks too often" in throttled[0].body["message"]
    assert 200 == api.call("ListUsers").status


def test_names_longer_than_any_are_unknown(api):
    assert 401 == api.as_user("x" * 5000).call("ListUsers").status
    assert 404 == api.call("ListTokens", username="x" * 5000).status


def test_a_table_that_is_too_busy_is_told_so_that_a_client_tries_again(api):
    def refuse(**_):
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "inner"}}, "Query")

    wiring.access().accounts._client.meta.events.register("before-call.dynamodb.Query", refuse)

    said = api.call("ListUsers")

    assert (503, "the table is too busy, try again") == (said.status, said.body["message"])


WHO = ["GetItem", "BatchGetItem"]
"""What it takes to know who asks; every second request or fewer is counted beside."""

COSTS = [
    ("ListRoles", {}, ["Query"]),
    ("ListRoles", {"role": "byoc"}, ["BatchGetItem"]),
    ("CreateRole", {"body": {"role_name": "r", "permissions": ["role:list"]}}, ["GetItem", "PutItem"]),
    ("DeleteRoles", {"body": {"role_name_list": ["unknown"]}}, ["GetItem", "GetItem"]),
    ("ListUsers", {}, ["Query", "Query"]),
    (
        "CreateUser",
        {"body": {"username": "u", "roles": ["byoc"]}},
        ["BatchGetItem", "GetItem", "TransactWriteItems"],
    ),
    ("DeleteUsers", {"body": {"user_name_list": ["unknown"]}}, ["GetItem"]),
    ("CreateToken", {"body": {}, "username": "api"}, ["GetItem", "Query", "TransactWriteItems"]),
    ("ListTokens", {"username": "api"}, ["GetItem", "Query"]),
]


@pytest.mark.parametrize(("name", "request_", "cost"), COSTS)
def test_an_operation_makes_few_calls_and_scans_nothing(api, name, request_, cost):
    calls = []
    api.call("ListRoles")
    events = wiring.access().accounts._client.meta.events
    events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))

    assert api.call(name, **request_).status < 300

    assert [*WHO, *cost] == [each for each in calls if each != "UpdateItem"]
    assert len([each for each in calls if each == "UpdateItem"]) <= 1


def test_knowing_a_token_takes_one_call(api):
    calls = []
    wiring.authorizer()._client.meta.events.register(
        "before-call.dynamodb", lambda model, **_: calls.append(model.name)
    )

    authorizer.handle({"headers": {"x-api-key": DEPLOYMENT}, "methodArn": METHOD}, Context())

    assert ["GetItem"] == calls
