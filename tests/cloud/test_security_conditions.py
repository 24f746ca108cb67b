"""What a request means to IAM: a policy written for AWS allows, and denies, the same calls here."""

import json

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def user(cloud, unique):
    """Make a user of the given statements; return its clients by service."""

    def make(*statements):
        iam = cloud.client("iam")
        iam.create_user(UserName=unique)
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_user_policy(UserName=unique, PolicyName="p", PolicyDocument=document)
        key = iam.create_access_key(UserName=unique)["AccessKey"]
        return lambda service: cloud.client_as(service, key["AccessKeyId"], key["SecretAccessKey"])

    return make


def test_a_log_groups_arn_as_getatt_gives_it_allows_to_write_its_streams(cloud, unique, user):
    cloud.client("logs").create_log_group(logGroupName=f"/{unique}")
    cloud.client("logs").create_log_group(logGroupName=f"/{unique}-other")
    arn = cloud.client("logs").describe_log_groups(logGroupNamePrefix=f"/{unique}")["logGroups"][0]["arn"]
    write = ["logs:CreateLogStream", "logs:PutLogEvents"]
    logs = user({"Effect": "Allow", "Action": write, "Resource": arn})("logs")

    logs.create_log_stream(logGroupName=f"/{unique}", logStreamName="s")
    logs.put_log_events(
        logGroupName=f"/{unique}", logStreamName="s", logEvents=[{"timestamp": 1, "message": "m"}]
    )

    assert arn.endswith(":*")
    with pytest.raises(ClientError, match="AccessDenied"):
        logs.create_log_stream(logGroupName=f"/{unique}-other", logStreamName="s")


def test_a_metric_namespace_bounds_what_may_be_put(user):
    within = {"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*"]}}
    allowed = {"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*", "Condition": within}
    cloudwatch = user(allowed)("cloudwatch")
    data = [{"MetricName": "loss", "Value": 1.0}]

    cloudwatch.put_metric_data(Namespace="/aws/sagemaker/TrainingJobs", MetricData=data)

    with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
        cloudwatch.put_metric_data(Namespace="Billing", MetricData=data)
