"""The registry on the command line."""

import json
from types import SimpleNamespace

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws

from atelier.cli.main import cli

METRICS = {
    "validation:bits_per_byte": "2.3125",
    "validation:perplexity": "148.4",
    "untrained:perplexity": "2095.1",
}


@pytest.fixture
def clients():
    with mock_aws():
        dynamodb = boto3.client(
            "dynamodb", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        dynamodb.create_table(
            TableName="models",
            KeySchema=[
                {"AttributeName": "model", "KeyType": "HASH"},
                {"AttributeName": "version", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "model", "AttributeType": "S"},
                {"AttributeName": "version", "AttributeType": "N"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        outputs = [{"OutputKey": "ModelTableName", "OutputValue": "models"}]
        stack = {"StackStatus": "CREATE_COMPLETE", "Outputs": outputs}
        cloudformation = SimpleNamespace(describe_stacks=lambda StackName: {"Stacks": [stack]})
        yield SimpleNamespace(dynamodb=dynamodb, cloudformation=cloudformation, where="the local cloud")


def put(clients, version, status, **more):
    texts = {"model": "gpt-neo", "status": status, "commit": "c0ffee00c0ffee", **more}
    clients.dynamodb.put_item(
        TableName="models",
        Item={
            **{name: {"S": value} for name, value in texts.items()},
            "version": {"N": str(version)},
            "metrics": {"M": {name: {"N": value} for name, value in METRICS.items()}},
            "last": {"N": "9"},
        },
    )


def run(clients, *words):
    return CliRunner().invoke(cli, ["models", *words], obj=clients)


def test_an_empty_registry_says_what_makes_a_model(clients):
    assert "No model yet" in run(clients, "list").output
    assert {"models": []} == json.loads(run(clients, "list", "--json").stdout)


def test_versions_are_listed_newest_first_and_counters_are_not_versions(clients):
    put(clients, 0, "")
    put(clients, 1, "retired", published="2026-01-01T00:00:00+00:00")
    put(clients, 2, "approved", published="2026-01-02T00:00:00+00:00", comment="better")

    listed = json.loads(run(clients, "list", "--json").stdout)["models"]

    assert [(2, "approved", True), (1, "retired", False)] == [
        (each["version"], each["status"], each["serving"]) for each in listed
    ]
    assert 2.3125 == listed[0]["metrics"]["validation:bits_per_byte"]


def test_the_list_fits_a_page(clients):
    put(clients, 1, "rejected", comment="repeats itself " * 12, created="2026-01-01T00:00:00+00:00")

    output = run(clients, "list").output

    assert 100 >= max(len(line) for line in output.splitlines())
    assert "2.31" in output


def test_show_without_a_number_shows_the_version_that_serves(clients):
    put(clients, 1, "approved", published="2026-01-01T00:00:00+00:00")
    put(clients, 2, "pending")

    assert 1 == json.loads(run(clients, "show", "--json").stdout)["version"]
    assert "version 1" in run(clients, "show").output


@pytest.mark.parametrize(
    ("number", "words"),
    [("7", "there is no version 7: the newest is 1"), ("x", "is not the number of a version")],
)
def test_a_version_that_is_not_there_fails_in_one_line(clients, number, words):
    put(clients, 1, "pending")

    result = run(clients, "show", number)

    assert 1 == result.exit_code
    assert words in result.stderr
