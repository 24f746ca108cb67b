"""What the functions around the WebUI's pipeline know of AWS: how it says things, and how it fails."""

import json
from collections.abc import Iterator
from contextlib import closing

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import ANY, Stubber
from inference_fakes import KEYS
from moto import mock_aws
from tables import create
from webui_fakes import HEAD, LATER, NOW, OURS, FakeHistory, image

from atelier.contract.tables import WEBUI_HISTORY
from atelier.contract.webui import DECLARATION, Push
from atelier.lambdas.adapters.image_runs import ImageExecutions, ImagePipeline
from atelier.lambdas.adapters.latest import SsmLatest
from atelier.lambdas.adapters.people import SnsPeople
from atelier.lambdas.adapters.sources import CodeCommitDeclarations, CodeCommitDifferences
from atelier.lambdas.adapters.webui_history import DynamoHistory
from atelier.lambdas.domain.webui import Commit, Run, Watch
from atelier.lambdas.errors import Busy, Conflict, Invalid, NotFound

RUN = "1a2b3c4d-0000-4000-8000-000000000000"
ONCE = Config(retries={"max_attempts": 0})
THROTTLED = {"service_error_code": "ThrottlingException", "http_status_code": 400}


@pytest.fixture(params=["table", "fake"])
def history(request) -> Iterator:
    if request.param == "fake":
        yield FakeHistory()
        return
    with mock_aws(), closing(boto3.client("dynamodb", **KEYS)) as dynamodb:
        create(dynamodb, "history", WEBUI_HISTORY)
        yield DynamoHistory(dynamodb, "history")


def test_what_is_remembered_comes_back_as_it_was(history):
    run = Run(
        run=RUN,
        status="published",
        started=NOW,
        ended=LATER,
        trigger="push",
        upstream=HEAD,
        source=OURS,
        image=image(),
        size_bytes=5_000_000_000,
        startup_seconds=12.25,
        reason="ä",
    )
    commit = Commit(id=HEAD, status="failed", starts=2, failures=1, begun=NOW, run=RUN, again=LATER)
    watch = Watch(head=HEAD, looked=NOW, trouble="no route", since=NOW, later=LATER)

    assert history.save_run(run) == history.run(RUN)
    assert history.save_commit(commit) == history.commit(HEAD)
    assert history.save_watch(watch) == history.watch()
    assert (12.25, 1) == (history.run(RUN).startup_seconds, history.run(RUN).revision)


def test_what_was_never_heard_of_is_not_there(history):
    assert (None, None, Watch()) == (history.run(RUN), history.commit(HEAD), history.watch())


def test_of_two_who_read_the_same_one_writes(history):
    history.save_commit(Commit(id=HEAD, status="starting"))
    read = history.commit(HEAD)
    history.save_commit(read)

    with pytest.raises(Conflict, match="changed meanwhile"):
        history.save_commit(read)
    with pytest.raises(Conflict, match="changed meanwhile"):
        history.save_commit(Commit(id=HEAD, status="starting"))


def test_what_is_over_is_forgotten(history):
    saved = history.save_watch(Watch(head=HEAD, trouble="no route", since=NOW))
    history.save_watch(Watch(head=HEAD, revision=saved.revision))

    assert (None, None, 2) == ((watch := history.watch()).trouble, watch.since, watch.revision)


def test_the_index_has_the_runs_alone_in_their_order():
    with mock_aws(), closing(boto3.client("dynamodb", **KEYS)) as dynamodb:
        create(dynamodb, "history", WEBUI_HISTORY)
        history = DynamoHistory(dynamodb, "history")
        history.save_watch(Watch(head=HEAD))
        history.save_commit(Commit(id=HEAD, status="started"))
        for run, started in (("2", LATER), ("1", NOW)):
            history.save_run(Run(run=run, status="building", started=started))

        found = dynamodb.query(
            TableName="history",
            IndexName="kind-started-index",
            KeyConditionExpression="kind = :kind",
            ExpressionAttributeValues={":kind": {"S": "run"}},
        )["Items"]

    assert ["run#1", "run#2"] == [each["id"]["S"] for each in found]


@pytest.fixture
def stubbed():
    """Make a client that answers as a test says."""
    made = []

    def make(service):
        client = boto3.client(service, **KEYS)
        stub = Stubber(client)
        stub.activate()
        made.append((client, stub))
        return client, stub

    yield make
    for client, stub in made:
        stub.assert_no_pending_responses()
        client.close()


def test_a_run_is_started_once_for_a_token_with_its_commit(stubbed):
    client, stub = stubbed("codepipeline")
    given = {"name": "p", "clientRequestToken": "t"}
    variables = [{"name": "UPSTREAM_COMMIT", "value": HEAD}]
    stub.add_response(
        "start_pipeline_execution", {"pipelineExecutionId": RUN}, {**given, "variables": variables}
    )
    stub.add_response("start_pipeline_execution", {"pipelineExecutionId": RUN}, given)
    pipeline = ImagePipeline(client, "p")

    assert [RUN, RUN] == [pipeline.start("t", HEAD), pipeline.start("t")]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ThrottlingException", Busy),
        ("ConcurrentPipelineExecutionsLimitExceededException", Busy),
        ("ConflictException", Busy),
        ("PipelineNotFoundException", NotFound),
        ("AccessDeniedException", ClientError),
    ],
)
def test_a_run_that_cannot_be_started_says_whether_later_helps(stubbed, code, error):
    client, stub = stubbed("codepipeline")
    stub.add_client_error("start_pipeline_execution", code)

    with pytest.raises(error):
        ImagePipeline(client, "p").start("t")


def described(status="Failed", **more):
    return {
        "pipelineExecution": {
            "status": status,
            "artifactRevisions": [{"name": "Source", "revisionId": OURS}],
            "variables": [{"name": "UPSTREAM_COMMIT", "resolvedValue": HEAD}],
            **more,
        }
    }


def action(name, status="Succeeded", provider="CodeBuild", message=None, **variables):
    kind = {"category": "Build", "owner": "AWS", "provider": provider, "version": "1"}
    result = {"externalExecutionId": f"{name}:1"} | (
        {"errorDetails": {"message": message}} if message else {}
    )
    return {
        "actionName": name,
        "status": status,
        "input": {"actionTypeId": kind},
        "output": {"outputVariables": variables, "executionResult": result},
    }


@pytest.fixture
def executions(stubbed):
    (pipeline, runs), (builds, built), (logs, logged) = (
        stubbed(each) for each in ("codepipeline", "codebuild", "logs")
    )
    made = ImageExecutions(pipeline, "p", builds, logs)
    made.runs, made.built, made.logged = runs, built, logged
    return made


def told(executions, actions, **more):
    executions.runs.add_response("get_pipeline_execution", described(**more))
    executions.runs.add_response("list_action_executions", {"actionExecutionDetails": actions})


def test_a_run_is_described_with_what_its_build_said_last(executions):
    told(
        executions,
        [
            action("Test", "Failed", message="exit status 1"),
            action("Build", IMAGE_TAG="a-c"),
            action("Source"),
        ],
    )
    log = {"groupName": "g", "streamName": "s"}
    executions.built.add_response("batch_get_builds", {"builds": [{"logs": log}]}, {"ids": ["Test:1"]})
    lines = ["error: the first", "error: it shows no tab\nand more\n", "[Container] exit status 1"]
    executions.logged.add_response("get_log_events", {"events": [{"message": each} for each in lines]})

    found = executions.describe(RUN)

    assert ("Failed", "Test", "Test: it shows no tab", OURS) == (
        found.status,
        found.failed,
        found.reason,
        found.source,
    )
    assert ({"UPSTREAM_COMMIT": HEAD}, "a-c") == (found.variables, found.outputs["Build"]["IMAGE_TAG"])


def test_a_build_that_said_nothing_has_the_pipelines_reason(executions):
    for answer in ({"builds": []}, {"builds": [{"logs": {}}]}):
        told(executions, [action("Build", "Failed", message="it timed out")])
        executions.built.add_response("batch_get_builds", answer)

        assert "Build: it timed out" == executions.describe(RUN).reason


def test_a_log_that_cannot_be_read_hides_no_reason(executions):
    told(executions, [action("Build", "Failed", message="it timed out")])
    executions.built.add_client_error("batch_get_builds", "AccessDeniedException")

    assert "Build: it timed out" == executions.describe(RUN).reason


def test_an_action_that_was_tried_again_counts_as_it_ended(executions):
    told(
        executions,
        [action("Test", "InProgress"), action("Test", "Failed", message="a hiccup")],
        status="InProgress",
    )

    assert (None, "") == ((found := executions.describe(RUN)).failed, found.reason)


def test_what_a_person_said_is_the_reason_of_a_rejection(executions):
    told(executions, [action("Approve", "Failed", "Manual", message="Rejected by ann: too slow")])

    assert "Approve: Rejected by ann: too slow" == executions.describe(RUN).reason


def test_a_pipeline_that_is_too_busy_is_asked_later(executions):
    executions.runs.add_client_error("get_pipeline_execution", **THROTTLED)

    with pytest.raises(Busy):
        executions.describe(RUN)


def test_the_declaration_is_read_from_the_branch(stubbed):
    client, stub = stubbed("codecommit")
    facts = {"commitId": OURS, "blobId": OURS, "filePath": DECLARATION, "fileMode": "NORMAL", "fileSize": 2}
    asked = {"repositoryName": "atelier", "commitSpecifier": "main", "filePath": DECLARATION}
    for content in ("ä=1".encode(), b"\xff"):
        stub.add_response("get_file", {**facts, "fileContent": content}, asked)
    declarations = CodeCommitDeclarations(client, "atelier", "main")

    assert "ä=1" == declarations.text()
    with pytest.raises(Invalid, match="no text in UTF-8"):
        declarations.text()


@pytest.mark.parametrize("code", ["CommitDoesNotExistException", "FileDoesNotExistException"])
def test_before_the_first_push_nothing_is_declared(stubbed, code):
    client, stub = stubbed("codecommit")
    stub.add_client_error("get_file", code)

    assert CodeCommitDeclarations(client, "atelier", "main").text() is None


@pytest.mark.parametrize(("code", "error"), [("ThrottlingException", Busy), ("AccessDenied", ClientError)])
def test_a_source_that_cannot_be_read_says_whether_later_helps(stubbed, code, error):
    client, stub = stubbed("codecommit")
    stub.add_client_error("get_file", code)

    with pytest.raises(error):
        CodeCommitDeclarations(client, "atelier", "main").text()


def blob(path):
    return {"blobId": OURS, "path": path, "mode": "100644"}


def test_the_paths_of_a_push_come_from_every_page_and_from_both_sides(stubbed):
    client, stub = stubbed("codecommit")
    asked = {"repositoryName": "r", "beforeCommitSpecifier": HEAD, "afterCommitSpecifier": OURS}
    first = {"differences": [{"beforeBlob": blob("a"), "changeType": "D"}], "NextToken": "2"}
    second = {"differences": [{"beforeBlob": blob("b"), "afterBlob": blob("b"), "changeType": "M"}]}
    stub.add_response("get_differences", first, asked)
    stub.add_response("get_differences", second, {**asked, "NextToken": "2"})

    found = list(CodeCommitDifferences(client).paths(Push(repository="r", new=OURS, old=HEAD)))

    assert ["a", "b", "b"] == found


def test_a_push_whose_past_is_gone_is_not_found(stubbed):
    client, stub = stubbed("codecommit")
    stub.add_client_error("get_differences", "CommitDoesNotExistException")

    with pytest.raises(NotFound, match="not in r any more"):
        list(CodeCommitDifferences(client).paths(Push(repository="r", new=OURS, old=HEAD)))


def test_parameters_are_set_and_found_again():
    with mock_aws(), closing(boto3.client("ssm", **KEYS)) as ssm:
        latest = SsmLatest(ssm, "/atelier/webui")

        assert latest.get("image") is None
        for value in (image("1"), image("2")):
            latest.put("image", value)
            assert value == latest.get("image")


@pytest.mark.parametrize(("name", "given"), [("get", ["a"]), ("put", ["a", "b"])])
def test_parameters_that_cannot_be_reached_are_asked_for_later(stubbed, name, given):
    client, stub = stubbed("ssm")
    stub.add_client_error(f"{name}_parameter", **THROTTLED)

    with pytest.raises(Busy):
        getattr(SsmLatest(client, "/atelier/webui"), name)(*given)


def test_people_are_told_on_their_topic(stubbed):
    client, stub = stubbed("sns")
    stub.add_response("publish", {"MessageId": "1"}, {"TopicArn": "t", "Subject": "s" * 100, "Message": ANY})

    SnsPeople(client, "t").tell("s" * 200, json.dumps({"more": 1}))


def test_people_who_cannot_be_reached_are_told_later():
    client = boto3.client("sns", endpoint_url="http://127.0.0.1:9", config=ONCE, **KEYS)
    with closing(client), pytest.raises(Busy) as refused:
        SnsPeople(client, "t").tell("a", "b")

    assert isinstance(refused.value.__cause__, EndpointConnectionError)
