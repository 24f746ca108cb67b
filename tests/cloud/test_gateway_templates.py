"""What ministack leaves out of templates and calls, and the middleware's stacks rely on."""

import json
import re

import pytest
from botocore.exceptions import ClientError
from stacks import a_function

from atelier.cloud.gateway.hooks.alarms import names


def a_secret(**asked):
    return {"S": {"Type": "AWS::SecretsManager::Secret", "Properties": {"GenerateSecretString": asked}}}


def value(cloud, arn):
    return cloud.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]


def test_a_secret_is_made_of_what_it_may_hold(cloud, deploy):
    arn = deploy(
        a_secret(PasswordLength=300, ExcludePunctuation=True, ExcludeUppercase=True),
        {"Arn": {"Fn::GetAtt": ["S", "Id"]}},
    )["Arn"]

    assert re.fullmatch(r"[a-z0-9]{300}", value(cloud, arn))


def test_a_secret_may_be_a_member_of_a_document(cloud, deploy):
    template = {
        "SecretStringTemplate": '{"user": "a"}',
        "GenerateStringKey": "password",
        "PasswordLength": 40,
    }
    arn = deploy(a_secret(**template), {"Arn": {"Ref": "S"}})["Arn"]

    document = json.loads(value(cloud, arn))
    assert ("a", 40) == (document["user"], len(document["password"]))


def test_a_secret_that_cannot_be_is_refused(deploy):
    assert "PasswordLength" in deploy(a_secret(PasswordLength=5000))


def test_an_event_source_has_its_tags(cloud, deploy, unique):
    resources = a_function(unique) | {
        "Q": {"Type": "AWS::SQS::Queue"},
        "Source": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": {"Fn::GetAtt": ["Q", "Arn"]},
                "FunctionName": {"Ref": "F"},
                "Enabled": False,
                "Tags": [{"Key": "of", "Value": unique}],
            },
        },
    }
    uuid = deploy(resources, {"Id": {"Ref": "Source"}})["Id"]
    arn = f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{uuid}"

    assert unique == cloud.client("lambda").list_tags(Resource=arn)["Tags"]["of"]


def test_a_policy_on_alarms_decides_about_those_alarms_alone(cloud, role, unique):
    statement = {
        "Effect": "Allow",
        "Action": ["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"],
        "Resource": [f"arn:aws:cloudwatch:us-east-1:000000000000:alarm:{unique}-*"],
    }
    arn = role(cloud, [statement], {"AWS": "arn:aws:iam::000000000000:root"})
    key = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    cloudwatch = cloud.client_as(
        "cloudwatch", key["AccessKeyId"], key["SecretAccessKey"], key["SessionToken"]
    )
    alarm = {"MetricName": "m", "Namespace": "n", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0}
    alarm |= {"ComparisonOperator": "GreaterThanThreshold", "Statistic": "Average"}

    cloudwatch.put_metric_alarm(AlarmName=f"{unique}-a", **alarm)
    cloudwatch.delete_alarms(AlarmNames=[f"{unique}-a"])
    with pytest.raises(ClientError, match="not authorized"):
        cloudwatch.put_metric_alarm(AlarmName="another", **alarm)
    with pytest.raises(ClientError, match="not authorized"):
        cloudwatch.delete_alarms(AlarmNames=[f"{unique}-a", "another"])


@pytest.mark.parametrize(
    ("headers", "body", "query", "expected"),
    [
        ({"content-type": "application/x-amz-json-1.0"}, b'{"AlarmNames": ["a", "b"]}', {}, {"a", "b"}),
        ({"content-type": "application/x-amz-json-1.0"}, b'{"AlarmName": "a"}', {}, {"a"}),
        ({"content-type": "application/x-amz-json-1.0"}, b"[", {}, set()),
        ({}, b"", {"AlarmNames.member.1": ["a"], "Action": ["DeleteAlarms"]}, {"a"}),
    ],
)
def test_an_alarm_is_read_from_either_form_of_a_call(headers, body, query, expected):
    assert expected == names(headers, body, query)
