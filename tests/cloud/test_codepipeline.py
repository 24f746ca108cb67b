"""CodePipeline's shell: executions that run, on fakes of the services its actions call."""

import io
import json
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from fakes import FakeIdentity, fake_cloud

from atelier.cloud.context import Caller, Cloud, Refused
from atelier.cloud.services.codepipeline.engine import Settings
from atelier.cloud.services.codepipeline.plugin import PLUGIN, start_by_event
from atelier.cloud.services.codepipeline.service import engine_of
from atelier.cloud.services.resources import Request
from atelier.cloud.services.wire import ServiceError

ROLE = "arn:aws:iam::000000000000:role/pipeline"
STACK_ROLE = "arn:aws:iam::000000000000:role/stack"
COMMIT = "c" * 40


def error(code, message, operation="Operation"):
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class FakeClient:
    """A client that may be closed and asked again: here one stands for those of all jobs."""

    def close(self):
        pass


class FakeS3(FakeClient):
    def __init__(self):
        self.objects = {}

    def upload_fileobj(self, file, bucket, key):
        self.objects[bucket, key] = file.read()

    def download_fileobj(self, bucket, key, file):
        file.write(self.objects[bucket, key])

    def put_zip(self, bucket, key, files):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        self.objects[bucket, key] = buffer.getvalue()

    def files(self, bucket, key):
        with zipfile.ZipFile(io.BytesIO(self.objects[bucket, key])) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


@dataclass
class FakeCodeBuild(FakeClient):
    """Builds that end when `release` is set, with what `ending` says."""

    s3: FakeS3
    ending: dict[str, Any] = field(default_factory=lambda: {"buildStatus": "SUCCEEDED"})
    files: dict[str, str] = field(default_factory=lambda: {"flow.json": "{}"})
    release: threading.Event = field(default_factory=threading.Event)
    requests: list[dict[str, Any]] = field(default_factory=list)
    broken: int = 0

    def start_build(self, **request):
        tokens = [each["idempotencyToken"] for each in self.requests]
        if request["idempotencyToken"] not in tokens:
            self.requests.append(request)
            tokens.append(request["idempotencyToken"])
        number = tokens.index(request["idempotencyToken"]) + 1
        return {"build": {"id": f"image:{number}", "logs": {"deepLink": "http://log"}}}

    def batch_get_builds(self, ids):
        if not self.release.is_set():
            return {"builds": [{"id": ids[0], "buildStatus": "IN_PROGRESS"}]}
        place = self.requests[-1]["artifactsOverride"]
        if "location" in place:
            self.s3.put_zip(place["location"], f"{place['path']}/{place['name']}", self.files)
        return {"builds": [{"id": ids[0], **self.ending}]}


@dataclass
class FakeLambda(FakeClient):
    """Functions by name: each gets its event, and returns the FunctionError's body or None."""

    functions: dict[str, Callable[[dict[str, Any]], Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)

    def invoke(self, FunctionName, Payload):
        if FunctionName not in self.functions:
            raise error("ResourceNotFoundException", f"Function not found: {FunctionName}", "Invoke")
        job = json.loads(Payload)["CodePipeline.job"]
        self.events.append(job)
        failure = self.functions[FunctionName](job)
        answer = {"Payload": io.BytesIO(json.dumps(failure).encode()), "ResponseMetadata": {"RequestId": "r"}}
        return {**answer, "FunctionError": "Unhandled"} if failure else answer


class FakeTopic(FakeClient):
    def __init__(self):
        self.messages = []

    def publish(self, **message):
        self.messages.append(message)


@dataclass
class FakeStacks(FakeClient):
    """One stack, whose next operation ends in `ending` with these events."""

    ending: str = "CREATE_COMPLETE"
    status: str | None = None
    slow: bool = False
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    no_change: bool = False

    def describe_stacks(self, StackName):
        if self.status is None:
            raise error("ValidationError", f"Stack with id {StackName} does not exist")
        outputs = [{"OutputKey": "Arn", "OutputValue": "arn:flow"}]
        stack = {"StackId": "arn:stack/1", "StackStatus": self.status, "Outputs": outputs}
        if self.status.endswith("_IN_PROGRESS") and not self.slow:
            self.status = self.ending
        return {"Stacks": [stack]}

    def create_stack(self, **request):
        self.requests.append({"operation": "create", **request})
        started = {
            "ResourceStatus": "CREATE_IN_PROGRESS",
            "ClientRequestToken": request["ClientRequestToken"],
        }
        self.events.append(started)
        self.status = "CREATE_IN_PROGRESS"
        return {"StackId": "arn:stack/1"}

    def update_stack(self, **request):
        if self.no_change:
            raise error("ValidationError", "No updates are to be performed.")
        self.requests.append({"operation": "update", **request})
        self.status = "UPDATE_IN_PROGRESS"
        return {"StackId": "arn:stack/1"}

    def delete_stack(self, **request):
        self.requests.append({"operation": "delete", **request})
        self.status = None

    def get_paginator(self, _name):
        return self

    def paginate(self, StackName):
        return [{"StackEvents": self.events}]


@dataclass(frozen=True, kw_only=True)
class CloudOfFakes(Cloud):
    """A cloud whose clients are given."""

    clients: dict[str, Any]

    def client(self, service, credentials, **options):
        return self.clients[service]


@dataclass
class Clock:
    """A clock that can be put forward."""

    ahead: timedelta = timedelta()

    def __call__(self):
        return datetime.now(UTC) + self.ahead


def kind(category, provider):
    return {"category": category, "owner": "AWS", "provider": provider, "version": "1"}


def build_action(name="Image", **changes):
    return {
        "name": name,
        "actionTypeId": kind("Build", "CodeBuild"),
        "namespace": "Build",
        "configuration": {
            "ProjectName": "image",
            "EnvironmentVariables": '[{"name": "COMMIT", "value": "#{Source.CommitId}"}]',
        },
        "inputArtifacts": [{"name": "Code"}],
        "outputArtifacts": [{"name": "Built"}],
        **changes,
    }


def function_action(name="Train", parameters="#{Build.DIGEST}", **changes):
    configuration = {"FunctionName": name.lower()} | ({"UserParameters": parameters} if parameters else {})
    return {"name": name, "actionTypeId": kind("Invoke", "Lambda"), "configuration": configuration, **changes}


def approval_action(name="Approve", **configuration):
    action = {"name": name, "actionTypeId": kind("Approval", "Manual")}
    return {**action, "configuration": configuration} if configuration else action


def stack_action(**configuration):
    return {
        "name": "Flow",
        "actionTypeId": kind("Deploy", "CloudFormation"),
        "namespace": "Flow",
        "configuration": {
            "ActionMode": "CREATE_UPDATE",
            "StackName": "flow",
            "RoleArn": STACK_ROLE,
            "TemplatePath": "Built::flow.json",
            **configuration,
        },
        "inputArtifacts": [{"name": "Built"}],
    }


SOURCE = {
    "name": "Code",
    "actionTypeId": kind("Source", "CodeCommit"),
    "namespace": "Source",
    "configuration": {"RepositoryName": "atelier", "BranchName": "main", "PollForSourceChanges": "false"},
    "outputArtifacts": [{"name": "Code"}],
}


def declaration(*stages, **changes):
    later = [{"name": name, "actions": list(actions)} for name, *actions in stages]
    return {
        "name": "training",
        "roleArn": ROLE,
        "pipelineType": "V2",
        "artifactStore": {"type": "S3", "location": "artifacts"},
        "stages": [{"name": "Source", "actions": [SOURCE]}, *later],
        **changes,
    }


class Workshop:
    """A cloud of fakes with CodePipeline in it, which can be killed and started again."""

    def __init__(self, home, repository, identity=None):
        self.home = home
        self.s3 = FakeS3()
        self.builds = FakeCodeBuild(self.s3)
        self.builds.release.set()
        self.functions = FakeLambda()
        self.topic = FakeTopic()
        self.stacks = FakeStacks()
        self.clock = Clock()
        self.identity = identity or FakeIdentity()
        self.clients = {
            "s3": self.s3,
            "codebuild": self.builds,
            "codecommit": repository,
            "lambda": self.functions,
            "sns": self.topic,
            "cloudformation": self.stacks,
        }
        self.start()

    def start(self):
        plain = fake_cloud(self.home, identity=self.identity)
        parts = {each.name: getattr(plain, each.name) for each in fields(plain)}
        self.cloud = CloudOfFakes(**parts, clients=self.clients)
        engine_of(self.cloud, Settings(poll=0.01, continuation=0.01, now=self.clock))
        PLUGIN.service.start(self.cloud)

    def stop(self):
        PLUGIN.service.stop(self.cloud)
        self.cloud.store.close()

    def restart(self):
        self.stop()
        self.start()

    def call(self, operation, **request):
        return json.loads(json.dumps(PLUGIN.service.call(self.cloud, operation, request)))

    def create(self, *stages, **changes):
        """Make the pipeline and return its first execution."""
        self.call("CreatePipeline", pipeline=declaration(*stages, **changes))
        runs = self.call("ListPipelineExecutions", pipelineName="training")
        return runs["pipelineExecutionSummaries"][0]["pipelineExecutionId"]

    def run(self, **given):
        return self.call("StartPipelineExecution", name="training", **given)["pipelineExecutionId"]

    def execution(self, run):
        found = self.call("GetPipelineExecution", pipelineName="training", pipelineExecutionId=run)
        return found["pipelineExecution"]

    def status(self, run):
        return self.execution(run)["status"]

    def ended(self, run):
        until(lambda: self.status(run) not in {"InProgress", "Stopping"})
        return self.status(run)

    def actions(self, run):
        found = self.call(
            "ListActionExecutions", pipelineName="training", filter={"pipelineExecutionId": run}
        )
        return {each["actionName"]: each for each in reversed(found["actionExecutionDetails"])}

    def failure(self, run, action):
        return self.actions(run)[action]["output"]["executionResult"]["errorDetails"]

    def stage(self, name):
        state = self.call("GetPipelineState", name="training")
        return next(each for each in state["stageStates"] if each["stageName"] == name)

    def token(self, stage="Approve", action="Approve", run=None):
        def look():
            state = self.stage(stage)
            if run and state.get("latestExecution", {}).get("pipelineExecutionId") != run:
                return None
            latest = {each["actionName"]: each for each in state["actionStates"]}[action]
            return latest.get("latestExecution", {}).get("token")

        return until(look)

    def decide(self, token, status="Approved", summary="good", stage="Approve"):
        return self.call(
            "PutApprovalResult",
            pipelineName="training",
            stageName=stage,
            actionName="Approve",
            token=token,
            result={"status": status, "summary": summary},
        )

    def forward(self, **delta):
        """Put the clock forward, and wake who waits by it."""
        self.clock.ahead += timedelta(**delta)
        engine = engine_of(self.cloud)
        with engine.changed:
            engine.changed.notify_all()

    def told(self, kind=None):
        return [
            (event["detail-type"].split()[1], event["detail"]["state"])
            for event in self.cloud.events.published
            if kind is None or kind in event["detail-type"]
        ]


def until(look, seconds=60):
    """Return the first true answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := look():
            return answer
        time.sleep(0.005)
    raise AssertionError("it did not happen in time")


class FakeRepository(FakeClient):
    """A CodeCommit whose branch is always at one commit."""

    def get_branch(self, **_request):
        return {"branch": {"branchName": "main", "commitId": self.commit_id}}

    def get_commit(self, commitId, **_request):
        person = {"name": "A", "email": "a@b", "date": "1767225600 +0100"}
        return {"commit": {"commitId": commitId, "message": "Begin\n", "author": person, "committer": person}}


@pytest.fixture
def repository(tmp_path):
    """A real repository, where CodeCommit keeps it."""
    from git import Actor, Repo

    with Repo.init(tmp_path / "repositories" / "atelier.git", bare=False, mkdir=True) as repo:
        (tmp_path / "repositories" / "atelier.git" / "README.md").write_text("hello")
        repo.index.add(["README.md"])
        commit = repo.index.commit("Begin", author=Actor("A", "a@b"), committer=Actor("A", "a@b"))
        fake = FakeRepository()
        fake.commit_id = commit.hexsha
    return fake


@pytest.fixture
def workshop(tmp_path, repository):
    workshop = Workshop(tmp_path, repository)
    yield workshop
    workshop.builds.release.set()
    workshop.stop()


def succeed(workshop, **variables):
    def function(job):
        workshop.call("PutJobSuccessResult", jobId=job["id"], outputVariables=variables)

    return function


BUILD, TRAIN = ("Build", build_action()), ("Train", function_action())
APPROVE = ("Approve", approval_action())


# whole runs


def test_a_run_passes_all_stages_and_hands_on_artifacts_and_variables(workshop, repository):
    workshop.builds.ending["exportedEnvironmentVariables"] = [{"name": "DIGEST", "value": "sha256:1"}]
    workshop.functions.functions["train"] = succeed(workshop, perplexity="99")
    run = workshop.create(BUILD, ("Deploy", stack_action(OutputFileName="out.json")), TRAIN)

    assert "Succeeded" == workshop.ended(run)
    (request,) = workshop.builds.requests
    assert [{"name": "COMMIT", "value": repository.commit_id, "type": "PLAINTEXT"}] == request[
        "environmentVariablesOverride"
    ]
    bucket, key = request["sourceLocationOverride"].split("/", 1)
    assert {"README.md": b"hello"} == workshop.s3.files(bucket, key)
    assert "training/Code/" == key[:-11]
    actions = workshop.actions(run)
    assert {"perplexity": "99"} == actions["Train"]["output"]["outputVariables"]
    assert "sha256:1" == actions["Train"]["input"]["resolvedConfiguration"]["UserParameters"]
    assert "#{Build.DIGEST}" == actions["Train"]["input"]["configuration"]["UserParameters"]
    assert {"Arn": "arn:flow"} == actions["Flow"]["output"]["outputVariables"]
    revisions = workshop.execution(run)["artifactRevisions"]
    assert [(repository.commit_id, "Begin")] == [(e["revisionId"], e["revisionSummary"]) for e in revisions]


def test_a_source_action_has_the_commit_as_variables(workshop, repository):
    run = workshop.create(BUILD)

    workshop.ended(run)
    assert {
        "AuthorDate": "2026-01-01T00:00:00Z",
        "BranchName": "main",
        "CommitId": repository.commit_id,
        "CommitMessage": "Begin",
        "CommitterDate": "2026-01-01T00:00:00Z",
        "RepositoryName": "atelier",
    } == workshop.actions(run)["Code"]["output"]["outputVariables"]


def test_a_run_tells_eventbridge_of_every_change_in_order(workshop):
    run = workshop.create(BUILD)

    workshop.ended(run)
    stage = [("Stage", "STARTED"), ("Action", "STARTED"), ("Action", "SUCCEEDED"), ("Stage", "SUCCEEDED")]
    expected = [("Pipeline", "STARTED"), *stage, *stage, ("Pipeline", "SUCCEEDED")]
    until(lambda: len(workshop.told()) == len(expected))
    assert expected == workshop.told()


def test_an_unknown_variable_fails_its_action_by_name(workshop):
    run = workshop.create(BUILD, TRAIN)

    assert "Failed" == workshop.ended(run)
    expected = "The variable #{Build.DIGEST} does not exist: no action has set it"
    assert {"code": "ConfigurationError", "message": expected} == workshop.failure(run, "Train")


def test_a_failed_build_names_its_command(workshop):
    phases = [
        {"phaseType": "INSTALL", "phaseStatus": "SUCCEEDED"},
        {"phaseType": "BUILD", "phaseStatus": "FAILED", "contexts": [{"message": "make image: exit 2"}]},
    ]
    workshop.builds.ending = {"buildStatus": "FAILED", "phases": phases}
    run = workshop.create(BUILD)

    assert "Failed" == workshop.ended(run)
    assert {"code": "JobFailed", "message": "BUILD: make image: exit 2"} == workshop.failure(run, "Image")
    result = workshop.actions(run)["Image"]["output"]["executionResult"]
    assert ("image:1", "http://log") == (result["externalExecutionId"], result["externalExecutionUrl"])


def test_a_role_that_may_not_is_named(workshop):
    class Denying(FakeClient):
        def start_build(self, **_request):
            raise error(
                "AccessDeniedException", "not authorized to perform: codebuild:StartBuild", "StartBuild"
            )

    workshop.clients["codebuild"] = Denying()
    run = workshop.create(BUILD)

    assert "Failed" == workshop.ended(run)
    failure = workshop.failure(run, "Image")
    assert "PermissionError" == failure["code"]
    assert "codebuild:StartBuild" in failure["message"]
    assert ROLE in failure["message"]


def test_a_role_that_may_not_read_the_code_is_named(tmp_path, repository):
    workshop = Workshop(tmp_path, repository, FakeIdentity(denied={"codecommit:UploadArchive"}))
    run = workshop.create(BUILD)

    assert "Failed" == workshop.ended(run)
    assert "codecommit:UploadArchive" in workshop.failure(run, "Code")["message"]
    workshop.stop()


def test_a_role_that_codepipeline_may_not_assume_makes_no_pipeline(tmp_path, repository):
    class Distrusted(FakeIdentity):
        def assume(self, role_arn, *, service, session):
            raise Refused(f"{service} is not allowed to assume {role_arn}")

    workshop = Workshop(tmp_path, repository, Distrusted())

    with pytest.raises(ServiceError, match=r"codepipeline.amazonaws.com is not allowed to assume"):
        workshop.create(BUILD)
    workshop.stop()


def test_an_unexpected_error_fails_the_action_without_its_text(workshop):
    class Broken(FakeClient):
        def start_build(self, **_request):
            raise RuntimeError("secret detail")

    workshop.clients["codebuild"] = Broken()
    run = workshop.create(BUILD)

    assert "Failed" == workshop.ended(run)
    assert "secret" not in workshop.failure(run, "Image")["message"]


# stacks


def test_a_stack_gets_parameters_from_file_and_overrides(workshop):
    workshop.builds.files = {
        "flow.json": '{"Resources": {}}',
        "parameters.json": '{"Parameters": {"A": "file", "B": "file"}, "Tags": {"owner": "us"}}',
    }
    overrides = {
        "B": "#{Source.BranchName}",
        "Bucket": {"Fn::GetArtifactAtt": ["Built", "BucketName"]},
        "P": {"Fn::GetParam": ["Built", "parameters.json", "Tags"]},
    }
    action = stack_action(
        TemplateConfiguration="Built::parameters.json",
        ParameterOverrides=json.dumps(overrides),
        Capabilities="CAPABILITY_IAM,CAPABILITY_NAMED_IAM",
    )
    run = workshop.create(BUILD, ("Deploy", action))

    assert "Succeeded" == workshop.ended(run)
    (request,) = workshop.stacks.requests
    given = {each["ParameterKey"]: each["ParameterValue"] for each in request["Parameters"]}
    assert ("file", "main", "artifacts") == (given["A"], given["B"], given["Bucket"])
    assert '{"Resources": {}}' == request["TemplateBody"]
    assert ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"] == request["Capabilities"]
    assert [{"Key": "owner", "Value": "us"}] == request["Tags"]
    assert STACK_ROLE == request["RoleARN"]


def test_a_stack_without_changes_is_a_success(workshop):
    workshop.stacks.status, workshop.stacks.no_change = "UPDATE_COMPLETE", True
    run = workshop.create(BUILD, ("Deploy", stack_action()))

    assert "Succeeded" == workshop.ended(run)
    assert {"Arn": "arn:flow"} == workshop.actions(run)["Flow"]["output"]["outputVariables"]


def test_a_stack_that_rolls_back_tells_its_first_cause(workshop):
    def event(name, reason):
        return {
            "ResourceStatus": "CREATE_FAILED",
            "LogicalResourceId": name,
            "ResourceType": "AWS::S3::Bucket",
            "ResourceStatusReason": reason,
        }

    workshop.stacks.ending = "ROLLBACK_COMPLETE"
    workshop.stacks.events = [  # newest first
        event("Second", "also broken"),
        event("First", "name is taken"),
        event("Third", "Resource creation cancelled"),
    ]
    run = workshop.create(BUILD, ("Deploy", stack_action()))

    assert "Failed" == workshop.ended(run)
    failure = workshop.failure(run, "Flow")
    assert "CREATE_FAILED First (AWS::S3::Bucket): name is taken" == failure["message"]


def test_a_failed_stack_is_replaced_when_the_mode_says_so(workshop):
    workshop.stacks.status = "ROLLBACK_COMPLETE"
    run = workshop.create(BUILD, ("Deploy", stack_action(ActionMode="REPLACE_ON_FAILURE")))

    assert "Succeeded" == workshop.ended(run)
    assert ["delete", "create"] == [each["operation"] for each in workshop.stacks.requests]


def test_a_stack_that_is_not_there_is_deleted_already(workshop):
    run = workshop.create(BUILD, ("Deploy", stack_action(ActionMode="DELETE_ONLY")))

    assert "Succeeded" == workshop.ended(run)
    assert [] == workshop.stacks.requests


def test_a_template_that_is_not_in_the_artifact_is_named(workshop):
    run = workshop.create(BUILD, ("Deploy", stack_action(TemplatePath="Built::gone.json")))

    assert "Failed" == workshop.ended(run)
    assert "File [gone.json] does not exist in artifact [Built]" == workshop.failure(run, "Flow")["message"]


# functions


PLAIN = ("Train", function_action(parameters="7"))


def test_a_function_gets_its_job_as_aws_documents_it(workshop):
    workshop.functions.functions["train"] = succeed(workshop)
    action = function_action(
        parameters="7", inputArtifacts=[{"name": "Code"}], outputArtifacts=[{"name": "Out"}]
    )
    run = workshop.create(("Train", action))

    workshop.ended(run)
    (job,) = workshop.functions.events
    assert {"id", "accountId", "data"} == job.keys()
    assert {"configuration": {"FunctionName": "train", "UserParameters": "7"}} == job["data"][
        "actionConfiguration"
    ]
    (given,) = job["data"]["inputArtifacts"]
    assert ("Code", "S3", "artifacts") == (
        given["name"],
        given["location"]["type"],
        given["location"]["s3Location"]["bucketName"],
    )
    assert ["Out"] == [each["name"] for each in job["data"]["outputArtifacts"]]
    assert {"accessKeyId", "secretAccessKey", "sessionToken"} == job["data"]["artifactCredentials"].keys()
    assert "continuationToken" not in job["data"]


def test_a_continuation_token_calls_the_function_again_with_a_new_job(workshop):
    def function(job):
        token = job["data"].get("continuationToken")
        more = {"outputVariables": {"done": "yes"}} if token == "2" else {}
        if token != "2":
            more = {
                "continuationToken": "2" if token else "1",
                "executionDetails": {"summary": f"at {token}"},
            }
        workshop.call("PutJobSuccessResult", jobId=job["id"], **more)

    workshop.functions.functions["train"] = function
    run = workshop.create(PLAIN)

    assert "Succeeded" == workshop.ended(run)
    tokens = [job["data"].get("continuationToken") for job in workshop.functions.events]
    assert [None, "1", "2"] == tokens
    assert 3 == len({job["id"] for job in workshop.functions.events})
    assert {"done": "yes"} == workshop.actions(run)["Train"]["output"]["outputVariables"]


def test_a_function_reports_failure_in_its_own_words(workshop):
    def function(job):
        details = {"type": "JobFailed", "message": "the data is empty", "externalExecutionId": "flow-1"}
        workshop.call("PutJobFailureResult", jobId=job["id"], failureDetails=details)

    workshop.functions.functions["train"] = function
    run = workshop.create(PLAIN)

    assert "Failed" == workshop.ended(run)
    assert {"code": "JobFailed", "message": "the data is empty"} == workshop.failure(run, "Train")


def test_a_function_that_fails_without_a_report_fails_its_action(workshop):
    workshop.functions.functions["train"] = lambda job: {"errorType": "KeyError", "errorMessage": "'epochs'"}
    run = workshop.create(PLAIN)

    assert "Failed" == workshop.ended(run)
    assert "KeyError: 'epochs'" == workshop.failure(run, "Train")["message"]


def test_an_error_after_the_report_changes_nothing(workshop):
    def function(job):
        workshop.call("PutJobSuccessResult", jobId=job["id"])
        return {"errorType": "KeyError", "errorMessage": "too late"}

    workshop.functions.functions["train"] = function

    assert "Succeeded" == workshop.ended(workshop.create(PLAIN))


def test_a_function_that_is_gone_is_named(workshop):
    run = workshop.create(PLAIN)

    assert "Failed" == workshop.ended(run)
    assert "Function not found: train" in workshop.failure(run, "Train")["message"]


def test_a_job_is_reported_once(workshop):
    errors = []

    def function(job):
        workshop.call("PutJobSuccessResult", jobId=job["id"])
        for operation, more in (
            ("PutJobSuccessResult", {}),
            ("PutJobFailureResult", {"failureDetails": {"type": "JobFailed", "message": "no"}}),
        ):
            with pytest.raises(ServiceError) as caught:
                workshop.call(operation, jobId=job["id"], **more)
            errors.append(caught.value.code)

    workshop.functions.functions["train"] = function

    assert "Succeeded" == workshop.ended(workshop.create(PLAIN))
    until(lambda: len(errors) == 2)
    assert ["InvalidJobStateException"] * 2 == errors


def test_a_job_that_asked_to_be_called_again_is_over(workshop):
    seen = []

    def function(job):
        if seen:
            with pytest.raises(ServiceError, match="is not in progress"):
                workshop.call("PutJobSuccessResult", jobId=seen[0])
            workshop.call("PutJobSuccessResult", jobId=job["id"])
        else:
            seen.append(job["id"])
            workshop.call("PutJobSuccessResult", jobId=job["id"], continuationToken="again")

    workshop.functions.functions["train"] = function

    assert "Succeeded" == workshop.ended(workshop.create(PLAIN))


def test_a_job_may_be_reported_after_its_function_has_ended(workshop):
    workshop.functions.functions["train"] = lambda job: None
    run = workshop.create(PLAIN)
    until(lambda: workshop.functions.events)
    (job,) = workshop.functions.events

    details = workshop.call("GetJobDetails", jobId=job["id"])["jobDetails"]
    assert ("training", "Train", run) == (
        details["data"]["pipelineContext"]["pipelineName"],
        details["data"]["pipelineContext"]["stage"]["name"],
        details["data"]["pipelineContext"]["pipelineExecutionId"],
    )
    workshop.call("PutJobSuccessResult", jobId=job["id"])
    assert "Succeeded" == workshop.ended(run)


def test_a_function_that_never_reports_times_out(workshop):
    workshop.functions.functions["train"] = lambda job: None
    run = workshop.create(PLAIN)
    until(lambda: workshop.functions.events)

    workshop.forward(hours=25)

    assert "Failed" == workshop.ended(run)
    assert "Timeout" == workshop.failure(run, "Train")["code"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"jobId": "00000000-0000-0000-0000-000000000000"}, "JobNotFoundException"),
        ({"jobId": "seven"}, "ValidationException"),
        (
            {
                "jobId": "00000000-0000-0000-0000-000000000000",
                "currentRevision": {"revision": "1", "changeIdentifier": "1"},
            },
            "ValidationException",
        ),
        (
            {"jobId": "00000000-0000-0000-0000-000000000000", "outputVariables": {"a": "x" * 122_880}},
            "OutputVariablesSizeExceededException",
        ),
    ],
)
def test_a_report_that_is_not_valid_is_refused(workshop, request_, code):
    with pytest.raises(ServiceError) as caught:
        workshop.call("PutJobSuccessResult", **request_)
    assert code == caught.value.code


# approvals


def test_an_approval_holds_its_stage_until_a_person_decides(workshop):
    run = workshop.create(APPROVE)
    token = workshop.token()

    assert "InProgress" == workshop.status(run)
    workshop.decide(token, summary="looks good")

    assert "Succeeded" == workshop.ended(run)
    action = workshop.actions(run)["Approve"]
    assert "arn:aws:iam::000000000000:user/tester" == action["updatedBy"]
    assert "looks good" == action["output"]["executionResult"]["externalExecutionSummary"]
    (latest,) = workshop.stage("Approve")["actionStates"]
    assert "token" not in latest["latestExecution"]


def test_a_rejection_fails_the_run_with_its_summary(workshop):
    run = workshop.create(APPROVE)

    workshop.decide(workshop.token(), "Rejected", "perplexity is worse")

    assert "Failed" == workshop.ended(run)
    assert "perplexity is worse" in workshop.failure(run, "Approve")["message"]
    until(lambda: ("Pipeline", "FAILED") in workshop.told())
    failed = [e["detail"] for e in workshop.cloud.events.published if e["detail"]["state"] == "FAILED"]
    assert "Approval" == failed[0]["type"]["category"]
    assert "perplexity is worse" in failed[0]["execution-result"]["external-execution-summary"]


def test_an_approval_tells_its_topic(workshop):
    topic = "arn:aws:sns:us-east-1:000000000000:approvals"
    action = approval_action(
        NotificationArn=topic, CustomData="commit #{Source.CommitId}", ExternalEntityLink="http://x"
    )
    workshop.create(("Approve", action))
    token = workshop.token()

    (message,) = until(lambda: workshop.topic.messages)
    approval = json.loads(message["Message"])["approval"]
    assert (topic, token) == (message["TopicArn"], approval["token"])
    assert approval["customData"].startswith("commit ")
    assert "#{" not in approval["customData"]


def test_an_approval_expires(workshop):
    run = workshop.create(("Approve", {**approval_action(), "timeoutInMinutes": 10}))
    token = workshop.token()

    workshop.forward(minutes=11)

    assert "Failed" == workshop.ended(run)
    assert "expired" in workshop.failure(run, "Approve")["message"]
    with pytest.raises(ServiceError) as caught:
        workshop.decide(token)
    assert "ApprovalAlreadyCompletedException" == caught.value.code


def test_of_many_who_decide_at_once_one_wins(workshop):
    run = workshop.create(APPROVE)
    token = workshop.token()
    results, gate = [], threading.Barrier(6)

    def decide(status):
        gate.wait()
        try:
            workshop.decide(token, status, status)
            results.append(status)
        except ServiceError as caught:
            results.append(caught.code)

    threads = [threading.Thread(target=decide, args=(each,)) for each in ("Approved", "Rejected") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 5 == results.count("ApprovalAlreadyCompletedException")
    won = next(each for each in results if each in {"Approved", "Rejected"})
    assert {"Approved": "Succeeded", "Rejected": "Failed"}[won] == workshop.ended(run)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"token": "00000000-0000-0000-0000-000000000000"}, "InvalidApprovalTokenException"),
        ({"stageName": "Nowhere"}, "StageNotFoundException"),
        ({"actionName": "Nobody"}, "ActionNotFoundException"),
        ({"pipelineName": "nothing"}, "PipelineNotFoundException"),
        ({"result": {"status": "Maybe", "summary": ""}}, "ValidationException"),
        ({"result": {"status": "Approved", "summary": "x" * 513}}, "ValidationException"),
    ],
)
def test_a_decision_on_something_else_is_refused(workshop, changes, code):
    workshop.create(APPROVE)
    request = {
        "pipelineName": "training",
        "stageName": "Approve",
        "actionName": "Approve",
        "token": workshop.token(),
        "result": {"status": "Approved", "summary": ""},
    }

    with pytest.raises(ServiceError) as caught:
        workshop.call("PutApprovalResult", **{**request, **changes})
    assert code == caught.value.code


# many runs


def test_newer_runs_supersede_older_ones_that_wait(workshop):
    first = workshop.create(APPROVE)
    token = workshop.token()
    second, third, fourth = workshop.run(), workshop.run(), workshop.run()

    until(lambda: workshop.stage("Approve").get("inboundExecution", {}).get("pipelineExecutionId") == fourth)
    assert ["Superseded", "Superseded"] == [workshop.ended(second), workshop.ended(third)]
    assert ["InProgress", "InProgress"] == [workshop.status(first), workshop.status(fourth)]

    workshop.decide(token)
    workshop.decide(workshop.token(run=fourth))
    assert ["Succeeded", "Succeeded"] == [workshop.ended(first), workshop.ended(fourth)]
    assert 2 == workshop.told("Pipeline Execution").count(("Pipeline", "SUPERSEDED"))


def test_the_same_token_starts_one_run(workshop):
    workshop.create(APPROVE)

    assert workshop.run(clientRequestToken="once") == workshop.run(clientRequestToken="once")
    assert workshop.run(clientRequestToken="twice") != workshop.run(clientRequestToken="once")


def test_many_starts_at_once_leave_one_run_per_stage(workshop):
    workshop.create(APPROVE)
    workshop.token()
    threads = [threading.Thread(target=workshop.run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def statuses():
        runs = workshop.call("ListPipelineExecutions", pipelineName="training")["pipelineExecutionSummaries"]
        return sorted(run["status"] for run in runs)

    until(lambda: statuses() == ["InProgress"] * 2 + ["Superseded"] * 7)


def test_variables_have_defaults_and_values_of_a_start(workshop):
    action = function_action(
        parameters="#{variables.DATA}/#{variables.SIZE}/#{codepipeline.PipelineExecutionId}"
    )
    workshop.functions.functions["train"] = succeed(workshop)
    declared = [{"name": "DATA", "defaultValue": "latest"}, {"name": "SIZE", "defaultValue": "small"}]
    workshop.ended(workshop.create(("Train", action), variables=declared))

    run = workshop.run(variables=[{"name": "DATA", "value": "v7"}])

    workshop.ended(run)
    resolved = workshop.actions(run)["Train"]["input"]["resolvedConfiguration"]["UserParameters"]
    assert f"v7/small/{run}" == resolved
    variables = workshop.execution(run)["variables"]
    assert {"DATA": "v7", "SIZE": "small"} == {each["name"]: each["resolvedValue"] for each in variables}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"variables": [{"name": "COLOUR", "value": "red"}]}, "declares no variable COLOUR"),
        ({}, "The variable DATA has no default and no value"),
        (
            {
                "variables": [{"name": "DATA", "value": "1"}],
                "sourceRevisions": [
                    {"actionName": "Nobody", "revisionType": "COMMIT_ID", "revisionValue": COMMIT}
                ],
            },
            "no source action Nobody",
        ),
        (
            {
                "variables": [{"name": "DATA", "value": "1"}],
                "sourceRevisions": [
                    {"actionName": "Code", "revisionType": "IMAGE_DIGEST", "revisionValue": COMMIT}
                ],
            },
            "revisionType IMAGE_DIGEST",
        ),
    ],
)
def test_a_start_that_does_not_fit_is_refused(workshop, given, message):
    workshop.call("CreatePipeline", pipeline=declaration(APPROVE, variables=[{"name": "DATA"}]))

    with pytest.raises(ServiceError, match=message):
        workshop.run(**given)


def test_stopping_waits_for_the_running_action(workshop):
    workshop.builds.release.clear()
    run = workshop.create(BUILD, APPROVE)
    until(lambda: workshop.builds.requests)

    workshop.call("StopPipelineExecution", pipelineName="training", pipelineExecutionId=run, reason="enough")
    assert "Stopping" == workshop.status(run)
    with pytest.raises(ServiceError, match="stopping already"):
        workshop.call("StopPipelineExecution", pipelineName="training", pipelineExecutionId=run)
    workshop.builds.release.set()

    assert "Stopped" == workshop.ended(run)
    assert "Succeeded" == workshop.actions(run)["Image"]["status"]


def test_abandoning_ends_a_run_at_once_and_a_late_report_is_refused(workshop):
    workshop.functions.functions["train"] = lambda job: None
    run = workshop.create(PLAIN)
    until(lambda: workshop.functions.events)

    workshop.call("StopPipelineExecution", pipelineName="training", pipelineExecutionId=run, abandon=True)

    assert "Stopped" == workshop.status(run)
    assert "Abandoned" == workshop.actions(run)["Train"]["status"]
    with pytest.raises(ServiceError, match="is not in progress"):
        workshop.call("PutJobSuccessResult", jobId=workshop.functions.events[0]["id"])
    with pytest.raises(ServiceError, match="is Stopped"):
        workshop.call("StopPipelineExecution", pipelineName="training", pipelineExecutionId=run)


def retry(workshop, run, stage="Train", mode="FAILED_ACTIONS"):
    workshop.call(
        "RetryStageExecution",
        pipelineName="training",
        pipelineExecutionId=run,
        stageName=stage,
        retryMode=mode,
    )


def test_a_failed_stage_can_be_retried_to_success(workshop):
    workshop.functions.functions["register"] = succeed(workshop)
    both = ("Train", function_action(parameters="7"), function_action("Register", "8"))
    run = workshop.create(both)
    assert "Failed" == workshop.ended(run)

    workshop.functions.functions["train"] = succeed(workshop)
    retry(workshop, run)

    assert "Succeeded" == workshop.ended(run)
    called = [job["data"]["actionConfiguration"]["configuration"] for job in workshop.functions.events]
    assert ["register", "train"] == [each["FunctionName"] for each in called]
    until(lambda: ("Pipeline", "SUCCEEDED") in workshop.told())
    assert ("Stage", "RESUMED") in workshop.told()


def test_only_the_latest_run_of_a_failed_stage_can_be_retried(workshop):
    first = workshop.create(PLAIN)
    workshop.ended(first)
    second = workshop.run()
    workshop.ended(second)

    with pytest.raises(ServiceError) as caught:
        retry(workshop, first)
    assert "NotLatestPipelineExecutionException" == caught.value.code
    with pytest.raises(ServiceError, match="contains no failed actions"):
        retry(workshop, second, stage="Source")
    with pytest.raises(ServiceError, match="has no stage Nowhere"):
        retry(workshop, second, stage="Nowhere")


def test_a_changed_pipeline_cancels_its_runs_and_refuses_their_retry(workshop):
    failed = workshop.create(PLAIN)
    workshop.ended(failed)
    workshop.functions.functions["train"] = lambda job: None
    running = workshop.run()
    until(lambda: workshop.functions.events)

    answer = workshop.call("UpdatePipeline", pipeline=declaration(PLAIN, APPROVE))

    assert 2 == answer["pipeline"]["version"]
    assert "Cancelled" == workshop.status(running)
    with pytest.raises(ServiceError, match="structure has changed"):
        retry(workshop, failed)


def test_a_closed_transition_keeps_runs_out_until_it_is_opened(workshop):
    workshop.builds.release.clear()
    run = workshop.create(BUILD, APPROVE)
    door = {"pipelineName": "training", "stageName": "Approve", "transitionType": "Inbound"}
    workshop.call("DisableStageTransition", **door, reason="freeze")
    workshop.builds.release.set()

    until(lambda: "inboundExecution" in workshop.stage("Approve"))
    state = workshop.stage("Approve")["inboundTransitionState"]
    assert (False, "freeze") == (state["enabled"], state["disabledReason"])
    workshop.call("EnableStageTransition", **door)
    workshop.decide(workshop.token(run=run))
    assert "Succeeded" == workshop.ended(run)


# restarts


def test_a_build_goes_on_after_a_restart_and_is_not_started_twice(workshop):
    workshop.builds.release.clear()
    run = workshop.create(BUILD)
    until(lambda: workshop.builds.requests)

    workshop.restart()
    workshop.restart()
    workshop.builds.release.set()

    assert "Succeeded" == workshop.ended(run)
    assert 1 == len(workshop.builds.requests)


def test_a_stack_operation_is_found_again_after_a_restart(workshop):
    workshop.stacks.slow = True
    run = workshop.create(BUILD, ("Deploy", stack_action()))
    until(lambda: workshop.stacks.requests)

    workshop.restart()
    workshop.stacks.slow = False

    assert "Succeeded" == workshop.ended(run)
    assert 1 == len(workshop.stacks.requests)


def test_a_stack_operation_that_a_kill_made_undone_is_done_again(workshop):
    workshop.stacks.slow = True
    run = workshop.create(BUILD, ("Deploy", stack_action()))
    until(lambda: workshop.stacks.requests)
    workshop.stop()
    workshop.stacks.status, workshop.stacks.slow = None, False
    workshop.stacks.events.clear()

    workshop.start()

    assert "Succeeded" == workshop.ended(run)
    assert ["create", "create"] == [each["operation"] for each in workshop.stacks.requests]


def test_an_approval_token_is_good_after_a_restart(workshop):
    run = workshop.create(APPROVE)
    token = workshop.token()

    workshop.restart()

    assert token == workshop.token()
    workshop.decide(token)
    assert "Succeeded" == workshop.ended(run)


def test_a_function_that_waits_for_its_next_call_is_called_after_a_restart(workshop):
    workshop.functions.functions["train"] = lambda job: None
    run = workshop.create(PLAIN)
    until(lambda: workshop.functions.events)
    engine = engine_of(workshop.cloud)
    until(lambda: any(a.memory.get("phase") == "wait" for a in engine.history.get(run).actions))

    workshop.restart()
    (job,) = workshop.functions.events
    workshop.functions.functions["train"] = succeed(workshop, done="yes")
    workshop.call("PutJobSuccessResult", jobId=job["id"], continuationToken="again")

    assert "Succeeded" == workshop.ended(run)
    assert [None, "again"] == [job["data"].get("continuationToken") for job in workshop.functions.events]


def test_a_waiting_run_is_not_lost_by_a_restart(workshop):
    first = workshop.create(APPROVE)
    token = workshop.token()
    second = workshop.run()
    until(lambda: "inboundExecution" in workshop.stage("Approve"))

    workshop.restart()
    workshop.decide(token)

    assert "Succeeded" == workshop.ended(first)
    workshop.decide(workshop.token(run=second))
    assert "Succeeded" == workshop.ended(second)


def test_events_are_not_repeated_by_a_restart(workshop):
    run = workshop.create(BUILD)
    workshop.ended(run)
    until(lambda: len(workshop.told()) == 10)
    until(lambda: not engine_of(workshop.cloud).history.get(run).events)

    workshop.restart()

    assert [] == workshop.told()


# pipelines and rules


def test_a_pipeline_is_shown_listed_tagged_and_deleted(workshop):
    workshop.create(APPROVE)
    arn = "arn:aws:codepipeline:us-east-1:000000000000:training"

    shown = workshop.call("GetPipeline", name="training")
    assert (1, arn) == (shown["pipeline"]["version"], shown["metadata"]["pipelineArn"])
    assert ["training"] == [each["name"] for each in workshop.call("ListPipelines")["pipelines"]]
    workshop.call(
        "TagResource", resourceArn=arn, tags=[{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
    )
    workshop.call("UntagResource", resourceArn=arn, tagKeys=["a"])
    assert [{"key": "b", "value": "2"}] == workshop.call("ListTagsForResource", resourceArn=arn)["tags"]
    workshop.call("DeletePipeline", name="training")
    workshop.call("DeletePipeline", name="training")
    with pytest.raises(ServiceError, match="does not have a pipeline with the name 'training'"):
        workshop.call("GetPipeline", name="training")


def test_a_name_is_used_once(workshop):
    workshop.create(APPROVE)

    with pytest.raises(ServiceError) as caught:
        workshop.create(APPROVE)
    assert "PipelineNameInUseException" == caught.value.code


def test_a_pipeline_that_is_deleted_while_it_runs_leaves_nothing(workshop):
    workshop.builds.release.clear()
    workshop.create(BUILD)
    until(lambda: workshop.builds.requests)

    workshop.call("DeletePipeline", name="training")
    workshop.builds.release.set()
    run = workshop.create(APPROVE)

    workshop.decide(workshop.token())
    assert "Succeeded" == workshop.ended(run)
    assert 1 == len(
        workshop.call("ListPipelineExecutions", pipelineName="training")["pipelineExecutionSummaries"]
    )


def test_lists_come_in_pages(workshop):
    workshop.create(APPROVE)
    for _ in range(4):
        workshop.run()

    first = workshop.call("ListPipelineExecutions", pipelineName="training", maxResults=3)
    second = workshop.call(
        "ListPipelineExecutions", pipelineName="training", maxResults=3, nextToken=first["nextToken"]
    )

    assert (3, 2) == tuple(len(each["pipelineExecutionSummaries"]) for each in (first, second))
    assert "nextToken" not in second
    with pytest.raises(ServiceError, match="no token of this list"):
        workshop.call("ListPipelineExecutions", pipelineName="training", nextToken="x")


PIPELINE_ARN = "arn:aws:codepipeline:us-east-1:000000000000:training"


def test_a_rule_starts_its_pipeline_once_per_event(workshop):
    workshop.create(APPROVE)
    event = {"id": "e1", "detail-type": "CodeCommit Repository State Change"}

    start_by_event(workshop.cloud, PIPELINE_ARN, {"Id": "t"}, event)
    start_by_event(workshop.cloud, PIPELINE_ARN, {"Id": "t"}, event)

    runs = workshop.call("ListPipelineExecutions", pipelineName="training")["pipelineExecutionSummaries"]
    assert ["CloudWatchEvent", "CreatePipeline"] == [run["trigger"]["triggerType"] for run in runs]


def test_a_rule_may_give_variables_and_revisions(workshop, repository):
    workshop.create(APPROVE, variables=[{"name": "DATA", "defaultValue": "latest"}])
    revision = {"actionName": "Code", "revisionType": "COMMIT_ID", "revisionValue": repository.commit_id}
    given = {"variables": [{"name": "DATA", "value": "v9"}], "sourceRevisions": [revision]}

    start_by_event(workshop.cloud, PIPELINE_ARN, {"Id": "t", "Input": json.dumps(given)}, {"id": "e"})

    runs = workshop.call("ListPipelineExecutions", pipelineName="training")["pipelineExecutionSummaries"]
    variables = workshop.execution(runs[0]["pipelineExecutionId"])["variables"]
    assert [{"name": "DATA", "resolvedValue": "v9"}] == variables


def test_a_rule_that_transforms_its_input_is_refused(workshop):
    workshop.create(APPROVE)

    with pytest.raises(Refused, match="InputTransformer"):
        start_by_event(
            workshop.cloud, PIPELINE_ARN, {"Id": "t", "InputTransformer": {"InputTemplate": "x"}}, {}
        )


# CloudFormation

(RESOURCE,) = PLUGIN.resources


def properties(**changes):
    def capital(value):
        if isinstance(value, dict):
            return {key[0].upper() + key[1:]: capital(each) for key, each in value.items()}
        return [capital(each) for each in value] if isinstance(value, list) else value

    whole = capital(declaration(APPROVE))
    source = whole["Stages"][0]["Actions"][0]
    source["Configuration"]["PollForSourceChanges"] = False
    source["RunOrder"] = "1"
    return {**whole, **changes}


def request(**changes):
    return Request(stack="s", logical_id="Pipeline", name="s-Pipeline-1", properties=properties(**changes))


def test_a_template_makes_changes_and_deletes_a_pipeline(workshop):
    made = RESOURCE.create(workshop.cloud, request(Tags=[{"Key": "a", "Value": "1"}]))
    assert ("training", {"Version": "1"}) == (made.ref, made.attributes)
    runs = workshop.call("ListPipelineExecutions", pipelineName="training")["pipelineExecutionSummaries"]
    assert ["CreatePipeline"] == [run["trigger"]["triggerType"] for run in runs]
    assert [{"key": "a", "value": "1"}] == workshop.call("ListTagsForResource", resourceArn=PIPELINE_ARN)[
        "tags"
    ]

    updated = RESOURCE.update(workshop.cloud, "training", request(RestartExecutionOnUpdate="true"))
    assert ("training", {"Version": "2"}) == (updated.ref, updated.attributes)
    runs = workshop.call("ListPipelineExecutions", pipelineName="training")["pipelineExecutionSummaries"]
    assert ["StartPipelineExecution", "CreatePipeline"] == [run["trigger"]["triggerType"] for run in runs]

    RESOURCE.delete(workshop.cloud, "training", {})
    assert [] == workshop.call("ListPipelines")["pipelines"]


def test_a_new_name_is_a_new_pipeline(workshop):
    RESOURCE.create(workshop.cloud, request())

    assert "other" == RESOURCE.update(workshop.cloud, "training", request(Name="other")).ref
    assert 2 == len(workshop.call("ListPipelines")["pipelines"])


def test_a_pipeline_without_a_name_gets_one(workshop):
    given = {key: value for key, value in properties().items() if key != "Name"}

    made = RESOURCE.create(workshop.cloud, Request(stack="s", logical_id="P", name="s-P-1", properties=given))

    assert "s-P-1" == made.ref


def test_a_caller_needs_permission_on_the_very_stage_and_action(tmp_path, repository):
    identity = FakeIdentity()
    workshop = Workshop(tmp_path, repository, identity)
    workshop.create(APPROVE)
    workshop.decide(workshop.token())

    assert ("codepipeline:PutApprovalResult", f"{PIPELINE_ARN}/Approve/Approve") in identity.asked
    assert Caller("arn:aws:iam::000000000000:user/tester") == identity.caller()
    workshop.stop()
