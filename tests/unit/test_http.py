"""What stands around every operation: who asks, whether they may, and how they are answered."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_schema_validator import OAS30Validator

from atelier.contract import documents, openapi
from atelier.contract.api.endpoints import Endpoints
from atelier.contract.api.inferences import Inferences
from atelier.contract.api.roles import Role, Roles
from atelier.contract.api.users import CreatedUser, InitialUser
from atelier.contract.operations import OPERATIONS
from atelier.lambdas import errors
from atelier.lambdas.domain.accounts import Caller, Principal, User
from atelier.lambdas.handlers import http, meta
from atelier.lambdas.handlers.http import Answer, Api, Call

REQUEST = "0f8a4c1e-5a3b-4f1d-9a51-2b1f6f0a7c11"
DEPLOYMENT = {"principal": "deployment", "user": "", "token": "d1"}
DOCUMENT = openapi.document()


@dataclass(frozen=True)
class Context:
    function_name: str = "atelier-roles"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:eu-west-1:123456789012:function:atelier-roles"
    aws_request_id: str = "a1"
    log_group_name: str = "/aws/lambda/atelier-roles"
    log_stream_name: str = "2026/11/21/[$LATEST]7f"


@dataclass
class KnownCallers:
    """Users by name, with what they may do; *asked* is what was looked up."""

    known: dict[str, frozenset[str]]
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def caller(self, principal: Principal, username: str | None) -> Caller:
        self.asked.append((principal.kind, username))
        name = username or principal.user
        if principal.kind == "user" and name != principal.user:
            raise errors.Refused("another user's name")
        if name not in self.known:
            raise errors.Unauthenticated(f"{name} is not known")
        return Caller(user=User(name=name, creator="api"), permissions=self.known[name])


@dataclass(frozen=True)
class Said:
    status: int
    body: Any
    headers: dict[str, str]


class Client:
    """Calls the functions of an Api as API Gateway does."""

    def __init__(self, **known: str) -> None:
        self.callers = KnownCallers({name: frozenset(each.split()) for name, each in known.items()})
        self.api = Api(lambda: self.callers)
        self.calls: list[Call] = []

    def answers(self, operation: str, answer: Answer | Exception) -> Client:
        def respond(call: Call) -> Answer:
            self.calls.append(call)
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.api.operation(operation)(respond)
        return self

    def call(self, operation: str, **more: Any) -> Said:
        return call(self.api.handle, operation, **more)


def call(
    handle: Any,
    name: str,
    *,
    body: Any = None,
    headers: dict[str, str] | None = None,
    query: dict[str, list[str]] | None = None,
    path: dict[str, str] | None = None,
    authorizer: dict[str, str] | None = DEPLOYMENT,
    **context: str,
) -> Said:
    operation, route = OPERATIONS[name], OPERATIONS[name].path
    for parameter, value in (path or {}).items():
        route = route.replace(f"{{{parameter}}}", value)
    event = {
        "resource": operation.path,
        "path": route,
        "httpMethod": operation.method,
        "headers": {"username": "ada"} if headers is None else headers,
        "queryStringParameters": None,
        "multiValueQueryStringParameters": query,
        "pathParameters": path,
        "body": body if body is None or isinstance(body, str) else json.dumps(body),
        "isBase64Encoded": False,
        "requestContext": {
            "requestId": REQUEST,
            "path": f"/prod{route}",
            "stage": "prod",
            **({"authorizer": authorizer} if authorizer else {}),
            **context,
        },
    }
    answer = handle(event, Context())
    told = {name: values[0] for name, values in answer["multiValueHeaders"].items()}
    document = json.loads(answer["body"]) if answer["body"] else None
    assert_declared(name, answer["statusCode"], document)
    return Said(answer["statusCode"], document, told)


def assert_declared(name: str, status: int, document: Any) -> None:
    """Every answer is what the OpenAPI document says, whatever the test is about."""
    operations = {each["operationId"]: each for path in DOCUMENT["paths"].values() for each in path.values()}
    response = operations[name]["responses"][str(status)]
    told = {} if document is None else document
    schema = response["content"]["application/json"]["schema"]
    resolved = {**schema, "components": DOCUMENT["components"]}
    assert [] == [each.message for each in OAS30Validator(resolved).iter_errors(told)]


PAGE = Roles(
    roles=(Role(role_name="byoc", creator="api", permissions=("role:all",)),), last_evaluated_key=None
)
JOBS = Inferences(inferences=(), last_evaluated_key=None)
ROLE = {"role_name": "painter", "permissions": ["role:list"]}


def test_the_service_says_that_it_is_there():
    assert "OK" == call(meta.handle, "RootAPI").body["message"]
    assert "pong" == call(meta.handle, "Ping").body["message"]


def test_the_document_names_this_deployment():
    said = call(meta.handle, "GetApiOAS", domainName="abc.execute-api.eu-west-1.amazonaws.com")

    assert [{"url": "https://abc.execute-api.eu-west-1.amazonaws.com/prod"}] == said.body["servers"]
    assert "3.0.1" == said.body["openapi"]


def test_the_document_is_relative_where_the_place_is_not_told():
    assert [{"url": "."}] == call(meta.handle, "GetApiOAS").body["servers"]


def test_an_answer_stands_in_an_envelope():
    said = Client(ada="role:list").answers("ListRoles", Answer(200, PAGE)).call("ListRoles")

    assert 200 == said.status
    assert {"statusCode", "debug", "data", "message"} == said.body.keys()
    assert [{"role_name": "byoc", "creator": "api", "permissions": ["role:all"]}] == said.body["data"][
        "roles"
    ]
    assert said.body["data"]["last_evaluated_key"] is None


def test_every_answer_says_the_version_and_lets_browsers_read():
    said = Client(ada="role:list").answers("ListRoles", Answer(200, PAGE)).call("ListRoles")

    assert "1.7.0" == said.headers["x-api-version"]
    assert "*" == said.headers["Access-Control-Allow-Origin"]
    assert "no-store" == said.headers["Cache-Control"]


def test_an_answer_links_to_its_function_log_and_trace():
    client = Client(ada="role:list").answers("ListRoles", Answer(200, PAGE))
    headers = {"username": "ada", "X-Amzn-Trace-Id": "Self=1-2;Root=1-67-ab;Sampled=1"}
    console = "https://eu-west-1.console.aws.amazon.com"

    assert {
        "function_url": f"{console}/lambda/home?region=eu-west-1#/functions/atelier-roles",
        "log_url": f"{console}/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/"
        "$252Faws$252Flambda$252Fatelier-roles/log-events/2026$252F11$252F21$252F$255B$2524LATEST$255D7f",
        "trace_url": f"{console}/cloudwatch/home?region=eu-west-1#xray:traces/1-67-ab",
    } == client.call("ListRoles", headers=headers).body["debug"]


def test_a_deletion_has_no_body():
    client = Client(ada="role:all").answers("DeleteRoles", Answer(204))
    said = client.call("DeleteRoles", body={"role_name_list": ["a"]})

    assert (204, None) == (said.status, said.body)


def test_data_may_be_missing_where_the_table_says_so():
    created = CreatedUser(user=InitialUser(username="ada", roles=("byoc",)), all_roles=("byoc",))
    first = Client().answers("CreateUser", Answer(201, created, "user created"))
    other = Client(ada="user:all").answers("CreateUser", Answer(201, message="user created"))

    assert "data" in first.call("CreateUser", body={"username": "x", "initial": True}).body
    assert "data" not in other.call("CreateUser", body={"username": "x"}).body


def test_an_operation_is_given_what_was_asked():
    client = Client(ada="checkpoint:create").answers("UpdateCheckpoint", Answer(202))
    client.call("UpdateCheckpoint", path={"id": "a%20b"}, body={"name": "portrait"})
    asked = client.calls[0]

    assert ("a b", "portrait", "ada") == (asked.path["id"], asked.body.name, asked.caller.name)


@pytest.mark.parametrize(
    "value", ["../../etc/passwd", 'a"b', "a#b", "<x>", "a%2Fb", "é", "{id}", "%00", "' OR 1=1"]
)
def test_what_stands_in_a_path_does_not_change_the_route(value):
    client = Client(ada="inference:all").answers(
        "StartInferences", errors.Invalid("InferenceJobId not found")
    )

    assert 400 == client.call("StartInferences", path={"id": value}).status
    assert 1 == len(client.calls)


def test_a_user_may_be_named_as_old_clients_do():
    client = Client(ada="role:list").answers("ListRoles", Answer(200, PAGE))

    assert 200 == client.call("ListRoles", headers={"Authorization": f"Bearer {b'ada'.hex().upper()}"}).status
    assert [("deployment", "ada")] == client.callers.asked


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"username": ""},
        {"username": "eve"},
        {"Authorization": "Bearer xyz"},
        {"Authorization": "Bearer ff"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic YTpi"},
    ],
)
def test_nobody_known_is_unauthorized(headers):
    said = Client(ada="role:all").answers("ListRoles", Answer(200, PAGE)).call("ListRoles", headers=headers)

    assert (401, "Unauthorized") == (said.status, said.body["message"])


@pytest.mark.parametrize("authorizer", [None, {}, {"principal": "root"}, {"principal": "user", "user": ""}])
def test_without_the_authorizers_word_nothing_is_answered(authorizer):
    client = Client(ada="role:all").answers("ListRoles", Answer(200, PAGE))

    assert 401 == client.call("ListRoles", authorizer=authorizer).status
    assert [] == client.calls


def test_a_users_token_needs_no_name():
    client = Client(ada="role:list").answers("ListRoles", Answer(200, PAGE))
    authorizer = {"principal": "user", "user": "ada", "token": "t1"}

    assert 200 == client.call("ListRoles", headers={}, authorizer=authorizer).status


def test_a_users_token_cannot_act_for_another():
    client = Client(ada="role:list", eve="role:all").answers("ListRoles", Answer(200, PAGE))
    authorizer = {"principal": "user", "user": "ada", "token": "t1"}

    assert 403 == client.call("ListRoles", headers={"username": "eve"}, authorizer=authorizer).status
    assert [] == client.calls


def test_a_missing_permission_is_named():
    said = Client(ada="role:list").answers("CreateRole", Answer(201)).call("CreateRole", body=ROLE)

    assert (403, "User ada has no permissions: ['role:all', 'role:create']") == (
        said.status,
        said.body["message"],
    )


def test_a_body_is_judged_before_its_sender():
    said = Client().answers("CreateRole", Answer(201)).call("CreateRole", body={"role_name": 7}, headers={})

    assert 400 == said.status
    assert {"statusCode", "message", "requestId"} == said.body.keys()
    assert REQUEST == said.body["requestId"]


def test_the_first_user_is_made_with_the_deployments_token_alone():
    client = Client(ada="user:all").answers("CreateUser", Answer(201))
    first = {"username": "ada", "initial": True}
    authorizer = {"principal": "user", "user": "ada", "token": "t1"}

    assert 201 == client.call("CreateUser", body=first, headers={}).status
    assert client.calls[0].caller.deployment
    assert 403 == client.call("CreateUser", body=first, authorizer=authorizer).status


def test_jobs_are_listed_in_full_with_the_deployments_token():
    client = Client(ada="").answers("ListInferences", Answer(200, JOBS))

    assert 200 == client.call("ListInferences", headers={}).status
    assert client.calls[0].caller.deployment
    assert [] == client.callers.asked


def test_jobs_are_listed_for_the_user_of_a_users_token():
    client = Client(ada="").answers("ListInferences", Answer(200, JOBS))
    client.call("ListInferences", headers={}, authorizer={"principal": "user", "user": "ada", "token": "t"})

    assert ("ada", False) == (client.calls[0].caller.name, client.calls[0].caller.deployment)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.Invalid("no"), 400),
        (errors.Conflict("no"), 400),
        (documents.Invalid("no"), 400),
        (errors.NotFound("no"), 404),
        (errors.Refused("no"), 403),
        (errors.TooLarge("no"), 413),
        (errors.Throttled("no"), 429),
        (errors.Busy("no"), 503),
        (errors.Failed("no"), 500),
        (errors.TimedOut("no"), 504),
        (errors.GateRefused("no"), 500),
    ],
)
def test_an_error_of_ours_has_its_status_and_says_why(error, status):
    client = Client(ada="sagemaker_endpoint:all").answers("CreateEndpoint", error)
    body = {
        "endpoint_type": "Async",
        "instance_type": "ml.g5.xlarge",
        "initial_instance_count": 1,
        "autoscaling_enabled": False,
        "assign_to_roles": ["byoc"],
    }
    said = client.call("CreateEndpoint", body=body)

    assert (status, "no") == (said.status, said.body["message"])


@pytest.mark.parametrize("error", [errors.Throttled("no"), errors.Busy("no")])
def test_what_may_succeed_later_says_when(error):
    said = Client(ada="role:all").answers("ListRoles", error).call("ListRoles")

    assert "1" == said.headers["Retry-After"]


def test_an_unexpected_error_tells_its_request_and_nothing_else():
    said = Client(ada="role:all").answers("ListRoles", KeyError("the secret")).call("ListRoles")

    assert (500, {"statusCode": 500, "message": "Internal Server Error", "requestId": REQUEST}) == (
        said.status,
        said.body,
    )


@pytest.mark.parametrize("answer", [Answer(202, PAGE), Answer(200), Answer(200, JOBS), Answer(200, {})])
def test_what_the_table_does_not_name_is_our_error(answer):
    assert 500 == Client(ada="role:all").answers("ListRoles", answer).call("ListRoles").status


def test_an_operation_that_acts_as_a_user_needs_callers():
    with pytest.raises(TypeError, match="ListRoles"):
        Api().operation("ListRoles")


def test_a_route_that_is_not_there_is_not_found():
    api = Client(ada="role:all").api
    event = {
        "resource": "/nothing",
        "path": "/nothing",
        "httpMethod": "GET",
        "headers": {},
        "requestContext": {"requestId": REQUEST},
    }

    assert 404 == api.handle(event, Context())["statusCode"]


def test_what_a_user_did_is_logged_without_secrets(caplog):
    client = Client(ada="user:all").answers("CreateUser", Answer(201))
    with caplog.at_level(logging.INFO):
        client.call(
            "CreateUser",
            body={"username": "eve", "password": "hunter2"},
            headers={"username": "ada", "x-api-key": "at_secret"},
        )

    lines = [json.loads(http.logger.registered_formatter.format(each)) for each in caplog.records]

    assert [("CreateUser", "ada", "deployment", "d1", 201)] == [
        (each["operation"], each["user"], each["principal"], each["token"], each["status"]) for each in lines
    ]
    assert "hunter2" not in str(lines)
    assert "at_secret" not in str(lines)
    assert "hunter2" not in repr(client.calls[0])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(), each, max_size=4),
    max_leaves=8,
)
MEMBERS = st.sampled_from(sorted({"role_name", "permissions", "checkpoint_type", "urls", "models", "name"}))
WITH_BODY = sorted(each.id for each in OPERATIONS.values() if each.takes)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(WITH_BODY), body=JSON | st.dictionaries(MEMBERS, JSON))
def test_whatever_a_body_is_it_is_read_or_refused(name, body):
    client = Client(ada=" ".join(OPERATIONS[name].permissions)).answers(name, errors.Busy("reached"))
    path = {"id": "7", "username": "ada"} if "{" in OPERATIONS[name].path else None

    assert client.call(name, body=json.dumps(body), path=path).status in {400, 403, 503}


@settings(max_examples=100, deadline=None)
@given(
    query=st.dictionaries(st.sampled_from(["limit", "username", "exclusive_start_key"]), st.lists(st.text()))
)
def test_whatever_a_query_is_it_is_read_or_refused(query):
    page = Endpoints(endpoints=(), last_evaluated_key=None)
    client = Client(ada="sagemaker_endpoint:list").answers("ListEndpoints", Answer(200, page))

    assert client.call("ListEndpoints", query=query).status in {200, 400}
