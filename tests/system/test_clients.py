"""The clients that people have, unchanged: git, the AWS CLI and docker, from a push to an answer."""

import json
import uuid

import pytest
import workshop as shop
from docker_studio import DECIDE

pytestmark = pytest.mark.docker

LOGIN = 'aws ecr get-login-password | docker login --username AWS --password-stdin "${URI%%/*}"'
INVOKE = (
    "aws sagemaker-runtime invoke-endpoint --endpoint-name atelier-stable --content-type application/json"
    ' --body "$BODY" answer.json'
)
DEMO = (
    'cd "$FOLDER"\natelier demo --engine docker --yes --json --data "$DATA"'
    f" -p StartupSeconds={shop.STARTUP_SECONDS}"
)


def test_what_git_pushed_and_the_aws_cli_approved_is_served(studio):
    assert "Succeeded" == studio.first.status
    assert (True, "said at the command line") == (studio.version.is_serving, studio.version.comment)
    assert " first" == studio.said


def test_the_image_of_a_version_is_what_docker_pulls_by_its_commit(studio):
    version, repository = studio.version, studio.uri.partition("/")[2]
    described = studio.shell.json(
        f'aws ecr describe-images --repository-name {repository} --image-ids "imageTag=$TAG"',
        TAG=version.commit,
    )
    pulled = studio.shell.says(
        f'{LOGIN} >&2\ndocker pull --quiet "$URI:$TAG" >&2\ndocker inspect --format "$FORMAT" "$URI:$TAG"',
        URI=studio.uri, TAG=version.commit, FORMAT="{{json .RepoDigests}}",
    )  # fmt: skip

    assert [version.image_digest] == [each["imageDigest"] for each in described["imageDetails"]]
    assert f"{studio.uri}@{version.image_digest}" in json.loads(pulled)


def test_the_aws_cli_asks_the_endpoint(studio):
    invoked = studio.shell.json(INVOKE, BODY='{"prompt": "Say"}')

    answer = json.loads((studio.shell.home / "answer.json").read_text())
    assert "application/json" == invoked["ContentType"]
    assert [studio.said] == [each["text"] for each in answer["completions"]]


def test_the_aws_cli_starts_a_run_and_a_wrong_token_decides_nothing(studio):
    started = studio.shell.json(f"aws codepipeline start-pipeline-execution --name {shop.PIPELINE}")
    run = studio.run(started["pipelineExecutionId"], approve=None)

    wrong = studio.shell.run(DECIDE, STATUS="Approved", WHY="mine", TOKEN=str(uuid.uuid4()))
    rejected = studio.decide_by_hand(run.id, "Rejected", "repeats itself")
    listed = studio.shell.json(
        f"aws codepipeline list-pipeline-executions --pipeline-name {shop.PIPELINE} --max-items 1"
    )

    assert 0 != wrong.returncode
    assert "InvalidApprovalToken" in wrong.stderr
    assert ("Failed", "Approve") == (rejected.status, rejected.failure.stage)
    assert "repeats itself" in rejected.failure.reason
    newest = listed["pipelineExecutionSummaries"][0]
    assert (run.id, "Failed") == (newest["pipelineExecutionId"], newest["status"])
    assert (studio.version.version, studio.said) == (studio.serving().version, studio.answer())


def test_the_demo_ends_with_an_image_that_docker_pulls(studio):
    commit = studio.commit(WORD="demonstrated")

    document = studio.shell.json(
        DEMO, FOLDER=str(studio.folder), DATA=str(studio.data), ATELIER_HOME=str(studio.home)
    )
    name = f"{studio.uri}@{document['image_digest']}"
    pulled = studio.shell.says(
        f'{LOGIN} >&2\ndocker pull --quiet "$NAME"\ndocker inspect --format "$FORMAT" "$NAME"',
        URI=studio.uri, NAME=name, FORMAT="{{json .RepoDigests}}",
    )  # fmt: skip

    assert (commit, "InService") == (document["commit"], document["endpoint_status"])
    assert " demonstrated" == document["completion"]
    assert name in json.loads(pulled.splitlines()[-1])
    studio.version, studio.said = studio.serving(), studio.answer()
