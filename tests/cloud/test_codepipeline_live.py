"""CodePipeline in the real local cloud: a template makes it, a push starts it, IAM bounds it."""

import io
import json
import os
import signal
import subprocess
import time
import zipfile

import pytest
from botocore.exceptions import ClientError
from conftest import RunningCloud

from atelier.cloud.gateway import launch

FUNCTION = """
import boto3, json

def handler(event, context):
    job = event["CodePipeline.job"]
    mode, _, word = job["data"]["actionConfiguration"]["configuration"]["UserParameters"].partition(" ")
    pipeline = boto3.client("codepipeline")
    if mode == "crash":
        raise ValueError(word)
    if mode == "artifact":
        given = job["data"]["artifactCredentials"]
        session = boto3.Session(given["accessKeyId"], given["secretAccessKey"], given["sessionToken"])
        place = job["data"]["inputArtifacts"][0]["location"]["s3Location"]
        session.client("s3").get_object(Bucket=place["bucketName"], Key=place["objectKey"])
        session.client("codecommit").get_branch(repositoryName=word, branchName="main")
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
                "BuildRole": role(
                    "codebuild.amazonaws.com", allow(["logs:*", "s3:GetObject", "s3:PutObject"])
                ),
                "Project": {
                    "Type": "AWS::CodeBuild::Project",
                    "Properties": {
                        "Name": name,
                        "ServiceRole": get("BuildRole"),
                        "Source": {"Type": "CODEPIPELINE"},
                        "Artifacts": {"Type": "CODEPIPELINE"},
                        "Environment": {
                            "Type": "LINUX_CONTAINER",
                            "ComputeType": "BUILD_GENERAL1_SMALL",
                            "Image": "aws/codebuild/standard:7.0",
                        },
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
        body = json.dumps(self.template(stages, permissions or permissions_of(self.name)))
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

    def newest_run(self, of):
        """The run of this commit."""

        def look():
            for run in self.runs("CloudWatchEvent"):
                if of in {each["revisionId"] for each in run["sourceRevisions"]}:
                    return run["pipelineExecutionId"]
            return None

        return until(look)

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

    def token(self):
        states = self.pipelines.get_pipeline_state(name=self.name)["stageStates"]
        (stage,) = (each for each in states if each["stageName"] == "Approve")
        return stage["actionStates"][0].get("latestExecution", {}).get("token")

    def decide(self, status, client=None):
        (client or self.pipelines).put_approval_result(
            pipelineName=self.name,
            stageName="Approve",
            actionName="Approve",
            result={"summary": "good", "status": status},
            token=until(self.token),
        )

    def invoke(self, name, parameters, **more):
        configuration = {"FunctionName": self.name, "UserParameters": parameters}
        action = {"Name": name, "ActionTypeId": kind("Invoke", "Lambda"), "Configuration": configuration}
        return {**action, "Namespace": name, **more}

    def build(self, *outputs, inputs=("Code",), **configuration):
        return {
            "Name": "Build",
            "ActionTypeId": kind("Build", "CodeBuild"),
            "Namespace": "Build",
            "InputArtifacts": [{"Name": name} for name in inputs],
            "OutputArtifacts": [{"Name": name} for name in outputs],
            "Configuration": {"ProjectName": {"Ref": "Project"}, **configuration},
        }

    def stack(self, word, artifact="Code"):
        return {
            "Name": "Stack",
            "ActionTypeId": kind("Deploy", "CloudFormation"),
            "Namespace": "Stack",
            "InputArtifacts": [{"Name": artifact}],
            "Configuration": {
                "ActionMode": "CREATE_UPDATE",
                "StackName": f"{self.name}-made",
                "TemplatePath": f"{artifact}::made.json",
                "RoleArn": get("StackRole"),
                "ParameterOverrides": json.dumps({"Word": word}),
            },
        }


def permissions_of(name):
    """What the pipeline's role needs, and no more."""

    def arn(service, resource):
        return f"arn:aws:{service}:us-east-1:000000000000:{resource}"

    stack = ["CreateStack", "DeleteStack", "DescribeStackEvents", "DescribeStacks", "UpdateStack"]
    return [
        allow(
            ["codecommit:GetBranch", "codecommit:GetCommit", "codecommit:UploadArchive"],
            arn("codecommit", name),
        ),
        allow(["s3:PutObject", "s3:GetObject"], f"arn:aws:s3:::{name}/*"),
        allow(["lambda:InvokeFunction"], arn("lambda", f"function:{name}")),
        allow(["codebuild:StartBuild", "codebuild:BatchGetBuilds"], arn("codebuild", f"project/{name}")),
        allow([f"cloudformation:{each}" for each in stack], arn("cloudformation", f"stack/{name}-made/*")),
        allow(["iam:PassRole"], "arn:aws:iam::000000000000:role/*"),
    ]


APPROVE = {"Name": "Approve", "ActionTypeId": kind("Approval", "Manual")}


def zipped(name, text):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


class Killable(RunningCloud):
    """A cloud that can be killed, not stopped."""

    def killed_and_started(self):
        time.sleep(4)  # ministack's part is saved a moment after it changes
        pid = launch.status(self.home).pid
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return Killable(self.home, launch.start(self.home))


@pytest.fixture
def cloud_of_its_own(tmp_path):
    home = tmp_path / "home"
    yield Killable(home, launch.start(home))
    launch.stop(home)


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
    world.decide("Approved")
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
    world.deploy(world.invoke("Start", "succeed now"), permissions=permissions_of(world.name)[:2])
    world.push({"a": "1"})
    run = world.pushed_run()

    assert "Failed" == world.ended(run)
    failure = world.failure(run, "Start")
    assert "PermissionError" == failure["code"]
    assert "lambda:InvokeFunction" in failure["message"]


BUILDSPEC = """
version: 0.2
env:
  exported-variables: [WORD, INITIATOR, VERSION]
phases:
  build:
    commands:
      - export WORD="$GIVEN-built" INITIATOR="$CODEBUILD_INITIATOR"
      - export VERSION="$CODEBUILD_RESOLVED_SOURCE_VERSION"
      - mkdir out && cp made.json out/
      - test -x run.sh && test ! -L link && test "$(cat link)" = made.json
artifacts:
  base-directory: out
  files: ["**/*"]
"""


def test_a_build_gets_the_commit_and_hands_on_artifact_and_variables(world):
    given = json.dumps([{"name": "GIVEN", "value": f"{world.name}-#{{Source.BranchName}}"}])
    world.deploy(world.build("Built", EnvironmentVariables=given), world.stack("#{Build.WORD}", "Built"))
    world.push({"made.json": json.dumps(MADE_BY_PIPELINE), "run.sh": "", "buildspec.yml": BUILDSPEC})
    (world.folder / "work/run.sh").chmod(0o755)
    (world.folder / "work/link").symlink_to("made.json")
    commit = world.push({})
    run = world.newest_run(of=commit)

    assert "Succeeded" == world.ended(run), world.actions(run)
    expected = {
        "WORD": f"{world.name}-main-built",
        "INITIATOR": f"codepipeline/{world.name}",
        "VERSION": commit,
    }
    action = world.actions(run)["Build"]
    assert expected == action["output"]["outputVariables"]
    result = action["output"]["executionResult"]
    assert result["externalExecutionId"].startswith(f"{world.name}:")
    assert f"log-group:/aws/codebuild/{world.name}:log-stream:" in result["logStreamARN"]


def test_a_failing_build_command_is_named(world):
    world.deploy(world.build())
    spec = "version: 0.2\nphases:\n  build:\n    commands: [true, 'ls /not/here']\n"
    world.push({"buildspec.yml": spec})
    run = world.pushed_run()

    assert "Failed" == world.ended(run)
    message = world.failure(run, "Build")["message"]
    assert message.startswith("BUILD: ")
    assert "ls /not/here" in message


def test_a_build_without_artifacts_and_one_with_several(world):
    world.deploy(
        world.build(),
        {**world.build("One", "Two"), "Name": "Both", "Namespace": "Both"},
        {**world.build(inputs=("One", "Two"), PrimarySource="Two"), "Name": "Last", "Namespace": "Last"},
    )
    spec = """
version: 0.2
env: {exported-variables: [SEEN]}
phases: {build: {commands: ["export SEEN=$(cat a $CODEBUILD_SRC_DIR_One/b | tr -d '\\n')"]}}
artifacts:
  files: [a]
  secondary-artifacts:
    One: {files: [b, buildspec.yml]}
    Two: {files: [a, buildspec.yml]}
"""
    world.push({"buildspec.yml": spec, "a": "A", "b": "B"})
    run = world.pushed_run()

    assert "Succeeded" == world.ended(run), world.actions(run)
    assert {"SEEN": "AB"} == world.actions(run)["Last"]["output"]["outputVariables"]


def test_a_function_may_read_artifacts_and_nothing_else_of_the_pipelines_role(world):
    world.deploy(world.invoke("Start", f"artifact {world.name}", InputArtifacts=[{"Name": "Code"}]))
    world.push({"a": "1"})
    run = world.pushed_run()

    assert "Failed" == world.ended(run)
    message = world.failure(run, "Start")["message"]
    assert "codecommit:GetBranch" in message
    assert "s3" not in message


def test_a_deleted_function_is_named_and_its_stage_can_be_retried(world):
    world.deploy(APPROVE, world.invoke("Start", "succeed now"))
    functions = world.cloud.client("lambda")
    function = functions.get_function(FunctionName=world.name)["Configuration"]
    commit = world.push({"a": "1"})
    run = world.pushed_run()
    functions.delete_function(FunctionName=world.name)
    world.decide("Approved")
    assert "Failed" == world.ended(run)
    assert world.name in world.failure(run, "Start")["message"]

    functions.create_function(
        FunctionName=world.name,
        Role=function["Role"],
        Handler="index.handler",
        Runtime="python3.11",
        Code={"ZipFile": zipped("index.py", FUNCTION)},
    )
    world.pipelines.retry_stage_execution(
        pipelineName=world.name, pipelineExecutionId=run, stageName="Start", retryMode="FAILED_ACTIONS"
    )
    assert "Succeeded" == world.ended(run)
    assert commit == world.actions(run)["Code"]["output"]["outputVariables"]["CommitId"]


def test_a_stack_that_fails_tells_its_cause(world):
    world.deploy(world.stack("-x-"))
    broken = {"Resources": {"Queue": {"Type": "AWS::No::Such", "Properties": {}}}}
    world.push({"made.json": json.dumps({**MADE_BY_PIPELINE, **broken})})
    run = world.pushed_run()

    assert "Failed" == world.ended(run)
    assert "AWS::No::Such" in world.failure(run, "Stack")["message"]


def test_only_who_may_approve_this_very_action_can(world, role):
    world.deploy(APPROVE)
    world.push({"a": "1"})
    world.pushed_run()
    arn = world.cloud.client("sts").get_caller_identity()["Arn"]
    other = f"arn:aws:codepipeline:us-east-1:000000000000:{world.name}/Approve/Other"
    role_arn = role(world.cloud, [allow("codepipeline:PutApprovalResult", other)], {"AWS": arn})
    given = world.cloud.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="other")["Credentials"]
    keys = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    with pytest.raises(ClientError, match="not authorized to perform: codepipeline:PutApprovalResult"):
        world.decide("Approved", world.cloud.client_as("codepipeline", *keys))


def test_a_build_that_was_killed_with_its_cloud_is_not_lost(cloud_of_its_own, unique, tmp_path):
    world = World(cloud_of_its_own, unique, tmp_path)
    world.deploy(world.build())
    world.push({"buildspec.yml": "version: 0.2\nphases: {build: {commands: [sleep 20]}}\n"})
    run = world.pushed_run()
    until(lambda: "Build" in world.actions(run))
    until(lambda: "externalExecutionId" in world.actions(run)["Build"]["output"]["executionResult"])

    world.cloud = cloud_of_its_own.killed_and_started()
    world.pipelines = world.cloud.client("codepipeline")

    assert "Failed" == world.ended(run)
    assert "The local cloud ended while this build was running" in world.failure(run, "Build")["message"]
    (build,) = world.cloud.client("codebuild").list_builds_for_project(projectName=unique)["ids"]
    assert build == world.actions(run)["Build"]["output"]["executionResult"]["externalExecutionId"]


def test_a_run_goes_on_after_a_kill(cloud_of_its_own, unique, tmp_path):
    world = World(cloud_of_its_own, unique, tmp_path)
    world.deploy(APPROVE, world.invoke("Start", "continue later"))
    world.push({"a": "1"})
    run = world.pushed_run()
    token = until(world.token)

    world.cloud = cloud_of_its_own.killed_and_started()
    world.pipelines = world.cloud.client("codepipeline")

    assert token == world.token()
    world.decide("Approved")
    assert "Succeeded" == world.ended(run)
    assert {"WORD": "later"} == world.actions(run)["Start"]["output"]["outputVariables"]


def test_a_refused_template_names_what_is_refused(world):
    stacks = world.cloud.client("cloudformation")
    template = world.template([{"Name": "Approve", "Actions": [APPROVE]}], permissions_of(world.name))
    template["Resources"]["Pipeline"]["Properties"]["ExecutionMode"] = "QUEUED"
    stacks.create_stack(
        StackName=world.name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"]
    )

    def reasons():
        events = stacks.describe_stack_events(StackName=world.name)["StackEvents"]
        return [each.get("ResourceStatusReason", "") for each in events if "FAILED" in each["ResourceStatus"]]

    assert any("executionMode QUEUED" in each for each in until(reasons))
