"""The deployment's token: CloudFormation, EventBridge and Secrets Manager each get what they are owed."""

import json
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace
from urllib.error import HTTPError

import boto3
import pytest
from account_fakes import NOW, FakeAccounts, FakeSecret
from moto import mock_aws

from atelier.lambdas.adapters.secrets import ManagedSecret
from atelier.lambdas.bootstrap import accounts as wiring
from atelier.lambdas.errors import Busy, Invalid
from atelier.lambdas.handlers import deployment_token
from atelier.lambdas.services.middleware import access

SECRET = "s" * 43
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:token-a1b2c3"
CONTEXT = SimpleNamespace(
    function_name="f",
    memory_limit_in_mb=128,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:f",
    aws_request_id="r1",
)


class CloudFormation:
    """Listens for the answers of custom resources."""

    def __init__(self):
        self.answers, self.status = [], 200
        heard = self

        class Listener(BaseHTTPRequestHandler):
            def do_PUT(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                heard.answers.append((self.headers["Content-Type"], json.loads(body)))
                self.send_response(heard.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Listener)
        self.url = f"http://127.0.0.1:{self.server.server_port}/answer?signature=x"

    def asks(self, request, **more):
        return {
            "RequestType": request,
            "ResponseURL": self.url,
            "StackId": "stack",
            "RequestId": "request",
            "LogicalResourceId": "DeploymentToken",
            "ResourceProperties": {},
            **more,
        }


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    found = CloudFormation()
    thread = Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


@pytest.fixture
def deployed(monkeypatch):
    ports = SimpleNamespace(accounts=FakeAccounts(), secret=FakeSecret({"first": SECRET}), secret_arn=ARN)
    monkeypatch.setattr(wiring, "deployment_token", lambda: ports)
    return ports


def opens(ports, secret):
    return access.identify(secret, now=NOW, accounts=ports.accounts) is not None


@pytest.mark.parametrize("request_", ["Create", "Update"])
def test_a_deployment_begins_and_cloudformation_is_told_once(deployed, cloudformation, request_):
    deployment_token.handle(cloudformation.asks(request_), CONTEXT)

    assert opens(deployed, SECRET)
    ((kind, answer),) = cloudformation.answers
    assert "" == kind
    assert {
        "Status": "SUCCESS",
        "Reason": "done",
        "PhysicalResourceId": "deployment-token",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "DeploymentToken",
    } == answer


def test_a_resource_keeps_its_id_and_deleting_it_changes_nothing(deployed, cloudformation):
    deployment_token.handle(cloudformation.asks("Create"), CONTEXT)
    deployment_token.handle(cloudformation.asks("Delete", PhysicalResourceId="mine"), CONTEXT)

    assert ("SUCCESS", "mine") == tuple(
        cloudformation.answers[-1][1][each] for each in ("Status", "PhysicalResourceId")
    )
    assert opens(deployed, SECRET)


def test_a_foreseen_failure_is_told_in_its_own_words(deployed, cloudformation):
    deployed.secret.values["first"] = "weak"

    deployment_token.handle(cloudformation.asks("Create"), CONTEXT)

    ((_, answer),) = cloudformation.answers
    assert "FAILED" == answer["Status"]
    assert "32 to 256 visible ASCII characters" in answer["Reason"]
    assert "weak" not in answer["Reason"]


def test_an_unforeseen_failure_is_told_by_its_kind_alone(monkeypatch, cloudformation):
    def broken():
        raise KeyError("inner text")

    monkeypatch.setattr(wiring, "deployment_token", broken)

    deployment_token.handle(cloudformation.asks("Create"), CONTEXT)

    ((_, answer),) = cloudformation.answers
    assert ("FAILED", "KeyError, see the function's log") == (answer["Status"], answer["Reason"])


def test_an_answer_that_does_not_get_through_is_raised_so_that_lambda_calls_again(deployed, cloudformation):
    cloudformation.status = 500

    with pytest.raises(HTTPError) as failure:
        deployment_token.handle(cloudformation.asks("Create"), CONTEXT)
    failure.value.close()
    cloudformation.status = 200
    deployment_token.handle(cloudformation.asks("Create"), CONTEXT)

    assert ["SUCCESS", "SUCCESS"] == [answer["Status"] for _, answer in cloudformation.answers]


def test_another_value_of_the_secret_is_followed(deployed):
    event = {
        "source": "aws.secretsmanager",
        "detail-type": "Secret Label Updated",
        "resources": [ARN],
        "detail": {"labelUpdated": "AWSCURRENT"},
    }
    deployment_token.handle(event, CONTEXT)
    deployed.secret.values["first"] = "n" * 43

    deployment_token.handle(event, CONTEXT)

    assert (False, True) == (opens(deployed, SECRET), opens(deployed, "n" * 43))


def test_a_rotation_ends_with_a_new_token_alone(deployed):
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        event = {"Step": step, "SecretId": ARN, "ClientRequestToken": "second"}
        deployment_token.handle(event, CONTEXT)

    fresh = deployed.secret.current()
    assert fresh.startswith("atl_")
    assert (False, True) == (opens(deployed, SECRET), opens(deployed, fresh))


@pytest.mark.parametrize(
    "event",
    [{}, {"source": "aws.s3"}, {"Step": "setSecret", "SecretId": "another", "ClientRequestToken": ""}],
)
def test_nobody_else_is_answered(deployed, event):
    with pytest.raises(Invalid):
        deployment_token.handle(event, CONTEXT)


def test_a_table_that_is_busy_is_raised_so_that_the_event_comes_again(deployed, monkeypatch):
    def busy(*_, **__):
        raise Busy("later")

    monkeypatch.setattr(deployed.accounts, "keep_deployment_tokens", busy)

    with pytest.raises(Busy):
        deployment_token.handle({"source": "aws.secretsmanager"}, CONTEXT)


@pytest.fixture
def secret() -> Iterator[ManagedSecret]:
    keys = {"region_name": "us-east-1", "aws_access_key_id": "t", "aws_secret_access_key": "t"}
    with mock_aws(), closing(boto3.client("secretsmanager", **keys)) as client:
        yield ManagedSecret(client, client.create_secret(Name="token", SecretString=SECRET)["ARN"])


def test_a_secrets_versions_are_proposed_and_promoted(secret):
    version = "v" * 32
    assert (SECRET, None) == (secret.current(), secret.pending(version))

    secret.propose(version, "n" * 43)
    assert (SECRET, "n" * 43) == (secret.current(), secret.pending(version))

    for _ in range(2):
        secret.promote(version)
    assert "n" * 43 == secret.current()
