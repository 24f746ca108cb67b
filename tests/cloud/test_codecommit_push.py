"""A plain git push to the running cloud, through its restarts."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from atelier.cloud.gateway import launch

RULE = {"source": ["aws.codecommit"], "detail-type": ["CodeCommit Repository State Change"]}
STACK = {
    "Resources": {
        "Code": {"Type": "AWS::CodeCommit::Repository", "Properties": {"RepositoryName": "studio"}},
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Policy": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [{"Ref": "Queue"}],
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "events.amazonaws.com"},
                            "Action": "sqs:SendMessage",
                            "Resource": {"Fn::GetAtt": ["Queue", "Arn"]},
                        }
                    ],
                },
            },
        },
        "Rule": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "EventPattern": RULE | {"resources": [{"Fn::GetAtt": ["Code", "Arn"]}]},
                "Targets": [{"Id": "queue", "Arn": {"Fn::GetAtt": ["Queue", "Arn"]}}],
            },
        },
    },
    "Outputs": {
        "Url": {"Value": {"Fn::GetAtt": ["Code", "CloneUrlHttp"]}},
        "Id": {"Value": {"Ref": "Code"}},
        "Queue": {"Value": {"Ref": "Queue"}},
    },
}


class Studio:
    """A cloud of its own with a repository whose events go into a queue, and a work tree."""

    def __init__(self, root):
        self.home, self.work = root / "home", root / "work"
        self.work.mkdir()
        self.git("init", "-q", "-b", "main")
        self.start()
        formation = self.client("cloudformation")
        formation.create_stack(StackName="studio", TemplateBody=json.dumps(STACK))
        formation.get_waiter("stack_create_complete").wait(StackName="studio", WaiterConfig={"Delay": 1})
        outputs = formation.describe_stacks(StackName="studio")["Stacks"][0]["Outputs"]
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in outputs}

    def start(self):
        self.connection = launch.start(self.home)

    def stop(self):
        launch.stop(self.home)

    @property
    def pid(self):
        return launch.status(self.home).pid

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.connection.endpoint,
            region_name=self.connection.region,
            aws_access_key_id=self.connection.access_key,
            aws_secret_access_key=self.connection.secret_key,
            config=Config(inject_host_prefix=False),
        )

    def git(self, *arguments, check=True):
        return subprocess.run(
            ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", *arguments],
            cwd=self.work,
            capture_output=True,
            text=True,
            check=check,
        )

    def push(self, text, *, check=True):
        self.git("commit", "-q", "--allow-empty", "-m", text)
        done = self.git("push", "-q", self.outputs["Url"], "main", check=check)
        head = self.git("rev-parse", "HEAD").stdout.strip()
        return head if check else done.stderr

    def commits(self, count):
        """The commits that the queue hears of, waiting for *count* and a moment longer."""
        sqs, url, seen = self.client("sqs"), self.outputs["Queue"], []
        deadline, quiet = time.monotonic() + 30, 1.0
        while time.monotonic() < deadline and quiet > 0:
            answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
            for message in answer:
                seen.append(json.loads(message["Body"])["detail"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            if len(seen) >= count:
                quiet -= 0.1
            time.sleep(0.1)
        assert {self.outputs["Id"]} >= {each["repositoryId"] for each in seen}
        return [each["commitId"] for each in seen]


@pytest.fixture(scope="module")
def studio():
    root = Path(tempfile.mkdtemp(prefix="atelier-studio-"))
    studio = None
    try:
        studio = Studio(root)
        yield studio
    finally:
        if studio:
            studio.stop()
        shutil.rmtree(root, ignore_errors=True)


def test_a_push_is_heard_once_and_a_stopped_cloud_refuses_it(studio):
    first = studio.push("first")
    assert [first] == studio.commits(1)

    studio.stop()
    assert "The local cloud is not running, so nothing was pushed." in studio.push("second", check=False)
    studio.start()

    assert [] == studio.commits(0)
    third = studio.push("third")
    assert [third] == studio.commits(1)
    branch = studio.client("codecommit").get_branch(repositoryName="studio", branchName="main")["branch"]
    assert third == branch["commitId"]


def test_a_push_just_before_the_cloud_is_killed_is_heard_after_its_start(studio):
    pid = studio.pid
    os.kill(pid, signal.SIGSTOP)
    pushed = studio.push("just before")
    os.kill(pid, signal.SIGKILL)
    studio.stop()
    studio.start()

    assert [pushed] == studio.commits(1)
    studio.stop()
    studio.start()
    assert [] == studio.commits(0)


def test_a_build_that_a_kill_interrupted_is_failed_with_its_reason(studio):
    iam, builds = studio.client("iam"), studio.client("codebuild")
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "codebuild.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    role = iam.create_role(
        RoleName="builder",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    builds.create_project(
        name="long",
        source={"type": "NO_SOURCE", "buildspec": "version: 0.2\nphases: {build: {commands: [sleep 300]}}\n"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL",
        },
        serviceRole=role,
    )
    build = builds.start_build(projectName="long")["build"]["id"]
    deadline = time.monotonic() + 30
    while builds.batch_get_builds(ids=[build])["builds"][0]["currentPhase"] != "BUILD":
        assert time.monotonic() < deadline
        time.sleep(0.1)

    os.kill(studio.pid, signal.SIGKILL)
    studio.stop()
    studio.start()

    [shown] = studio.client("codebuild").batch_get_builds(ids=[build])["builds"]
    assert ("FAILED", True) == (shown["buildStatus"], shown["buildComplete"])
    reasons = [each["message"] for phase in shown["phases"] for each in phase.get("contexts", [])]
    assert "The local cloud ended while this build was running." in reasons
    assert [] == list((studio.home / "builds").glob("*-*-*-*-*"))
