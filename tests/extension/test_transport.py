"""HTTP: what is asked again, what is not, and what no text may hold."""

import itertools
import socket
import traceback

import pytest
from scripted_server import cuts, says, waits

from atelier_webui.errors import Misunderstood, Unreachable
from atelier_webui.transport import ATTEMPTS, NeverSent, Transport, made, refusal_of_s3


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def transport(server, pauses):
    found = Transport(server.url, sleep=pauses.append, jitter=lambda: 0.0)
    yield found
    found.close()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_what_may_be_asked_again_is_asked_again(server, transport, pauses, method, status):
    server.answers(says(status, {}), says(status, {}), says(200, {"a": 1}))

    assert {"a": 1} == transport.ask(method, server.url).document()
    assert [0.25, 0.5] == pauses


def test_a_server_that_says_when_is_obeyed_within_reason(server, transport, pauses):
    server.answers(says(429, {}, Retry_After="3"), says(429, {}, Retry_After="3600"), says(200, {}))

    transport.ask("GET", server.url)

    assert [3.0, 10.0] == pauses


def test_after_a_few_times_the_refusal_stands(server, transport):
    server.answers(says(503, {"message": "not now"}))

    assert 503 == transport.ask("GET", server.url).status
    assert ATTEMPTS == len(server.asked)


@pytest.mark.parametrize(
    "cut", [cuts(), cuts(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), cuts(b"nonsense\r\n")]
)
def test_a_connection_that_is_cut_is_made_again(server, transport, cut):
    server.answers(cut, says(200, {"a": 1}))

    assert {"a": 1} == transport.ask("GET", server.url).document()


def test_what_makes_something_is_not_asked_for_twice(server, transport):
    server.answers(cuts())

    with pytest.raises(Unreachable, match="was lost"):
        transport.ask("POST", server.url, data=b"{}")
    assert 1 == len(server.asked)


def test_what_was_refused_before_it_was_done_may_be_asked_again(server, transport):
    server.answers(says(503, {}, Retry_After="1"), says(202, {}))

    assert 202 == transport.ask("POST", server.url, data=b"{}").status


def test_a_gateway_that_may_have_passed_it_on_is_not_asked_to_make_it_again(server, transport):
    server.answers(says(503, {}), says(202, {}))

    assert 503 == transport.ask("POST", server.url, data=b"{}").status


def test_what_was_never_sent_may_be_sent_again(server, transport, pauses):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]

    with pytest.raises(NeverSent, match="cannot be reached"):
        transport.ask("POST", f"http://127.0.0.1:{port}/", data=b"{}")
    assert ATTEMPTS - 1 == len(pauses)


def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(server, transport):
    server.answers(waits(2, says(200, {})))

    with pytest.raises(Unreachable, match="did not answer in time"):
        transport.once("GET", server.url, timeout=0.1)


def test_a_host_that_is_none_is_unreachable(transport):
    with pytest.raises(Unreachable, match=r"nowhere\.invalid cannot be reached"):
        transport.once("GET", "http://nowhere.invalid/prod/")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirection_is_not_followed_for_it_would_take_the_token_along(server, transport, status):
    server.answers(says(status, {}, Location="http://example.com/"))

    with pytest.raises(Misunderstood, match="is the URL the one of your deployment"):
        transport.ask("GET", server.url, headers={"x-api-key": "secret"}).document()
    assert 1 == len(server.asked)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'"text"', b"\xff", b"[" * 100_000])
def test_an_answer_that_is_no_object_is_misunderstood(server, transport, body):
    server.answers(says(200, body))

    with pytest.raises(Misunderstood):
        transport.ask("GET", server.url).document()


def test_an_endless_answer_is_not_read_to_its_end(server, transport):
    server.answers(says(200, b"x" * 5_000_000))

    with pytest.raises(Misunderstood, match="more than 1000 bytes"):
        transport.once("GET", server.url, most=1000)


@pytest.mark.parametrize("reply", [cuts(), waits(2, says(200, {}))])
def test_no_error_holds_the_link_that_was_asked(server, transport, reply):
    server.answers(reply)

    link = f"{server.url}object?X-Amz-Signature=s3cret"
    with pytest.raises(Unreachable) as caught:
        transport.once("GET", link, timeout=0.1)

    assert link not in "".join(traceback.format_exception(caught.value))
    assert "Signature" not in str(caught.value)


def test_of_what_s3_says_the_code_alone_is_told(server, transport):
    server.answers(says(403, b"<Error><Code>AccessDenied</Code><Message>s3cret expired</Message></Error>"))

    error = refusal_of_s3(transport.ask("GET", server.url))

    assert (403, "S3 answered 403 AccessDenied") == (error.status, str(error))


def test_neither_cookies_nor_passwords_of_the_machine_are_sent(server, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login anna password s3cret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    transport = Transport(server.url, session=made(trust_environment=True))
    server.answers(says(200, {}, Set_Cookie="a=1"))

    for _ in range(2):
        transport.ask("GET", server.url)
    transport.close()

    assert [] == [headers for _, _, headers, _ in server.asked if {"cookie", "authorization"} & set(headers)]


def test_this_machine_is_asked_without_a_proxy(server, monkeypatch):
    for name, scheme in itertools.product(("http_proxy", "HTTP_PROXY"), ("http",)):
        monkeypatch.setenv(name, f"{scheme}://127.0.0.1:1")
    transport = Transport(server.url)
    server.answers(says(200, {"a": 1}))

    assert {"a": 1} == transport.ask("GET", server.url).document()
    transport.close()


def test_a_large_body_arrives_whole_and_again_after_a_cut(server, transport):
    body = bytes(range(256)) * 16_384
    server.answers(cuts(), says(200, {}))

    transport.ask("PUT", server.url, data=body)

    assert [body, body] == [each[3] for each in server.asked]
    assert str(len(body)) == server.asked[-1][2]["content-length"]
