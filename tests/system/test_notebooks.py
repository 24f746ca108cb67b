"""The notebooks, really executed: as the notebook instance's own role, with a kernel of their own."""

from __future__ import annotations

import json

import boto3
import pytest
from botocore.exceptions import ClientError
from notebook_run import execute

from atelier import deploy
from atelier.client.outputs import output
from atelier.cloud.gateway import launch

pytestmark = pytest.mark.timeout(900)
ASSUMABLE = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}


class Desk:
    """A notebook instance's stack, and who works there."""

    def __init__(self, workshop) -> None:
        self.workshop = workshop
        self.connection = launch.connection(workshop.home)
        deploy.deploy(workshop.clients, prefix="atelier", order=deploy.NOTEBOOK)
        self.role = output(workshop.clients, "atelier-notebook", "NotebookRoleArn")
        self.variables = {**self.connection.environment(), **self._credentials()}

    def _credentials(self) -> dict[str, str]:
        """Take the role, which trusts SageMaker alone, as only a test may."""
        name = self.role.rpartition("/")[2]
        iam, sts = self.client("iam"), self.client("sts")
        trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(ASSUMABLE))
        try:
            got = sts.assume_role(RoleArn=self.role, RoleSessionName="SageMaker")["Credentials"]
        finally:
            iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
        return {
            "AWS_ACCESS_KEY_ID": got["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": got["SecretAccessKey"],
            "AWS_SESSION_TOKEN": got["SessionToken"],
        }

    def client(self, service):
        """A client of the cloud's owner."""
        return boto3.client(
            service,
            endpoint_url=self.connection.endpoint,
            region_name=self.connection.region,
            aws_access_key_id=self.connection.access_key,
            aws_secret_access_key=self.connection.secret_key,
        )

    def as_role(self, service):
        """A client of who works at the notebooks."""
        return boto3.client(
            service,
            endpoint_url=self.connection.endpoint,
            region_name=self.connection.region,
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=self.variables["AWS_SESSION_TOKEN"],
        )


@pytest.fixture(scope="module")
def desk(workshop):
    return Desk(workshop)


@pytest.fixture(scope="module")
def shown(desk, tmp_path_factory):
    """The notebooks that need no middleware, executed once."""
    out = tmp_path_factory.mktemp("notebooks")
    return execute(["1", "2", "3"], out, desk.variables, STEPS=2, LONGEST_CONTEXT=3)


def test_the_corpus_is_what_the_pipeline_would_train_on(desk, shown):
    latest = desk.client("s3").get_object(
        Bucket=output(desk.workshop.clients, "atelier-storage", "DataBucketName"), Key="data/LATEST"
    )

    assert f"Version {latest['Body'].read().decode()} in the local cloud: 1 file(s)" in shown["1"].text
    assert "text.txt" in shown["1"].tables[0]
    assert 2 == shown["1"].plots


def test_a_job_of_the_sdk_trains_with_the_image_that_serves_and_keeps_its_model(desk, shown):
    sagemaker = desk.client("sagemaker")
    listed = sagemaker.list_training_jobs(NameContains="atelier-notebook", SortOrder="Descending")

    job = sagemaker.describe_training_job(
        TrainingJobName=listed["TrainingJobSummaries"][0]["TrainingJobName"]
    )

    assert ("Completed", desk.role) == (job["TrainingJobStatus"], job["RoleArn"])
    assert desk.workshop.serving().image == job["AlgorithmSpecification"]["TrainingImage"]
    assert "2" == job["HyperParameters"]["steps"]
    assert f"{job['TrainingJobName']}: Completed" in shown["2"].text
    assert f"{job['ModelArtifacts']['S3ModelArtifacts']} (" in shown["2"].text
    assert 1 == shown["2"].plots


def test_versions_are_compared_with_what_the_registry_says(desk, shown):
    serving = desk.workshop.serving()

    assert 2 == shown["3"].plots
    assert "serving" in shown["3"].tables[0]
    assert serving.commit[:8] in shown["3"].tables[0]


def test_the_notebooks_role_can_do_nothing_else(desk):
    bucket = output(desk.workshop.clients, "atelier-storage", "DataBucketName")
    s3, sagemaker = desk.as_role("s3"), desk.as_role("sagemaker")
    job = {
        "AlgorithmSpecification": {
            "TrainingImage": desk.workshop.serving().image, "TrainingInputMode": "File",
        },
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/notebooks"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "RoleArn": desk.role,
    }  # fmt: skip

    for deed in (
        lambda: s3.put_object(Bucket=bucket, Key="data/LATEST", Body=b"mine"),
        lambda: s3.delete_object(Bucket=bucket, Key="models/any"),
        lambda: sagemaker.create_training_job(TrainingJobName="gpt-neo-mine", **job),
        lambda: sagemaker.describe_endpoint(EndpointName="atelier-gpt-neo"),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
            deed()


def test_the_instance_is_there_and_runs_what_stops_it(desk):
    sagemaker, name = (
        desk.client("sagemaker"),
        output(desk.workshop.clients, "atelier-notebook", "NotebookInstanceName"),
    )

    found = sagemaker.describe_notebook_instance(NotebookInstanceName=name)

    assert ("InService", "Disabled") == (found["NotebookInstanceStatus"], found["RootAccess"])
    assert {"MinimumInstanceMetadataServiceVersion": "2"} == found["InstanceMetadataServiceConfiguration"]
    desk.as_role("sagemaker").stop_notebook_instance(NotebookInstanceName=name)
    sagemaker.get_waiter("notebook_instance_stopped").wait(
        NotebookInstanceName=name, WaiterConfig={"Delay": 1}
    )
