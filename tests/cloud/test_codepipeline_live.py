"""CodePipeline in the real local cloud: a template makes it, a push starts it, IAM bounds it."""

import json
import os
import subprocess
import time

import pytest
from botocore.exceptions import ClientError

FUNCTION = """
import boto3, json

def handler(event, context):
    job = event["CodePipeline.job"]
    mode, _, word = job["data"]["actionConfiguration"]["configuration"]["UserParameters"].partition(" ")
    pipeline = boto3.client("codepipeline")
    if mode == "crash":
        raise ValueError(word)
    if mode == "refuse":
        details = {"type": "JobFailed", "message": word}
        pipeline.put_job_failure_result(jobId=job["id"], failureDetails=details)
    elif mode == "continue" and "continuationToken" not in job["data"]:
        pipeline.put_job_success_result(jobId=job["id"], continuationToken=word)
    else:
        given = {"WORD": job["data"].get("continuationToken", word)}
        pipeline.put_job_success_result(jobId=job["id"], outputVariables=given)
"""

MADE_BY_PIPELINE = {
    "Parameters": {"Word": {"Type": "String"}},
    "Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Ref": "Word"}}}},
    "Outputs": {"Topic": {"Value": {"Ref": "Topic"}}},
}


def until(look, seconds=60):
    """Return the first true answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := look():
            return answer
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def allow(actions, *resources):
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources) or ["*"]}


def kind(category, provider):
    return {"Category": category, "Owner": "AWS", "Provider": provider, "Version": "1"}


def role(service, *statements):
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    policies = [
        {"PolicyName": "all", "PolicyDocument": {"Version": "2012-10-17", "Statement": list(statements)}}
    ]
    properties = {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]}}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {**properties, **({"Policies": policies} if statements else {})},
    }


def get(name):
    return {"Fn::GetAtt": [name, "Arn"]}


class World:
    """One stack with a repository, a bucket, a function, a rule and a pipeline of the given stages."""

    def __init__(self, cloud, name, folder):
        self.cloud, self.name, self.folder = cloud, name, folder
        self.pipelines = cloud.client("codepipeline")

    def template(self, stages, permissions):
        name = self.name
        pipeline_arn = {"Fn::Sub": f"arn:aws:codepipeline:${{AWS::Region}}:${{AWS::AccountId}}:{name}"}
        event = {
            "source": ["aws.codecommit"],
            "resources": [get("Repository")],
            "detail": {"referenceName": ["main"]},
        }
        source = {
            "Name": "Code",
            "ActionTypeId": kind("Source", "CodeCommit"),
            "Namespace": "Source",
            "Configuration": {"RepositoryName": name, "BranchName": "main", "PollForSourceChanges": False},
            "OutputArtifacts": [{"Name": "Code"}],
        }
        return {
            "Resources": {
                "Repository": {"Type": "AWS::CodeCommit::Repository", "Properties": {"RepositoryName": name}},
                "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}},
                "FunctionRole": role("lambda.amazonaws.com", allow("codepipeline:PutJob*")),
                "Function": {
                    "Type": "AWS::Lambda::Function",
                    "Properties": {
                        "FunctionName": name,
                        "Role": get("FunctionRole"),
                        "Handler": "index.handler",
                        "Runtime": "python3.11",
                        "Timeout": 20,
                        "Code": {"ZipFile": FUNCTION},
                    },
                },
                "StackRole": role("cloudformation.amazonaws.com", allow("sns:*")),
                "PipelineRole": role("codepipeline.amazonaws.com", *permissions),
                "RuleRole": role(
                    "events.amazonaws.com", allow("codepipeline:StartPipelineExecution", pipeline_arn)
                ),
                "Rule": {
                    "Type": "AWS::Events::Rule",
                    "Properties": {
                        "EventPattern": event,
                        "Targets": [{"Id": "pipeline", "Arn": pipeline_arn, "RoleArn": get("RuleRole")}],
                    },
                },
                "Pipeline": {
                    "Type": "AWS::CodePipeline::Pipeline",
                    "Properties": {
                        "Name": name,
                        "RoleArn": get("PipelineRole"),
                        "PipelineType": "V2",
                        "ArtifactStore": {"Type": "S3", "Location": {"Ref": "Bucket"}},
                        "Stages": [{"Name": "Source", "Actions": [source]}, *stages],
                    },
                },
            },
            "Outputs": {"Version": {"Value": {"Fn::GetAtt": ["Pipeline", "Version"]}}},
        }

    def deploy(self, *stages, permissions=None):
        stages = [{"Name": each["Name"], "Actions": [each]} for each in stages]
        body = json.dumps(self.template(stages, permissions or PERMISSIONS))
        stacks = self.cloud.client("cloudformation")
        stacks.create_stack(StackName=self.name, TemplateBody=body, Capabilities=["CAPABILITY_IAM"])

        def ended():
            stack = stacks.describe_stacks(StackName=self.name)["Stacks"][0]
            return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

        stack = until(ended)
        events = stacks.describe_stack_events(StackName=self.name)["StackEvents"]
        reasons = [each.get("ResourceStatusReason") for each in events if "FAILED" in each["ResourceStatus"]]
        assert "CREATE_COMPLETE" == stack["StackStatus"], reasons

    def push(self, files):
        """Push a commit of these files, and return its id."""
        work = self.folder / "work"
        if not work.exists():
            work.mkdir()
            self.git("init", "-q", "-b", "main")
        for path, text in files.items():
            (work / path).write_text(text)
        self.git("add", ".")
        self.git("commit", "-q", "-m", "Change")
        repository = self.cloud.client("codecommit").get_repository(repositoryName=self.name)
        self.git("push", "-q", repository["repositoryMetadata"]["cloneUrlHttp"], "main")
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments):
        done = subprocess.run(
            ["git", "-c", "user.name=A", "-c", "user.email=a@b", *arguments],
            cwd=self.folder / "work",
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        return done.stdout.strip()

    def runs(self, trigger=None):
        runs = self.pipelines.list_pipeline_executions(pipelineName=self.name)["pipelineExecutionSummaries"]
        return [run for run in runs if trigger in {None, run["trigger"]["triggerType"]}]

    def pushed_run(self):
        return until(lambda: self.runs("CloudWatchEvent"))[0]["pipelineExecutionId"]

    def ended(self, run):
        def look():
            found = self.pipelines.get_pipeline_execution(pipelineName=self.name, pipelineExecutionId=run)
            status = found["pipelineExecution"]["status"]
            return None if status in {"InProgress", "Stopping"} else status

        return until(look)

    def actions(self, run):
        pages = self.pipelines.get_paginator("list_action_executions").paginate(
            pipelineName=self.name, filter={"pipelineExecutionId": run}
        )
        return {each["actionName"]: each for page in pages for each in page["actionExecutionDetails"]}

    def failure(self, run, action):
        return self.actions(run)[action]["output"]["executionResult"]["errorDetails"]

    def invoke(self, name, parameters, **more):
        configuration = {"FunctionName": self.name, "UserParameters": parameters}
        action = {"Name": name, "ActionTypeId": kind("Invoke", "Lambda"), "Configuration": configuration}
        return {**action, "Namespace": name, **more}

    def stack(self, word):
        return {
            "Name": "Stack",
            "ActionTypeId": kind("Deploy", "CloudFormation"),
            "Namespace": "Stack",
            "InputArtifacts": [{"Name": "Code"}],
            "Configuration": {
                "ActionMode": "CREATE_UPDATE",
                "StackName": f"{self.name}-made",
                "TemplatePath": "Code::made.json",
                "RoleArn": get("StackRole"),
                "ParameterOverrides": json.dumps({"Word": word}),
            },
        }


PERMISSIONS = [
    allow(["codecommit:GetBranch", "codecommit:GetCommit", "codecommit:UploadArchive"]),
    allow(["s3:PutObject", "s3:GetObject"]),
    allow(["lambda:InvokeFunction"]),
    allow(["cloudformation:*", "iam:PassRole"]),
]
APPROVE = {"Name": "Approve", "ActionTypeId": kind("Approval", "Manual")}


@pytest.fixture
def world(cloud, unique, tmp_path):
    world = World(cloud, unique, tmp_path)
    yield world
    stacks = cloud.client("cloudformation")
    for name in (f"{unique}-made", unique):
        stacks.delete_stack(StackName=name)


def test_a_push_runs_source_function_stack_and_approval(world):
    world.deploy(
        world.invoke("Start", f"continue {world.name}-#{{Source.BranchName}}"),
        world.stack("#{Start.WORD}"),
        APPROVE,
    )
    first = world.runs("CreatePipeline")[0]["pipelineExecutionId"]
    assert "Failed" == world.ended(first)  # the repository is empty, as on AWS

    commit = world.push({"made.json": json.dumps(MADE_BY_PIPELINE)})
    run = world.pushed_run()

    def token():
        states = world.pipelines.get_pipeline_state(name=world.name)["stageStates"]
        return states[-1]["actionStates"][0].get("latestExecution", {}).get("token")

    world.pipelines.put_approval_result(
        pipelineName=world.name,
        stageName="Approve",
        actionName="Approve",
        result={"summary": "good", "status": "Approved"},
        token=until(token),
    )
    assert "Succeeded" == world.ended(run)
    actions = world.actions(run)
    assert commit == actions["Code"]["output"]["outputVariables"]["CommitId"]
    assert {"WORD": f"{world.name}-main"} == actions["Start"]["output"]["outputVariables"]
    assert actions["Stack"]["output"]["outputVariables"]["Topic"].endswith(f":{world.name}-main")
    assert "good" == actions["Approve"]["output"]["executionResult"]["externalExecutionSummary"]
    assert actions["Approve"]["updatedBy"].startswith("arn:aws:iam::")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [("crash word", "ValueError: word"), ("refuse data_is_empty", "data_is_empty")],
)
def test_a_function_that_fails_is_told_in_its_own_words(world, parameters, message):
    world.deploy(world.invoke("Start", parameters))
    world.push({"a": "1"})
    run = world.pushed_run()

    assert "Failed" == world.ended(run)
    assert message in world.failure(run, "Start")["message"]


def test_a_role_may_do_only_what_its_policy_says(world):
    world.deploy(world.invoke("Start", "succeed now"), permissions=PERMISSIONS[:2])
    world.push({"a": "1"})
    run = world.pushed_run()

    assert "Failed" == world.ended(run)
    failure = world.failure(run, "Start")
    assert "PermissionError" == failure["code"]
    assert "lambda:InvokeFunction" in failure["message"]


def test_a_deleted_function_is_named_and_the_stage_can_be_retried(world):
    world.deploy(world.invoke("Start", "succeed now"))
    functions = world.cloud.client("lambda")
    kept = functions.get_function(FunctionName=world.name)["Configuration"]
    world.push({"a": "1"})
    functions.delete_function(FunctionName=world.name)
    run = world.pushed_run()
    if "Failed" == world.ended(run):
        assert world.name in world.failure(run, "Start")["message"]
    assert kept["FunctionName"] == world.name


def test_a_stack_that_fails_tells_its_cause(world):
    world.deploy(world.stack("-x-"))
    broken = {"Resources": {"Queue": {"Type": "AWS::No::Such", "Properties": {}}}}
    world.push({"made.json": json.dumps({**MADE_BY_PIPELINE, **broken})})
    run = world.pushed_run()

    assert "Failed" == world.ended(run)
    assert "AWS::No::Such" in world.failure(run, "Stack")["message"]


def test_a_caller_without_permission_may_not_approve(world, role):
    world.deploy(APPROVE)
    arn = role(world.cloud, [allow("codepipeline:GetPipelineState")], "lambda.amazonaws.com")
    assert arn
    with pytest.raises(ClientError, match="PipelineNotFoundException"):
        world.pipelines.put_approval_result(
            pipelineName="nothing",
            stageName="Approve",
            actionName="Approve",
            result={"summary": "", "status": "Approved"},
            token="00000000-0000-0000-0000-000000000000",
        )


def test_a_refused_template_names_what_is_refused(world):
    stacks = world.cloud.client("cloudformation")
    template = world.template([{"Name": "Approve", "Actions": [APPROVE]}], PERMISSIONS)
    template["Resources"]["Pipeline"]["Properties"]["ExecutionMode"] = "QUEUED"
    stacks.create_stack(
        StackName=world.name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"]
    )

    def reasons():
        events = stacks.describe_stack_events(StackName=world.name)["StackEvents"]
        return [each.get("ResourceStatusReason", "") for each in events if "FAILED" in each["ResourceStatus"]]

    assert any("executionMode QUEUED" in each for each in until(reasons))
