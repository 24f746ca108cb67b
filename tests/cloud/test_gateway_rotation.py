"""Secrets are rotated by the clock when a template asks for it, and not before."""

import re

import pytest
from stacks import a_function, eventually

from atelier.cloud.context import Refused
from atelier.cloud.gateway.hooks import schedule

DAY = 86_400
ARN = {"Fn::GetAtt": ["S", "Id"]}
ROTATOR = """
import boto3
def handler(event, context):
    secrets, secret, version = boto3.client("secretsmanager"), event["SecretId"], event["ClientRequestToken"]
    if event["Step"] == "createSecret":
        secrets.put_secret_value(
            SecretId=secret, ClientRequestToken=version, SecretString="another", VersionStages=["AWSPENDING"]
        )
    if event["Step"] == "finishSecret":
        versions = secrets.describe_secret(SecretId=secret)["VersionIdsToStages"]
        current = next(each for each, stages in versions.items() if "AWSCURRENT" in stages)
        secrets.update_secret_version_stage(
            SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=version, RemoveFromVersionId=current
        )
"""


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (None, None),
        ({"AutomaticallyAfterDays": 30}, 30 * DAY),
        ({"ScheduleExpression": "rate(10 days)"}, 10 * DAY),
        ({"ScheduleExpression": "rate(4 hours)"}, DAY / 6),
    ],
)
def test_rules_say_how_often(rules, expected):
    assert expected == schedule.seconds(rules)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"AutomaticallyAfterDays": 0}, "rate(0 days) is not between"),
        ({"AutomaticallyAfterDays": 1001}, "rate(1001 days) is not between"),
        ({"ScheduleExpression": "rate(3 hours)"}, "rate(3 hours) is not between"),
        ({"ScheduleExpression": "cron(0 8 1 * ? *)"}, "cron(0 8 1 * ? *) is not part of the local cloud"),
        ({"AutomaticallyAfterDays": 1, "Duration": "2h"}, "RotationRules.Duration is not part"),
        ({"AutomaticallyAfterDays": 1, "ScheduleExpression": "rate(1 day)"}, "not both"),
    ],
)
def test_rules_that_are_not_kept_here_are_refused_by_name(rules, words):
    with pytest.raises(Refused, match=re.escape(words)):
        schedule.seconds(rules)


def a_secret(**changes):
    rules = {"AutomaticallyAfterDays": 1}
    return {"RotationEnabled": True, "RotationRules": rules, schedule.LAST: 0, **changes}


def test_a_secret_is_due_when_its_time_has_come_and_then_not_again():
    secret = a_secret()

    assert [] == list(schedule.due([secret], DAY - 1))
    assert [secret] == list(schedule.due([secret], DAY))
    assert [] == list(schedule.due([secret], DAY + 1))


@pytest.mark.parametrize("change", [{"RotationEnabled": False}, {"RotationRules": None}, {"DeletedDate": 1}])
def test_a_secret_that_is_not_rotated_by_the_clock_is_never_due(change):
    assert [] == list(schedule.due([a_secret(**change)], 10 * DAY))


def stack(unique, *, scheduled=True, **changes):
    granted = {
        "Effect": "Allow",
        "Resource": ARN,
        "Action": [
            *("secretsmanager:DescribeSecret", "secretsmanager:PutSecretValue"),
            "secretsmanager:UpdateSecretVersionStage",
        ],
    }
    resources = a_function(unique, Code={"ZipFile": ROTATOR}) | {
        "S": {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": "first"}},
        "May": {
            "Type": "AWS::IAM::Policy",
            "Properties": {
                **{"PolicyName": "rotate", "Roles": [{"Ref": "R"}]},
                "PolicyDocument": {"Version": "2012-10-17", "Statement": [granted]},
            },
        },
        "Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                **{"Action": "lambda:InvokeFunction", "FunctionName": {"Ref": "F"}},
                **{"Principal": "secretsmanager.amazonaws.com", "SourceArn": ARN},
            },
        },
    }
    if scheduled:
        resources["Schedule"] = {
            "Type": "AWS::SecretsManager::RotationSchedule",
            "DependsOn": ["May", "Permission"],
            "Properties": {
                **{"SecretId": ARN, "RotationLambdaARN": {"Fn::GetAtt": ["F", "Arn"]}},
                **{"RotationRules": {"AutomaticallyAfterDays": "30"}, "RotateImmediatelyOnUpdate": False},
                **changes,
            },
        }
    return resources


def test_a_schedule_is_set_and_taken_back_with_its_resource(cloud, deploy, unique):
    made, secrets = deploy(stack(unique), {"S": ARN}), cloud.client("secretsmanager")
    assert not isinstance(made, str), made
    secret = made["S"]
    described = secrets.describe_secret(SecretId=secret)

    assert (True, {"AutomaticallyAfterDays": 30}) == (
        described["RotationEnabled"],
        described["RotationRules"],
    )
    assert "first" == secrets.get_secret_value(SecretId=secret)["SecretString"]

    deploy(stack(unique, scheduled=False))

    assert not secrets.describe_secret(SecretId=secret).get("RotationEnabled")


def test_a_schedule_may_begin_with_a_rotation(cloud, deploy, unique):
    secret = deploy(stack(unique, RotateImmediatelyOnUpdate=True), {"S": ARN})["S"]
    secrets = cloud.client("secretsmanager")

    assert eventually(lambda: secrets.get_secret_value(SecretId=secret)["SecretString"] == "another")


def test_a_function_that_secrets_manager_may_not_call_fails_the_stack(deploy, unique):
    resources = stack(unique)
    del resources["Permission"]
    resources["Schedule"]["DependsOn"] = ["May"]

    assert "cannot invoke the specified Lambda function" in deploy(resources)
