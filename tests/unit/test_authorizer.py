"""The authorizer's answers to API Gateway."""

from types import SimpleNamespace

import pytest
from account_fakes import FakeAccounts, begun, with_token, with_user

from atelier.lambdas.bootstrap import accounts as wiring
from atelier.lambdas.domain.accounts import Principal
from atelier.lambdas.handlers import authorizer
from atelier.lambdas.services.middleware.access import digest

STAGE = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3/prod"
CONTEXT = SimpleNamespace(
    function_name="f",
    memory_limit_in_mb=128,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:f",
    aws_request_id="r1",
)


@pytest.fixture
def accounts(monkeypatch):
    found = begun(FakeAccounts())
    with_user(found, "ann", "byoc")
    with_token(found, "ann", "the secret", id="t1", expires=2**40)
    with_token(found, "ann", "expired", expires=1)
    found.keep_deployment_tokens([digest("deployment secret")], now=1)
    monkeypatch.setattr(wiring, "authorizer", lambda: found)
    return found


def ask(token, method="/GET/users", header="x-api-key"):
    headers = {} if token is None else {header: token, "accept": "*/*"}
    return authorizer.handle({"headers": headers, "methodArn": f"{STAGE}{method}"}, CONTEXT)


def effect(answer):
    (statement,) = answer["policyDocument"]["Statement"]
    return statement["Effect"], statement["Action"], statement["Resource"]


@pytest.mark.parametrize("method", ["/GET/", "/GET/users", "/DELETE/users/a/b/tokens/c"])
def test_a_token_opens_the_whole_stage(accounts, method):
    assert ("Allow", "execute-api:Invoke", f"{STAGE}/*/*") == effect(ask("the secret", method))


def test_the_context_says_whose_token_it_is(accounts):
    answer = ask("the secret", header="X-Api-Key")

    assert "user/ann" == answer["principalId"]
    assert {"principal": "user", "user": "ann", "token": "t1", "expires": str(2**40)} == answer["context"]
    assert Principal(kind="user", user="ann", token="t1", expires=2**40) == Principal.of(answer["context"])
    assert all(isinstance(each, str) for each in answer["context"].values())


def test_the_deployments_token_acts_for_nobody_of_itself(accounts):
    answer = ask("deployment secret")

    assert "deployment" == answer["principalId"]
    assert Principal(kind="deployment", token="deployment") == Principal.of(answer["context"])


@pytest.mark.parametrize("token", [None, "", "wrong", "expired", digest("the secret"), "x" * 10_000])
def test_any_other_token_is_denied_the_stage(accounts, token):
    answer = ask(token)

    assert ("Deny", "execute-api:Invoke", f"{STAGE}/*/*") == effect(answer)
    assert {} == answer["context"]


def test_a_revoked_token_is_denied(accounts):
    accounts.remove_token(accounts.token(digest("the secret")))

    assert "Deny" == effect(ask("the secret"))[0]


def test_no_secret_is_logged(accounts, capsys):
    ask("the secret")
    ask("wrong secret")

    assert "secret" not in capsys.readouterr().out


def test_a_table_that_does_not_answer_is_no_denial(accounts, monkeypatch):
    class Broken(Exception):
        pass

    def token(digest):
        raise Broken

    monkeypatch.setattr(accounts, "token", token)

    with pytest.raises(Broken):
        ask("the secret")
