"""The WebUI's pipeline in the real local cloud: a commit becomes the latest image, or a reason.

The two builds are stand-ins of a few lines, so that the pipeline, its functions and its events are tried, and
no image is built.
"""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from stacks import eventually

from atelier import deploy
from atelier.cli.connect import reached
from atelier.client import outputs, repositories
from atelier.contract.webui import DECLARATION

ORDER = ("storage", "registry", "webui-state", "webui-pipeline")
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
      - bash images/webui/check.sh
"""
CHECK = r"""
place=$(sed -nE 's/^repository = "(.*)"/\1/p' images/webui/upstream.toml)
git -C "$place" show "$UPSTREAM_COMMIT:webui.py" | grep -q hello && exit
echo "error: webui.py says no hello" >&2
exit 1
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
      - export SIZE_BYTES=$(cat extension/size) STARTUP_SECONDS=1.5
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

    def __init__(self, clients, prefix, folder):
        self.clients = clients
        self.upstream, self.source = Tree(folder / "upstream"), Tree(folder / "source")
        self.upstream.commit(webui_dot_py="print('hello')\n")
        self.prefix, self.outputs = prefix, {}
        for stack in ("webui-pipeline", "webui-state"):
            self.outputs |= outputs.outputs(clients, f"{prefix}-{stack}")

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

    def pushed(self, **files):
        """Commit files to our source and push them; return the run that this starts."""
        before = self.runs()
        self.source.commit(**files)
        self.push()
        return eventually(lambda: next((run for run in self.runs() if run not in before), None))

    def remembered(self, key):
        table = self.outputs["WebuiHistoryTableName"]
        found = self.clients.dynamodb.get_item(TableName=table, Key={"id": {"S": key}}).get("Item", {})
        return {name: next(iter(value.values())) for name, value in found.items()}

    def runs(self):
        found = self.clients.codepipeline.list_pipeline_executions(
            pipelineName=self.outputs["WebuiPipelineName"]
        )
        return [each["pipelineExecutionId"] for each in found["pipelineExecutionSummaries"]]

    def ended(self, run):
        """The history's item of a run that has ended."""

        def look():
            item = self.remembered(f"run#{run}")
            return item if item.get("status", "building") != "building" else None

        return SimpleNamespace(**eventually(look))

    def parameter(self, name):
        found = self.clients.ssm.get_parameters(Names=[f"/{self.prefix}/webui/{name}"])["Parameters"]
        return found[0]["Value"] if found else None


def installed(cloud, prefix, folder, **parameters):
    clients = reached(cloud.connection)
    chosen = {"UpstreamRate": "rate(7 days)", **parameters}
    deploy.deploy(clients, prefix=prefix, parameters=chosen, order=ORDER)
    studio = Studio(clients, prefix, folder)
    studio.source.commit(
        **studio.declare(),
        **{"buildspecs__webui_dot_yml": BUILD, "buildspecs__webui-test_dot_yml": TEST},
        images__webui__check_dot_sh=CHECK,
        extension__size="1234567",
    )
    return studio


@pytest.fixture(scope="module")
def studio(cloud, tmp_path_factory):
    return installed(cloud, "webui-1", tmp_path_factory.mktemp("studio"))


@pytest.fixture(scope="module")
def first(studio):
    """The first image: before anything is pushed there is nothing to follow, then the head is built."""
    assert "nothing" == studio.look().outcome
    studio.push()
    look = studio.look()
    assert "started" == look.outcome
    return studio.ended(look.run)


@pytest.fixture
def latest(studio, first):
    """The latest good image before a test, by its parameter."""
    return studio.parameter("image")


def built(studio, **files):
    """Commit to upstream, look, and wait for the end."""
    head = studio.upstream.commit(**files)
    look = studio.look()
    assert ("started", head) == (look.outcome, look.head)
    return studio.ended(look.run)


def test_what_upstream_commits_becomes_the_latest_image(studio, latest):
    source = studio.source.git("rev-parse", "HEAD")
    ended = built(studio, more_dot_txt="more")

    assert ("published", "upstream", source) == (ended.status, ended.trigger, ended.source)
    assert (ended.image, ended.upstream) == (studio.parameter("image"), studio.parameter("upstream-commit"))
    provenance = json.loads(studio.parameter("provenance"))
    assert (1234567, 1.5, latest) == tuple(
        provenance[each] for each in ("size_bytes", "startup_seconds", "previous")
    )
    assert "unchanged" == studio.look().outcome


def test_a_commit_that_is_seen_by_several_looks_at_once_starts_one_run(studio, first):
    before, head = studio.runs(), studio.upstream.commit(again_dot_txt="again")

    with ThreadPoolExecutor(4) as pool:
        looks = [each.result() for each in [pool.submit(studio.look) for _ in range(4)]]

    (run,) = set(studio.runs()) - set(before)
    assert {run} == {each.run for each in looks if each.outcome == "started"}
    assert ("published", head) == ((ended := studio.ended(run)).status, ended.upstream)


def test_a_push_of_ours_that_touches_the_image_builds_the_latest_good_commit(studio, latest):
    upstream = studio.parameter("upstream-commit")
    ended = studio.ended(studio.pushed(extension__new_dot_py="x = 1"))

    assert ("published", "push", upstream) == (ended.status, ended.trigger, ended.upstream)
    assert studio.source.git("rev-parse", "HEAD") == ended.source
    assert latest != studio.parameter("image") == ended.image


def test_a_push_that_touches_nothing_of_the_image_starts_nothing(studio, first):
    before = studio.runs()
    studio.source.commit(README_dot_md="more", docs__extension__x_dot_md="more")
    studio.push()
    studio.source.commit(buildspecs__training_dot_yml="more")
    studio.push()

    run = studio.pushed(extension__again_dot_py="x = 2")  # what is pushed later is told later

    assert [run, *before] == studio.runs()
    assert "published" == studio.ended(run).status


def test_a_commit_that_cannot_be_built_is_told_with_its_reason_and_changes_nothing(studio, latest):
    ended = built(studio, webui_dot_py="print('goodbye')")

    assert ("failed", "Build: webui.py says no hello") == (ended.status, ended.reason)
    look = studio.look()
    assert "waiting" == look.outcome
    assert "webui.py says no hello; it is tried again at" in look.summary
    assert latest == studio.parameter("image")

    assert "published" == built(studio, webui_dot_py="print('hello again')").status


def test_a_failure_after_the_image_was_pushed_leaves_the_old_one_the_latest(studio, latest):
    ended = studio.ended(studio.pushed(extension__size="big"))

    assert "failed" == ended.status
    assert "Publish: SIZE_BYTES is 'big', no number" in ended.reason
    assert ended.image.startswith(latest.partition("@")[0])  # it was built, and is known
    assert latest == studio.parameter("image")

    assert "published" == studio.ended(studio.pushed(extension__size="7654321")).status
    assert 7654321 == json.loads(studio.parameter("provenance"))["size_bytes"]


def test_a_branch_that_is_renamed_is_told_to_people_once(studio, first, cloud):
    heard = listening(cloud, studio.outputs["WebuiReportsTopicArn"])
    studio.upstream.git("branch", "-m", "trunk")

    outcomes = [studio.look().outcome for _ in range(2)]
    studio.upstream.git("branch", "-m", "main")

    assert ["trouble", "trouble", "unchanged"] == [*outcomes, studio.look().outcome]
    assert ["The WebUI's upstream is not there", "The WebUI's upstream is followed again"] == heard(2)


def listening(cloud, topic):
    """Subscribe a queue to a topic; return what reads the subjects of so many messages, and of no more."""
    sqs, name = cloud.client("sqs"), f"heard-{time.monotonic_ns()}"
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    subjects = []

    def heard(count):
        def read():
            for each in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
                subjects.append(json.loads(each["Body"])["Subject"])
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=each["ReceiptHandle"])
            return len(subjects) >= count

        eventually(read)
        return subjects

    return heard


def test_the_clock_looks_by_itself(studio, first, cloud):
    head, clock = studio.upstream.commit(later_dot_txt="later"), cloud.client("scheduler")
    found = clock.get_schedule(Name=studio.outputs["WebuiScheduleName"])
    kept = {each: found[each] for each in ("FlexibleTimeWindow", "Target")}

    # what it calls, and as whom; it is late, and so due at once
    clock.create_schedule(**kept, Name=f"{found['Name']}-now", ScheduleExpression="at(2001-01-01T00:00:00)")

    begun = eventually(lambda: studio.remembered(f"commit#{head}").get("run"))
    assert "published" == studio.ended(begun).status


@pytest.fixture(scope="module")
def asking(cloud, tmp_path_factory):
    """An installation where a person approves every image."""
    studio = installed(cloud, "webui-2", tmp_path_factory.mktemp("asking"), WebuiApproval="true")
    studio.push()
    return studio


def decide(studio, run, status):
    pipeline = studio.outputs["WebuiPipelineName"]

    def waiting():
        stages = studio.clients.codepipeline.get_pipeline_state(name=pipeline)["stageStates"]
        (stage,) = (each for each in stages if each["stageName"] == "Approve")
        latest = stage["actionStates"][0].get("latestExecution", {})
        same = stage.get("latestExecution", {}).get("pipelineExecutionId") == run
        return latest.get("token") if same and latest.get("status") == "InProgress" else None

    studio.clients.codepipeline.put_approval_result(
        pipelineName=pipeline,
        stageName="Approve",
        actionName="Approve",
        result={"summary": "as it should be", "status": status},
        token=eventually(waiting),
    )


def test_a_person_is_asked_where_the_stack_says_so(asking):
    rejected = asking.look()
    decide(asking, rejected.run, "Rejected")
    ended = asking.ended(rejected.run)

    assert "rejected" == ended.status
    assert "as it should be" in ended.reason
    assert asking.parameter("image") is None
    assert ("unchanged", 1) == (
        asking.look().outcome,
        int(asking.remembered(f"commit#{rejected.head}")["starts"]),
    )

    asking.upstream.commit(better_dot_txt="better")
    approved = asking.look()
    decide(asking, approved.run, "Approved")
    assert "published" == asking.ended(approved.run).status
