"""Asynchronous endpoints and their scaling in the running cloud: a stack, real IAM, and a kill."""

import json
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from conftest import start_cloud
from sagemaker_world import ECHO
from small_images import push

from atelier.cloud.gateway import launch

SAGEMAKER = "sagemaker.amazonaws.com"
PROGRAM = f"VERSION = 'v1'\n{ECHO}"
FORGETFUL = PROGRAM.replace(
    "time.sleep(float(body[5:]))",
    """
            mark = pathlib.Path(os.environ["MARK"])
            if not mark.exists():
                mark.touch()
                time.sleep(60)
""",
)
WORK = [
    {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:PutObject", "logs:*", "ecr:BatchGetImage", "sns:Publish"],
        "Resource": "*",
    }
]
VARIANT = {"Fn::Sub": "endpoint/${Endpoint.EndpointName}/variant/main"}
DIMENSIONS = [{"Name": "EndpointName", "Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}}]


@pytest.fixture
def own_cloud():
    """A cloud of its own, in which a minute of alarms passes in half a second."""
    home = Path(tempfile.mkdtemp(prefix="atelier-"))
    (home / "sagemaker.json").write_text(json.dumps({"metrics_interval": 0.1, "serving_grace": 2}))
    (home / "autoscaling.json").write_text(json.dumps({"interval": 0.1, "minute": 0.5}))
    yield start_cloud(home)
    launch.stop(home)
    shutil.rmtree(home, ignore_errors=True)


def until(look, is_so, seconds=60):
    end = time.monotonic() + seconds
    while not is_so(seen := look()):
        assert time.monotonic() < end, seen
        time.sleep(0.05)
    return seen


def container(image, **environment):
    return {"Image": image, "Environment": environment}


def asynchronous(topic):
    output = {
        "S3OutputPath": "s3://data/out",
        "S3FailurePath": "s3://data/failed",
        "NotificationConfig": {"SuccessTopic": topic, "ErrorTopic": topic},
    }
    return {"OutputConfig": output, "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 1}}


def main(model):
    return {
        "VariantName": "main", "ModelName": model, "InitialInstanceCount": 1, "InitialVariantWeight": 1,
        "InstanceType": "ml.m5.large",
    }  # fmt: skip


def stack(image, role_arn, topic):
    """An endpoint that is scaled between nothing and two instances, as one template."""
    target = {
        "MinCapacity": "0",
        "MaxCapacity": 2,
        "ResourceId": VARIANT,
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ServiceNamespace": "sagemaker",
    }
    tracked = {
        "TargetValue": "1.5",
        "ScaleInCooldown": 120,
        "CustomizedMetricSpecification": {
            "MetricName": "ApproximateBacklogSizePerInstance",
            "Namespace": "AWS/SageMaker",
            "Statistic": "Average",
            "Dimensions": DIMENSIONS,
        },
    }
    step = {
        "AdjustmentType": "ChangeInCapacity",
        "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        "Cooldown": 60,
    }
    alarm = {
        "Namespace": "AWS/SageMaker",
        "MetricName": "HasBacklogWithoutCapacity",
        "Dimensions": DIMENSIONS,
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 2,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "missing",
        "AlarmActions": [{"Ref": "Wake"}],
    }
    config = {
        "ProductionVariants": [main({"Fn::GetAtt": ["Model", "ModelName"]})],
        "AsyncInferenceConfig": asynchronous(topic),
    }
    resources = {
        "Model": ("SageMaker::Model", {"PrimaryContainer": container(image), "ExecutionRoleArn": role_arn}),
        "Config": ("SageMaker::EndpointConfig", config),
        "Endpoint": (
            "SageMaker::Endpoint",
            {"EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]}},
        ),
        "Target": ("ApplicationAutoScaling::ScalableTarget", target),
        "Track": policy("backlog", TargetTrackingScaling=tracked),
        "Wake": policy("wake", StepScaling=step),
        "Alarm": ("CloudWatch::Alarm", alarm),
    }
    rendered = {
        name: {"Type": f"AWS::{kind}", "Properties": properties}
        for name, (kind, properties) in resources.items()
    }
    outputs = {"Name": {"Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}}}
    return {"Resources": rendered, "Outputs": outputs}


def policy(name, **configuration):
    ((kind, content),) = configuration.items()
    return "ApplicationAutoScaling::ScalingPolicy", {
        "PolicyName": name,
        "PolicyType": kind,
        "ScalingTargetId": {"Ref": "Target"},
        f"{kind}PolicyConfiguration": content,
    }


def settle(cloud, name):
    """Wait for the end of a stack operation; return its status and outputs."""
    cloudformation = cloud.client("cloudformation")
    found = until(
        lambda: cloudformation.describe_stacks(StackName=name)["Stacks"][0],
        lambda stack: not stack["StackStatus"].endswith("_IN_PROGRESS"),
    )
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    said = [each.get("ResourceStatusReason") for each in events]
    return (
        found["StackStatus"],
        {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])},
        said,
    )


def queue_behind(cloud, topic_name):
    """Make a topic with a queue behind it; return the topic's ARN and a function that reads the notices."""
    sns, sqs = cloud.client("sns"), cloud.client("sqs")
    topic = sns.create_topic(Name=topic_name)["TopicArn"]
    url = sqs.create_queue(QueueName=topic_name)["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:000000000000:{topic_name}"
    principal = {"Service": "sns.amazonaws.com"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    def notices(of):
        got = of.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(json.loads(each["Body"])["Message"]) for each in got]

    return topic, notices


def send(cloud, name, body):
    cloud.client("s3").put_object(Bucket="data", Key="in", Body=body)
    runtime = cloud.client("sagemaker-runtime")
    return runtime.invoke_endpoint_async(EndpointName=name, InputLocation="s3://data/in", InferenceId="mine")


def answer(cloud, sent):
    s3, key = cloud.client("s3"), sent["OutputLocation"].removeprefix("s3://data/")

    def look():
        try:
            return s3.get_object(Bucket="data", Key=key)["Body"].read()
        except s3.exceptions.NoSuchKey:
            return None

    return until(look, lambda body: body is not None)


def instances(cloud, name):
    described = cloud.client("sagemaker").describe_endpoint(EndpointName=name)
    return described["EndpointStatus"], described["ProductionVariants"][0]["CurrentInstanceCount"]


def test_a_stack_scales_from_nothing_to_an_answer_and_back(own_cloud, role):
    own_cloud.client("s3").create_bucket(Bucket="data")
    image = push(own_cloud, "app", {"app.py": PROGRAM}, ["python", "app.py"], tag="v1")
    topic, notices = queue_behind(own_cloud, "told")
    template = json.dumps(stack(image, role(own_cloud, WORK, SAGEMAKER), topic))
    own_cloud.client("cloudformation").create_stack(StackName="s", TemplateBody=template)
    status, outputs, said = settle(own_cloud, "s")
    assert "CREATE_COMPLETE" == status, said
    name = outputs["Name"]
    until(lambda: instances(own_cloud, name), lambda seen: seen == ("InService", 0))

    sent = send(own_cloud, name, b"hello")

    assert "mine" == sent["InferenceId"]
    assert sent["FailureLocation"].startswith("s3://data/failed/")
    assert b"v1:hello" == answer(own_cloud, sent)
    (notice,) = until(lambda: notices(own_cloud), bool)
    assert ("Completed", "mine") == (notice["invocationStatus"], notice["inferenceId"])
    until(lambda: instances(own_cloud, name), lambda seen: seen == ("InService", 0))

    scaling = own_cloud.client("application-autoscaling")
    done = scaling.describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"]
    assert any("triggered policy wake" in each["Cause"] for each in done)
    alarms = own_cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert 3 == len(alarms)
    metrics = own_cloud.client("cloudwatch").list_metrics(Namespace="AWS/SageMaker")["Metrics"]
    assert {"ApproximateBacklogSize", "HasBacklogWithoutCapacity"} <= {each["MetricName"] for each in metrics}

    own_cloud.client("cloudformation").delete_stack(StackName="s")
    until(lambda: own_cloud.client("sagemaker").list_endpoints()["Endpoints"], lambda rows: not rows)
    until(lambda: own_cloud.client("cloudwatch").describe_alarms()["MetricAlarms"], lambda rows: not rows)
    assert [] == scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]


def test_what_a_kill_interrupts_is_answered_after_the_next_start(own_cloud, role):
    own_cloud.client("s3").create_bucket(Bucket="data")
    image = push(own_cloud, "app", {"app.py": FORGETFUL}, ["python", "app.py"], tag="v1")
    topic, notices = queue_behind(own_cloud, "told")
    sagemaker, role_arn = own_cloud.client("sagemaker"), role(own_cloud, WORK, SAGEMAKER)
    mark = own_cloud.home / "slept"
    primary = container(image, MARK=str(mark))
    sagemaker.create_model(ModelName="m", PrimaryContainer=primary, ExecutionRoleArn=role_arn)
    sagemaker.create_endpoint_config(
        EndpointConfigName="c", ProductionVariants=[main("m")], AsyncInferenceConfig=asynchronous(topic)
    )
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    until(
        lambda: sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"], lambda it: it == "InService"
    )
    running, queued = send(own_cloud, "e", b"sleep60"), send(own_cloud, "e", b"sleep60")
    until(mark.exists, bool)
    time.sleep(2.5)  # IAM, S3, SNS and ECR are saved every two seconds

    pid = json.loads((own_cloud.home / "cloud.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: launch.status(own_cloud.home).running, lambda running: not running)
    again = start_cloud(own_cloud.home)

    assert [b"v1:sleep60"] * 2 == [answer(again, each) for each in (running, queued)]
    told = []
    until(lambda: told.extend(notices(again)) or told, lambda come: len(come) >= 2)
    assert {"Completed"} == {each["invocationStatus"] for each in told}


def test_a_caller_may_scale_and_invoke_what_its_policy_names(cloud, role, unique):
    statements = [
        {
            "Effect": "Allow",
            "Action": "sagemaker:InvokeEndpointAsync",
            "Resource": f"arn:aws:sagemaker:*:*:endpoint/{unique}",
        },
        {"Effect": "Allow", "Action": "application-autoscaling:DescribeScalableTargets", "Resource": "*"},
    ]
    given = cloud.client("sts").assume_role(
        RoleArn=role(cloud, statements, {"AWS": "*"}), RoleSessionName="caller"
    )["Credentials"]
    key = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
    runtime, scaling = (
        cloud.client_as(each, *key) for each in ("sagemaker-runtime", "application-autoscaling")
    )

    with pytest.raises(ClientError, match=f"Endpoint {unique} of account"):
        runtime.invoke_endpoint_async(EndpointName=unique, InputLocation="s3://b/k")
    with pytest.raises(ClientError, match=r"AccessDenied.*sagemaker:InvokeEndpointAsync"):
        runtime.invoke_endpoint_async(EndpointName=f"{unique}-other", InputLocation="s3://b/k")
    assert [] == scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    with pytest.raises(ClientError, match=r"AccessDenied.*application-autoscaling:RegisterScalableTarget"):
        scaling.register_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId=f"endpoint/{unique}/variant/main",
            ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        )
