"""The WebUI's pipeline in the real local cloud: what upstream and we commit becomes the latest image, or a reason.

The two builds are stand-ins of a few lines, so that the pipeline, its functions and its events are tried, and
no image is built.
"""

import json
import subprocess
import time
from types import SimpleNamespace

import pytest
from stacks import eventually

from atelier import deploy
from atelier.cli.connect import reached
from atelier.client import outputs, repositories
from atelier.contract.webui import DECLARATION

PREFIX = "webui-1"
ORDER = ("storage", "registry", "webui-state", "webui-pipeline")
DIGEST = "sha256:" + "0" * 24

BUILD = """\
version: 0.2
env:
  shell: bash
  exported-variables: [IMAGE_URI, IMAGE_DIGEST, IMAGE_TAG, UPSTREAM_COMMIT, UPSTREAM_URL]
phases:
  build:
    commands:
      - if [ "$UPSTREAM_COMMIT" = latest-good ]; then
          UPSTREAM_COMMIT=$(aws ssm get-parameter --name "$ParameterPath/upstream-commit"
          --query Parameter.Value --output text); fi
      - export UPSTREAM_COMMIT UPSTREAM_URL=stand-in IMAGE_TAG=${UPSTREAM_COMMIT:0:12}-${COMMIT:0:12}
      - export IMAGE_DIGEST=sha256:${UPSTREAM_COMMIT}${COMMIT:0:24}
      - export IMAGE_URI="$RepositoryUri@$IMAGE_DIGEST"
      - bash extension/check.sh
"""
TEST = """\
version: 0.2
env:
  shell: bash
  exported-variables: [SIZE_BYTES, STARTUP_SECONDS]
phases:
  build:
    commands:
      - test "${IMAGE_URI#*@}" = "$IMAGE_DIGEST"
      - aws ssm get-parameter --name "$ParameterPath/provenance" || true
      - export SIZE_BYTES=1234567 STARTUP_SECONDS=1.5
"""


class Tree:
    """A git repository with commits."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments):
        named = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")
        command = ["git", *named, *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, **files):
        for name, content in files.items():
            path = self.folder / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", "more")
        return self.git("rev-parse", "HEAD")


class Studio:
    """An installation, the upstream that it follows, and its own source."""

    def __init__(self, clients, folder):
        self.clients = clients
        self.upstream, self.source = Tree(folder / "upstream"), Tree(folder / "source")
        self.upstream.commit(webui_dot_py="print('hello')\n")
        self.outputs = outputs.outputs(clients, f"{PREFIX}-webui-pipeline") | outputs.outputs(
            clients, f"{PREFIX}-webui-state"
        )

    def declare(self, **changes):
        upstream = {"repository": str(self.upstream.folder), "branch": "main", **changes}
        lines = [f'{name} = "{value}"' for name, value in upstream.items()]
        return {DECLARATION.replace("/", "__").replace(".", "_dot_"): "\n".join(["[upstream]", *lines, ""])}

    def push(self):
        pipeline = self.outputs["WebuiPipelineName"]
        source = repositories.source(self.clients, pipeline)
        return repositories.push(self.clients, self.source.folder, source).after

    def look(self):
        answer = self.clients.awslambda.invoke(
            FunctionName=self.outputs["WebuiTrackFunctionName"], Payload=b"{}"
        )
        document = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, document
        return SimpleNamespace(**document)

    def runs(self):
        found = self.clients.codepipeline.list_pipeline_executions(
            pipelineName=self.outputs["WebuiPipelineName"]
        )
        return [each["pipelineExecutionId"] for each in found["pipelineExecutionSummaries"]]

    def ended(self, run):
        """The history's item of a run that has ended."""

        def look():
            key = {"id": {"S": f"run#{run}"}}
            table = self.outputs["WebuiHistoryTableName"]
            found = self.clients.dynamodb.get_item(TableName=table, Key=key).get("Item")
            item = {name: next(iter(value.values())) for name, value in (found or {}).items()}
            return item if item.get("status", "building") != "building" else None

        return SimpleNamespace(**eventually(look))

    def parameter(self, name):
        found = self.clients.ssm.get_parameters(Names=[f"/{PREFIX}/webui/{name}"])["Parameters"]
        return found[0]["Value"] if found else None


@pytest.fixture(scope="module")
def studio(cloud, tmp_path_factory):
    clients = reached(cloud.connection)
    deploy.deploy(clients, prefix=PREFIX, parameters={"UpstreamRate": "rate(7 days)"}, order=ORDER)
    return Studio(clients, tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="module")
def first(studio):
    """The first image: before anything is pushed there is nothing to follow, then upstream's head is built."""
    assert "nothing" == studio.look().outcome
    studio.source.commit(
        **studio.declare(),
        buildspecs__webui_dot_yml=BUILD,
        **{"buildspecs__webui-test_dot_yml": TEST},
        extension__check_dot_sh="true\n",
    )
    studio.push()
    look = studio.look()
    assert "started" == look.outcome
    return studio.ended(look.run)


def test_what_upstream_commits_becomes_the_latest_image(studio, first):
    head, source = studio.upstream.git("rev-parse", "HEAD"), studio.source.git("rev-parse", "HEAD")

    assert ("published", head, source) == (first.status, first.upstream, first.source)
    assert first.image == studio.parameter("image")
    assert head == studio.parameter("upstream-commit")
    assert (1234567, 1.5, "") == tuple(
        json.loads(studio.parameter("provenance"))[each]
        for each in ("size_bytes", "startup_seconds", "previous")
    )
