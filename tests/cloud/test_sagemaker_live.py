"""SageMaker in the running cloud: its own IAM, images from ECR, Step Functions and CloudFormation."""

import json
import os
import re
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

PROGRAM = f"""
import os, pathlib, sys, time
VERSION = os.environ.get("VERSION", "v1")
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
def train():
    print("loss=1.5", flush=True)
    if os.environ.get("SLEEP"):
        time.sleep(60)
    if os.environ.get("FAIL"):
        (base / "output" / "failure").write_text("the text is binary")
        sys.exit(1)
    (base / "model" / "name").write_text("trained")
def serve():
    if os.environ.get("FAIL"):
        sys.exit("no weights")
    exec({ECHO!r}, {{**globals()}})
{{"train": train, "serve": serve}}[sys.argv[1]]()
"""
SAGEMAKER = "sagemaker.amazonaws.com"


def allow(*actions, resource="*"):
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


WORK = [allow("s3:*", "logs:*", "ecr:BatchGetImage", "cloudwatch:PutMetricData")]


@pytest.fixture
def image(cloud):
    """One image for all tests: pushing again is cheap, and finds the same digest."""
    return push(cloud, "sagemaker-live", {"app.py": PROGRAM}, ["python", "app.py"], tag="v1")


@pytest.fixture
def bucket(cloud, unique):
    cloud.client("s3").create_bucket(Bucket=unique)
    return unique


def job(name, image, role_arn, bucket, **more):
    definitions = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {
            "TrainingImage": image, "TrainingInputMode": "File", "MetricDefinitions": definitions,
        },
        "RoleArn": role_arn,
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **more,
    }  # fmt: skip


def until(look, is_so, seconds=60):
    end = time.monotonic() + seconds
    while not is_so(seen := look()):
        assert time.monotonic() < end, seen
        time.sleep(0.05)
    return seen


def trained(sagemaker, name):
    return until(
        lambda: sagemaker.describe_training_job(TrainingJobName=name),
        lambda job: job["TrainingJobStatus"] not in ("InProgress", "Stopping"),
    )


def settled(sagemaker, name):
    return until(
        lambda: sagemaker.describe_endpoint(EndpointName=name),
        lambda endpoint: endpoint["EndpointStatus"] in ("InService", "Failed"),
    )


def variant(model):
    return {
        "VariantName": "main", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large",
    }  # fmt: skip


def ask(cloud, endpoint, body=b"hello"):
    runtime = cloud.client("sagemaker-runtime")
    return runtime.invoke_endpoint(EndpointName=endpoint, Body=body)["Body"].read()


def run(cloud, role, name, states, statements):
    """Run a state machine of *states* in a role of its own; return the execution's end."""
    workflows = cloud.client("stepfunctions")
    definition = {"StartAt": next(iter(states)), "States": states}
    machine = workflows.create_state_machine(
        name=name, definition=json.dumps(definition), roleArn=role(cloud, statements, "states.amazonaws.com")
    )["stateMachineArn"]
    execution = workflows.start_execution(stateMachineArn=machine, input="{}")["executionArn"]
    return until(
        lambda: workflows.describe_execution(executionArn=execution),
        lambda seen: seen["status"] != "RUNNING",
        60,
    )


def task(operation, parameters, then=None):
    ending = {"Next": then} if then else {"End": True}
    resource = f"arn:aws:states:::{operation}"
    return {
        "Type": "Task", "Resource": resource, "Parameters": parameters, "ResultPath": f"$.{then or 'last'}",
        **ending,
    }  # fmt: skip


def passing(role_arn):
    """Let a role be handed to SageMaker, and to nobody else."""
    condition = {"StringEqualsIfExists": {"iam:PassedToService": SAGEMAKER}}
    return {**allow("iam:PassRole", resource=role_arn), "Condition": condition}


def test_a_state_machine_trains_and_serves(cloud, role, image, bucket, unique):
    role_arn = role(cloud, WORK, SAGEMAKER)
    container = {"Image": image, "ModelDataUrl": f"s3://{bucket}/out/{unique}/output/model.tar.gz"}
    model = {"ModelName": unique, "PrimaryContainer": container, "ExecutionRoleArn": role_arn}
    look = task("aws-sdk:sagemaker:describeEndpoint", {"EndpointName": unique}, "Judge")
    is_ready = {"Variable": "$.Judge.EndpointStatus", "StringEquals": "InService", "Next": "Done"}
    states = {
        "Train": task("sagemaker:createTrainingJob.sync", job(unique, image, role_arn, bucket), "Model"),
        "Model": task("sagemaker:createModel", model, "Config"),
        "Config": task(
            "sagemaker:createEndpointConfig",
            {"EndpointConfigName": unique, "ProductionVariants": [variant(unique)]},
            "Endpoint",
        ),
        "Endpoint": task(
            "sagemaker:createEndpoint", {"EndpointName": unique, "EndpointConfigName": unique}, "Look"
        ),
        "Look": look,
        "Judge": {"Type": "Choice", "Choices": [is_ready], "Default": "Wait"},
        "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Look"},
        "Done": {"Type": "Succeed"},
    }

    ended = run(cloud, role, unique, states, [allow("sagemaker:*"), passing(role_arn)])

    assert "SUCCEEDED" == ended["status"], ended.get("cause")
    output = json.loads(ended["output"])
    assert "Completed" == output["Model"]["TrainingJobStatus"]
    assert 1.5 == output["Model"]["FinalMetricDataList"][0]["Value"]
    assert output["Look"]["EndpointArn"].endswith(f":endpoint/{unique}")
    assert b"v1trained:hello" == ask(cloud, unique)
    cloud.client("sagemaker").delete_endpoint(EndpointName=unique)


def test_a_failed_job_fails_its_task_with_its_description(cloud, role, image, bucket, unique):
    role_arn = role(cloud, WORK, SAGEMAKER)
    request = job(unique, image, role_arn, bucket, Environment={"FAIL": "1"})
    states = {"Train": task("sagemaker:createTrainingJob.sync", request)}

    ended = run(cloud, role, unique, states, [allow("sagemaker:*"), passing(role_arn)])

    assert ("FAILED", "States.TaskFailed") == (ended["status"], ended["error"])
    cause = json.loads(ended["cause"])
    assert "AlgorithmError: the text is binary, exit code: 1" == cause["FailureReason"]


def test_an_aborted_execution_stops_its_job(cloud, role, image, bucket, unique):
    role_arn, sagemaker, workflows = (
        role(cloud, WORK, SAGEMAKER),
        *map(cloud.client, ("sagemaker", "stepfunctions")),
    )
    request = job(unique, image, role_arn, bucket, Environment={"SLEEP": "1"})
    states = {"Train": task("sagemaker:createTrainingJob.sync", request)}
    machine = workflows.create_state_machine(
        name=unique,
        definition=json.dumps({"StartAt": "Train", "States": states}),
        roleArn=role(cloud, [allow("sagemaker:*"), passing(role_arn)], "states.amazonaws.com"),
    )["stateMachineArn"]
    execution = workflows.start_execution(stateMachineArn=machine, input="{}")["executionArn"]
    until(lambda: sagemaker.list_training_jobs(NameContains=unique)["TrainingJobSummaries"], bool)

    workflows.stop_execution(executionArn=execution)

    assert "Stopped" == trained(sagemaker, unique)["TrainingJobStatus"]


@pytest.mark.parametrize(
    ("statements", "denied"),
    [([], "sagemaker:CreateTrainingJob"), ([allow("sagemaker:*")], "iam:PassRole")],
)
def test_a_state_machine_may_do_what_its_role_may(cloud, role, image, bucket, unique, statements, denied):
    request = job(unique, image, role(cloud, WORK, SAGEMAKER), bucket)

    ended = run(cloud, role, unique, {"Train": task("sagemaker:createTrainingJob", request)}, statements)

    assert "SageMaker.AmazonSageMakerException" == ended["error"]
    assert f"not authorized to perform: {denied}" in ended["cause"]


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        ([allow("s3:*", "logs:*")], r"cannot pull .*AccessDenied"),
        ([allow("ecr:BatchGetImage")], r"cannot write s3://.*AccessDenied"),
    ],
)
def test_a_job_may_do_what_its_role_may(cloud, role, image, bucket, unique, statements, reason):
    sagemaker = cloud.client("sagemaker")

    role_arn = role(cloud, statements, SAGEMAKER)
    sagemaker.create_training_job(**job(unique, image, role_arn, bucket))

    ended = trained(sagemaker, unique)
    assert "Failed" == ended["TrainingJobStatus"]
    assert re.search(reason, ended["FailureReason"]), ended


def test_a_role_that_does_not_trust_sagemaker_is_refused(cloud, role, image, bucket, unique):
    role_arn = role(cloud, WORK, "lambda.amazonaws.com")

    with pytest.raises(ClientError, match="Could not assume role"):
        cloud.client("sagemaker").create_training_job(**job(unique, image, role_arn, bucket))


def test_metrics_are_in_cloudwatch(cloud, role, image, bucket, unique):
    sagemaker = cloud.client("sagemaker")
    sagemaker.create_training_job(**job(unique, image, role(cloud, WORK, SAGEMAKER), bucket))

    assert "Completed" == trained(sagemaker, unique)["TrainingJobStatus"]

    metrics = cloud.client("cloudwatch").list_metrics(Namespace="/aws/sagemaker/TrainingJobs")["Metrics"]
    dimension = {"Name": "TrainingJobName", "Value": unique}
    assert ["loss"] == [each["MetricName"] for each in metrics if dimension in each["Dimensions"]]


def test_a_caller_may_invoke_what_its_policy_names(cloud, role, unique):
    policy = [allow("sagemaker:InvokeEndpoint", resource=f"arn:aws:sagemaker:*:*:endpoint/{unique}")]
    arn = role(cloud, policy, {"AWS": "*"})
    given = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="caller")["Credentials"]
    key = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
    runtime = cloud.client_as("sagemaker-runtime", *key)

    with pytest.raises(ClientError, match=f"Endpoint {unique} of account"):
        runtime.invoke_endpoint(EndpointName=unique, Body=b"x")
    with pytest.raises(ClientError, match=r"AccessDenied.*sagemaker:InvokeEndpoint"):
        runtime.invoke_endpoint(EndpointName=f"{unique}-other", Body=b"x")


def stack(role_arn, image, version, **environment):
    container = {"Image": image, "Environment": {"VERSION": version, **environment}}
    return {
        "Resources": {
            "Model": {
                "Type": "AWS::SageMaker::Model",
                "Properties": {"ExecutionRoleArn": role_arn, "PrimaryContainer": container},
            },
            "Config": {
                "Type": "AWS::SageMaker::EndpointConfig",
                "Properties": {
                    "ProductionVariants": [
                        {
                            "VariantName": "main",
                            "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
                            "InitialInstanceCount": "1",
                            "InitialVariantWeight": 1,
                            "InstanceType": "ml.m5.large",
                        }
                    ]
                },
            },
            "Endpoint": {
                "Type": "AWS::SageMaker::Endpoint",
                "Properties": {"EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]}},
            },
        },
        "Outputs": {
            "Arn": {"Value": {"Ref": "Endpoint"}},
            "Name": {"Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}},
            "Model": {"Value": {"Ref": "Model"}},
        },
    }


def deploy(cloud, name, template, action="create"):
    cloudformation = cloud.client("cloudformation")
    getattr(cloudformation, f"{action}_stack")(StackName=name, TemplateBody=json.dumps(template))
    found = until(
        lambda: cloudformation.describe_stacks(StackName=name)["Stacks"][0],
        lambda stack: not stack["StackStatus"].endswith("_IN_PROGRESS"),
    )
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
    return found["StackStatus"], outputs


def reasons(cloud, name):
    events = cloud.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
    return " ".join(event.get("ResourceStatusReason", "") for event in events)


def test_a_stack_makes_changes_and_deletes_an_endpoint(cloud, role, image, unique):
    sagemaker, role_arn = cloud.client("sagemaker"), role(cloud, WORK, SAGEMAKER)

    status, outputs = deploy(cloud, unique, stack(role_arn, image, "v1"))
    assert "CREATE_COMPLETE" == status, reasons(cloud, unique)
    assert outputs["Arn"].endswith(f":endpoint/{outputs['Name']}")
    assert ":model/" in outputs["Model"]
    assert b"v1:hello" == ask(cloud, outputs["Name"])

    status, changed = deploy(cloud, unique, stack(role_arn, image, "v2"), "update")
    assert ("UPDATE_COMPLETE", outputs["Name"]) == (status, changed["Name"]), reasons(cloud, unique)
    assert b"v2:hello" == ask(cloud, outputs["Name"])

    status, _ = deploy(cloud, unique, stack(role_arn, image, "v3", FAIL="1"), "update")
    assert "UPDATE_ROLLBACK_COMPLETE" == status
    assert "no weights" in reasons(cloud, unique)
    assert b"v2:hello" == ask(cloud, outputs["Name"])

    cloud.client("cloudformation").delete_stack(StackName=unique)
    until(lambda: names(sagemaker, outputs["Name"]), lambda found: not found)
    until(lambda: sagemaker.list_models(NameContains=unique)["Models"], lambda found: not found)
    assert [] == sagemaker.list_endpoint_configs(NameContains=unique)["EndpointConfigs"]


def names(sagemaker, part):
    return [each["EndpointName"] for each in sagemaker.list_endpoints(NameContains=part)["Endpoints"]]


def test_a_stack_whose_endpoint_fails_leaves_nothing(cloud, role, image, unique):
    role_arn = role(cloud, WORK, SAGEMAKER)

    status, _ = deploy(cloud, unique, stack(role_arn, image, "v1", FAIL="1"))

    assert "ROLLBACK_COMPLETE" == status
    assert "no weights" in reasons(cloud, unique)
    assert [] == names(cloud.client("sagemaker"), unique)


def test_a_property_that_is_not_read_is_refused(cloud, role, image, unique):
    template = stack(role(cloud, WORK, SAGEMAKER), image, "v1")
    template["Resources"]["Endpoint"]["Properties"]["RetainAllVariantProperties"] = True

    with pytest.raises(ClientError, match="RetainAllVariantProperties is not part of the local cloud"):
        deploy(cloud, unique, template)


@pytest.fixture
def own_cloud():
    """A cloud of its own, that the test may stop and kill."""
    home = Path(tempfile.mkdtemp(prefix="atelier-"))
    yield start_cloud(home)
    launch.stop(home)
    shutil.rmtree(home, ignore_errors=True)


def is_running(pid):
    return Path(f"/proc/{pid}").exists()


def test_endpoints_survive_a_stop_and_jobs_are_failed(own_cloud, role):
    image = push(own_cloud, "app", {"app.py": PROGRAM}, ["python", "app.py"], tag="v1")
    own_cloud.client("s3").create_bucket(Bucket="data")
    role_arn, sagemaker = role(own_cloud, WORK, SAGEMAKER), own_cloud.client("sagemaker")
    container = {"Image": image}
    sagemaker.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=role_arn)
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant("m")])
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    assert "InService" == settled(sagemaker, "e")["EndpointStatus"]
    serving = int(ask(own_cloud, "e", b"pid"))
    sleeper = job("j", image, role_arn, "data", Environment={"SLEEP": "1"})
    sagemaker.create_training_job(**sleeper)
    phase = until(
        lambda: sagemaker.describe_training_job(TrainingJobName="j"), lambda it: it.get("FinalMetricDataList")
    )
    assert "Training" == phase["SecondaryStatus"]

    launch.stop(own_cloud.home)
    assert not is_running(serving)
    again = start_cloud(own_cloud.home)

    sagemaker = again.client("sagemaker")
    ended = trained(sagemaker, "j")
    assert "Failed" == ended["TrainingJobStatus"]
    assert "the local cloud was stopped" in ended["FailureReason"]
    assert "InService" == settled(sagemaker, "e")["EndpointStatus"]
    assert b"v1:hello" == ask(again, "e")


def test_endpoints_survive_a_kill(own_cloud, role):
    image = push(own_cloud, "app", {"app.py": PROGRAM}, ["python", "app.py"], tag="v1")
    role_arn, sagemaker = role(own_cloud, WORK, SAGEMAKER), own_cloud.client("sagemaker")
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": image}, ExecutionRoleArn=role_arn)
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant("m")])
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    assert "InService" == settled(sagemaker, "e")["EndpointStatus"]
    serving = int(ask(own_cloud, "e", b"pid"))
    time.sleep(1.5)  # IAM and ECR are saved every second

    os.kill(json.loads((own_cloud.home / "cloud.json").read_text())["pid"], signal.SIGKILL)
    until(lambda: is_running(serving), lambda running: not running)
    again = start_cloud(own_cloud.home)

    assert "InService" == settled(again.client("sagemaker"), "e")["EndpointStatus"]
    assert b"v1:hello" == ask(again, "e")
