"""`atelier tokens` and `atelier outputs`: the API is asked over HTTP, and a secret is shown once or never."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from atelier.cli.main import cli

DEPLOYMENT = "d" * 48
TOKEN = {
    "id": "1a",
    "username": "ann",
    "description": "laptop",
    "created": "2026-01-01T00:00:00+00:00",
    "expires": None,
}


class Api(BaseHTTPRequestHandler):
    """Answers as the API does."""

    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length) or b"null")
        self.server.asked.append((self.command, self.path, body, self.headers))
        status, document = self.server.answers.pop(0)
        content = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *words):
        """Say nothing."""


@pytest.fixture
def server():
    made = HTTPServer(("127.0.0.1", 0), Api)
    made.asked, made.answers = [], []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def run(server):
    outputs = {
        "ApiId": "a1",
        "ApiStage": "prod",
        "ApiUrl": f"http://127.0.0.1:{server.server_port}/prod/",
        "Bucket": "bucket",
        "DeploymentTokenSecretArn": "arn:secret",
    }
    stack = {
        "StackStatus": "CREATE_COMPLETE",
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
    }
    clients = SimpleNamespace(
        cloudformation=SimpleNamespace(describe_stacks=lambda StackName: {"Stacks": [stack]}),
        secretsmanager=SimpleNamespace(get_secret_value=lambda SecretId: {"SecretString": DEPLOYMENT}),
        endpoint=None,
        where="AWS, region eu-west-1",
    )
    return lambda *words: CliRunner().invoke(cli, words, obj=clients)


def test_a_token_is_printed_once_and_alone(server, run):
    server.answers = [(201, {"data": {"token": TOKEN, "secret": "atl_s"}})]

    result = run("tokens", "create", "ann", "--description", "laptop", "--days", "2")

    assert (0, "atl_s\n") == (result.exit_code, result.output)
    method, path, body, headers = server.asked[0]
    assert ("POST", "/prod/users/ann/tokens") == (method, path)
    assert {"description": "laptop", "expires_in": 2 * 24 * 3600} == body
    assert (DEPLOYMENT, "api") == (headers["x-api-key"], headers["username"])


def test_a_token_is_told_to_programs(server, run):
    server.answers = [(201, {"data": {"token": TOKEN, "secret": "atl_s"}})]

    assert {**TOKEN, "token": "atl_s"} == json.loads(run("tokens", "create", "ann", "--json").stdout)


def test_tokens_are_listed_without_their_secrets(server, run):
    server.answers = [(200, {"data": {"tokens": [TOKEN], "last_evaluated_key": None}})] * 2

    assert {"tokens": [TOKEN]} == json.loads(run("tokens", "list", "ann", "--json").stdout)
    shown = run("tokens", "list", "ann").output
    assert ("1a", "laptop", "never") == tuple(each for each in ("1a", "laptop", "never") if each in shown)


def test_a_token_is_revoked_by_its_id(server, run):
    server.answers = [(204, None)]

    assert "Token 1a of a/b is revoked." in run("tokens", "revoke", "a/b", "1a").output
    assert ("DELETE", "/prod/users/a%2Fb/tokens/1a") == server.asked[0][:2]


def test_a_refusal_is_one_line_in_the_apis_words_and_without_the_token(server, run):
    server.answers = [(404, {"message": "user ann not found"})]

    result = run("tokens", "list", "ann")

    assert (1, "Error: the API answered 404: user ann not found\n") == (result.exit_code, result.output)


def test_an_answer_that_is_no_json_is_told(server, run):
    server.answers = [(502, None)]

    assert "the API answered 502: it gave no reason" in run("tokens", "list", "ann").output


def test_outputs_say_where_the_middleware_is(server, run):
    document = json.loads(run("outputs", "middleware", "--json").stdout)

    assert {"ApiUrl", "Bucket", "DeploymentTokenSecretArn"} == document.keys()
    assert document["ApiUrl"].endswith("/prod/")
    assert "Bucket: bucket" in run("outputs", "middleware").output


def test_without_the_middleware_the_way_to_it_is_told():
    clients = SimpleNamespace(
        cloudformation=SimpleNamespace(describe_stacks=lambda StackName: {"Stacks": []}),
        where="the local cloud",
    )

    result = CliRunner().invoke(cli, ["outputs", "middleware"], obj=clients)

    assert 1 == result.exit_code
    assert "run `atelier deploy middleware`" in result.output
