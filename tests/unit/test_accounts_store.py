"""The table and its fake keep accounts alike."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import boto3
import pytest
from account_fakes import NOW, FakeAccounts, with_role, with_token, with_user
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.stub import Stubber
from moto import mock_aws

from atelier.lambdas.adapters.accounts import DynamoAccounts
from atelier.lambdas.adapters.rates import DynamoRates
from atelier.lambdas.adapters.tables import guarded
from atelier.lambdas.domain.accounts import User
from atelier.lambdas.errors import Busy, Conflict
from atelier.lambdas.services.middleware.access import digest

KEYS = {
    "region_name": "us-east-1",
    "aws_access_key_id": "testing",
    "aws_secret_access_key": "testing",
}


def create_table(dynamodb, name, *keys):
    dynamodb.create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": each, "KeyType": kind}
            for each, kind in zip(keys, ("HASH", "RANGE"), strict=False)
        ],
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in keys],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.fixture
def dynamodb() -> Iterator:
    with mock_aws(), closing(boto3.client("dynamodb", **KEYS)) as client:
        yield client


@pytest.fixture(params=["table", "fake"])
def accounts(request):
    if request.param == "fake":
        return FakeAccounts()
    dynamodb = request.getfixturevalue("dynamodb")
    create_table(dynamodb, "accounts", "pk", "sk")
    return DynamoAccounts(dynamodb, "accounts")


def test_users_and_roles_come_back_as_they_were_saved(accounts):
    role = with_role(accounts, "painter", "inference:all", "checkpoint:list")
    user = with_user(accounts, "änne #1", "painter")

    assert role == accounts.role("painter")
    assert user == accounts.user("änne #1")
    assert ["änne #1"] == list(accounts.members("painter"))
    assert accounts.user("nobody") is None
    assert accounts.role("nothing") is None


def test_lists_are_sorted_by_name_and_complete(accounts):
    for name in ("c", "a", "b"):
        with_role(accounts, name, "train:all")
        with_user(accounts, f"user {name}", name)

    assert ["a", "b", "c"] == [each.name for each in accounts.roles()]
    assert ["user a", "user b", "user c"] == [each.name for each in accounts.users()]
    assert {"a", "c"} == {each.name for each in accounts.roles_named(["c", "a", "c", "unknown"])}


@pytest.mark.parametrize("name", ["", "x" * 1025, "ä" * 513])
def test_names_that_no_key_can_hold_are_nobodys(accounts, name):
    assert accounts.user(name) is None
    assert accounts.role(name) is None
    assert [] == list(accounts.roles_named([name]))


def test_of_two_makers_of_one_name_one_wins(accounts):
    with_user(accounts, "ann")
    with_role(accounts, "painter", "train:all")

    with pytest.raises(Conflict):
        with_user(accounts, "ann")
    with pytest.raises(Conflict):
        with_role(accounts, "painter", "user:all")


def test_of_two_changes_of_one_user_one_wins(accounts):
    with_role(accounts, "painter", "train:all")
    was = with_user(accounts, "ann")
    accounts.save_user(replace(was, roles=("painter",)), was=was)

    with pytest.raises(Conflict):
        accounts.save_user(replace(was, leaving=True), was=was)
    assert ("painter",) == accounts.user("ann").roles


def test_of_two_changes_of_one_role_one_wins(accounts):
    was = with_role(accounts, "painter", "train:all")
    accounts.save_role(replace(was, permissions=frozenset({"user:all"})), was=was)

    with pytest.raises(Conflict):
        accounts.save_role(replace(was, leaving=True), was=was)


def test_a_user_made_again_is_another_one(accounts):
    was = with_user(accounts, "ann")
    accounts.remove_user(accounts.save_user(replace(was, leaving=True), was=was))
    with_user(accounts, "ann")

    with pytest.raises(Conflict):
        accounts.save_user(replace(was, leaving=True), was=was)


@pytest.mark.parametrize("leaving", [True, False])
def test_a_role_that_is_leaving_or_not_there_cannot_be_had(accounts, leaving):
    if leaving:
        was = with_role(accounts, "painter", "train:all")
        accounts.save_role(replace(was, leaving=True), was=was)

    with pytest.raises(Conflict):
        with_user(accounts, "ann", "painter")
    assert accounts.user("ann") is None
    assert [] == list(accounts.members("painter"))


def test_a_role_is_taken_from_a_user_although_it_is_leaving(accounts):
    role = with_role(accounts, "painter", "train:all")
    user = with_user(accounts, "ann", "painter")
    accounts.save_role(replace(role, leaving=True), was=role)

    accounts.save_user(replace(user, roles=()), was=user)

    assert [] == list(accounts.members("painter"))


def test_nobody_is_removed_who_is_not_leaving(accounts):
    with pytest.raises(Conflict):
        accounts.remove_user(with_user(accounts, "ann"))
    with pytest.raises(Conflict):
        accounts.remove_role(with_role(accounts, "painter", "train:all"))


def test_a_token_is_found_by_its_digest_and_by_its_user_until_it_is_removed(accounts):
    with_user(accounts, "ann")
    second = with_token(accounts, "ann", "second", created=NOW + 1, expires=NOW + 60)
    first = with_token(accounts, "ann", "first", description="laptop")

    assert first == accounts.token(digest("first"))
    assert [first, second] == accounts.tokens("ann")

    accounts.remove_token(first)
    accounts.remove_token(first)

    assert accounts.token(digest("first")) is None
    assert [second] == accounts.tokens("ann")


def test_a_leaving_or_changed_user_gets_no_token(accounts):
    was = with_user(accounts, "ann")
    leaving = accounts.save_user(replace(was, leaving=True), was=was)
    with_user(accounts, "bob")
    token = replace(with_token(accounts, "bob", "one"), user="ann", sha256=digest("two"))

    for owner in (was, leaving, User(name="nobody", creator="api")):
        with pytest.raises(Conflict):
            accounts.add_token(token, user=owner)
    assert accounts.token(digest("two")) is None


def test_the_deployments_tokens_replace_those_before(accounts):
    accounts.keep_deployment_tokens([digest("old")], now=NOW)
    accounts.keep_deployment_tokens([digest("old"), digest("new")], now=NOW)
    assert {digest("old"), digest("new")} == accounts.deployment_tokens()

    accounts.keep_deployment_tokens([digest("new")], now=NOW)

    assert {digest("new")} == accounts.deployment_tokens()
    assert accounts.token(digest("old")) is None
    assert accounts.token(digest("new")).user is None


def test_the_table_holds_no_secret(dynamodb):
    create_table(dynamodb, "accounts", "pk", "sk")
    accounts = DynamoAccounts(dynamodb, "accounts")
    with_user(accounts, "ann")
    with_token(accounts, "ann", "the secret", id="t1")
    accounts.keep_deployment_tokens([digest("another secret")], now=NOW)

    assert "secret" not in str(dynamodb.scan(TableName="accounts")["Items"])


def test_requests_are_granted_up_to_the_limit_in_each_window(dynamodb):
    create_table(dynamodb, "rates", "pk")
    rates = DynamoRates(dynamodb, "rates")

    assert [True, True, False, True] == [rates.take("ann", 10, each, limit=7) for each in (4, 2, 2, 1)]
    assert rates.take("ann", 20, 7, limit=7)
    assert rates.take("bob", 10, 7, limit=7)
    assert not rates.take("eve", 10, 8, limit=7)


def refused(code, *reasons):
    response = {"Error": {"Code": code}, "CancellationReasons": [{"Code": each} for each in reasons]}
    return ClientError(response, "TransactWriteItems")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (refused("ConditionalCheckFailedException"), Conflict),
        (refused("TransactionCanceledException", "None", "ConditionalCheckFailed"), Conflict),
        (refused("TransactionCanceledException", "TransactionConflict"), Conflict),
        (refused("TransactionCanceledException", "ConditionalCheckFailed", "ThrottlingError"), Busy),
        (refused("ThrottlingException"), Busy),
        (refused("ProvisionedThroughputExceededException"), Busy),
        (refused("InternalServerError"), Busy),
        (ReadTimeoutError(endpoint_url="http://table"), Busy),
        (refused("TransactionCanceledException", "ValidationError"), ClientError),
        (refused("AccessDeniedException"), ClientError),
    ],
)
def test_a_tables_errors_are_told_apart(error, told):
    with pytest.raises(told), guarded("lost"):
        raise error


def test_a_batch_asks_again_for_what_was_left_out():
    with closing(boto3.client("dynamodb", **KEYS)) as client, Stubber(client) as stubber:
        left = {"accounts": {"Keys": [{"pk": {"S": "ROLE"}, "sk": {"S": "painter"}}]}}
        found = {
            "pk": {"S": "ROLE"},
            "sk": {"S": "painter"},
            "permissions": {"L": []},
            "creator": {"S": "api"},
            "version": {"S": "v"},
        }
        stubber.add_response("batch_get_item", {"Responses": {}, "UnprocessedKeys": left})
        stubber.add_response("batch_get_item", {"Responses": {"accounts": [found]}, "UnprocessedKeys": {}})

        assert ["painter"] == [
            each.name for each in DynamoAccounts(client, "accounts").roles_named(["painter"])
        ]


def test_a_batch_that_is_left_out_again_and_again_is_busy():
    with closing(boto3.client("dynamodb", **KEYS)) as client, Stubber(client) as stubber:
        left = {"accounts": {"Keys": [{"pk": {"S": "ROLE"}, "sk": {"S": "painter"}}]}}
        for _ in range(5):
            stubber.add_response("batch_get_item", {"Responses": {}, "UnprocessedKeys": left})

        with pytest.raises(Busy):
            DynamoAccounts(client, "accounts").roles_named(["painter"])
