"""The published API, played by a small HTTP server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from atelier.client.completions import Api, complete, published
from atelier.client.errors import NotDeployed, Problem, Refusal


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.headers["x-api-key"], body))
        status, answer = self.server.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    server.answer = (200, b'{"completions": [{"text": " of code"}]}')
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def api(server):
    return Api(url=f"http://127.0.0.1:{server.server_port}/v1/completions", key_id="k", key="secret")


def test_a_request_carries_the_key_in_its_header(server):
    answer = complete(api(server), {"prompt": "A block"})

    assert " of code" == answer["completions"][0]["text"]
    assert [("secret", {"prompt": "A block"})] == server.asked


def test_a_proxy_of_this_machine_does_not_come_between(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert complete(api(server), {"prompt": "A block"})["completions"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((403, b'{"message": "Forbidden"}'), "answered 403: Forbidden"),
        ((502, b"<html>"), "answered 502: <html>"),
        ((413, b""), "answered 413: nothing"),
    ],
)
def test_a_refusal_is_told_in_the_words_of_the_api(server, answer, words):
    server.answer = answer

    with pytest.raises(Refusal, match=words):
        complete(api(server), {"prompt": "A block"})


def test_an_answer_that_is_no_json_is_a_problem(server):
    server.answer = (200, b"hello")

    with pytest.raises(Problem, match="not JSON"):
        complete(api(server), {"prompt": "A block"})


def test_an_api_that_is_not_there_is_a_problem():
    with pytest.raises(Problem, match="cannot be reached"):
        complete(Api(url="http://127.0.0.1:9/x", key_id="k", key="secret"), {"prompt": "A block"})


def around(describe, endpoint=None):
    return SimpleNamespace(
        endpoint=endpoint,
        where="the local cloud",
        cloudformation=SimpleNamespace(describe_stacks=describe),
        apigateway=SimpleNamespace(get_api_key=lambda apiKey, includeValue: {"value": f"value of {apiKey}"}),
    )


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (None, "https://a1.execute-api.us-east-1.amazonaws.com/live/completions"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9/_aws/execute-api/a1/live/completions"),
    ],
)
def test_the_api_is_found_by_its_stack_and_the_key_stays_out_of_every_text(endpoint, url):
    outputs = {
        "ApiUrl": "https://a1.execute-api.us-east-1.amazonaws.com/live",
        "ApiId": "a1",
        "ApiStage": "live",
        "ApiKeyId": "k1",
    }
    listed = [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()]

    def describe(StackName):
        assert "team-serving-api" == StackName
        return {"Stacks": [{"StackStatus": "CREATE_COMPLETE", "Outputs": listed}]}

    found = published(around(describe, endpoint), "team")

    assert (url, "value of k1") == (found.url, found.key)
    assert "value of" not in repr(found)


def test_before_the_first_approval_there_is_no_api():
    def describe(StackName):
        error = {"Error": {"Code": "ValidationError", "Message": f"Stack with id {StackName} does not exist"}}
        raise ClientError(error, "DescribeStacks")

    with pytest.raises(NotDeployed, match="no model is published in the local cloud: approve one first"):
        published(around(describe))
