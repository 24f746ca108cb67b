"""What `atelier fleet` says, and what its client refuses before it is uploaded."""

import io
import json
import tarfile
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import boto3
import pytest
from click.testing import CliRunner
from fleet_fakes import archive
from moto import mock_aws
from rich.console import Console

from atelier.apprentices import impostor
from atelier.cli import fleet_screen
from atelier.cli.main import cli
from atelier.client import fleet
from atelier.client.errors import NotDeployed, NotFound, Problem, Refusal
from atelier.contract import fleet as words
from atelier.contract import tables
from atelier.fleet_demo import Scene
from atelier.lambdas.adapters.landing_memory import DynamoMemory
from atelier.lambdas.domain.fleet import Record, State

LANDED = datetime.now(UTC).isoformat()
MODEL = words.Model(
    name="first",
    bucket="models",
    key=words.key("first"),
    version_id="v1",
    sha256="abcdef01" * 8,
    size=5,
    landed=LANDED,
)


def record(name, status, at, **changes):
    value = {"key": words.key(name), "version_id": f"v-{name}", "landed": at, "sha256": "ab" * 32}
    return Record(**{"id": f"{name}@1", "name": name, "status": status, "at": at, **value, **changes})


class Ecs:
    def describe_services(self, cluster, services):
        primary = {"status": "PRIMARY", "rolloutState": "COMPLETED", "rolloutStateReason": "it is done"}
        counts = {"desiredCount": 2, "runningCount": 1, "pendingCount": 1}
        return {"services": [{"deployments": [primary], "taskDefinition": "t", **counts}]}


@pytest.fixture
def installation():
    """A fleet of moto's, whose tasks are fake."""
    with mock_aws():
        given = {"region_name": "us-east-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
        s3, dynamodb = boto3.client("s3", **given), boto3.client("dynamodb", **given)
        s3.create_bucket(Bucket="models")
        s3.put_bucket_versioning(Bucket="models", VersioningConfiguration={"Status": "Enabled"})
        index = tables.FLEET.indexes[0]
        keys = {"HASH": index.hash, "RANGE": index.range}
        dynamodb.create_table(
            TableName="fleet",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"} for name in ("id", *keys.values())
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": index.name,
                    "KeySchema": [{"AttributeName": name, "KeyType": kind} for kind, name in keys.items()],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        clients = SimpleNamespace(s3=s3, dynamodb=dynamodb, ecs=Ecs(), where="the local cloud")
        place = fleet.Place(
            url="http://127.0.0.1:9", bucket="models", table="fleet", cluster="c", service="s"
        )
        made = fleet.Fleet(clients=clients, place=place, sleep=lambda seconds: None)
        yield SimpleNamespace(fleet=made, memory=DynamoMemory(dynamodb, "fleet"), s3=s3, clients=clients)


@pytest.fixture
def run(installation, monkeypatch):
    monkeypatch.setattr(fleet, "connect", lambda clients, prefix: installation.fleet)
    return lambda *arguments: CliRunner().invoke(cli, ["fleet", *arguments], obj=installation.clients)


def test_before_a_model_has_landed_the_status_says_what_to_do(run):
    result = run("status")

    assert 0 == result.exit_code
    assert "let a model land with `atelier fleet put`" in result.output
    assert "1 running, 1 pending, 2 wanted" in result.output
    assert "No model has landed yet." in run("history").output


def test_the_status_names_what_serves(run, installation):
    installation.memory.save(State(serving=MODEL, landing="l"))

    assert "first (abcdef01), landed" in run("status").output
    assert "first" == json.loads(run("status", "--json").output)["serving"]["name"]


def test_the_history_has_the_last_change_first_and_reasons(run, installation):
    installation.memory.write(record("old", "retired", "2001-01-01T00:00:00+00:00"))
    installation.memory.write(record("new", "refused", "2001-01-02T00:00:00+00:00", reason="it is garbage"))

    told = run("history").output

    assert told.index("new") < told.index("old")
    assert "it is garbage" in told


def test_a_model_lands_with_its_sha256_beside_it(run, installation, tmp_path):
    path = tmp_path / "model.tar.gz"
    path.write_bytes(archive())

    result = run("put", str(path), "--name", "mine", "--json")

    assert 0 == result.exit_code, result.output
    beside = installation.s3.get_object(Bucket="models", Key=words.beside(words.key("mine")))["Body"].read()
    head = installation.s3.head_object(Bucket="models", Key=words.key("mine"))
    assert head["VersionId"] == json.loads(result.output)["version_id"]
    assert words.SHA256.fullmatch(beside.split()[0].decode())


@pytest.mark.parametrize(
    ("body", "name", "words_"),
    [
        (b"no archive", "mine", "is no whole .tar.gz"),
        (archive(tokenizer__json=None), "mine", "is no model: it lacks tokenizer.json"),
        (archive(), "Not A Name", "is no name of a model"),
    ],
    ids=["text", "incomplete", "name"],
)
def test_what_the_fleet_would_refuse_is_not_uploaded(run, installation, tmp_path, body, name, words_):
    path = tmp_path / "model.tar.gz"
    path.write_bytes(body)

    result = run("put", str(path), "--name", name)

    assert (1, True) == (result.exit_code, words_ in " ".join(result.output.split()))
    assert "Contents" not in installation.s3.list_objects_v2(Bucket="models")


def test_waiting_ends_with_what_became_of_the_model(installation, tmp_path):
    looks = []

    def look():
        looks.append(1)
        if len(looks) == 3:
            installation.memory.write(record("mine", "refused", LANDED, reason="garbage"))

    found = installation.fleet.settled("mine", "v-mine", patience=60, each=look)

    assert ("refused", "garbage", 3) == (found.status, found.reason, len(looks))
    with pytest.raises(Problem, match="neither serves nor was refused within 0 s"):
        installation.fleet.settled("other", "v", patience=0)


def landed(installation, tmp_path, name):
    path = tmp_path / "model.tar.gz"
    path.write_bytes(archive(name))
    return installation.fleet.put(path, name)


@pytest.mark.parametrize("status", [None, "superseded"])
def test_waiting_ends_when_something_newer_serves(installation, tmp_path, status):
    version = landed(installation, tmp_path, "slow")
    if status:
        installation.memory.write(record("slow", status, LANDED, version_id=version))
    newer = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    installation.memory.save(State(serving=replace(MODEL, landed=newer), landing="l"))

    with pytest.raises(Problem, match=r"its upload began at .*, before that of first, which serves"):
        installation.fleet.settled("slow", version, patience=60)


def test_waiting_ends_when_another_upload_has_the_place(installation, tmp_path):
    version = landed(installation, tmp_path, "mine")
    landed(installation, tmp_path, "mine")

    with pytest.raises(Problem, match="another upload under that name took its place"):
        installation.fleet.settled("mine", version, patience=60)


@pytest.mark.parametrize("status", ["superseded", "trying"])
def test_waiting_goes_on_while_a_model_may_have_its_turn(installation, tmp_path, status):
    version = landed(installation, tmp_path, "mine")
    installation.memory.write(record("mine", status, LANDED, version_id=version))
    older = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    installation.memory.save(State(serving=replace(MODEL, landed=older), landing="l"))

    def look():
        installation.memory.write(record("mine", "serving", LANDED, version_id=version))

    assert "serving" == installation.fleet.settled("mine", version, patience=60, each=look).status


def test_a_refusal_is_the_commands_failure(run, installation, tmp_path, monkeypatch):
    path = tmp_path / "model.tar.gz"
    path.write_bytes(archive())
    refused = fleet.Landing(**record("mine", "refused", LANDED, reason="it is garbage").__dict__)
    monkeypatch.setattr(fleet.Fleet, "settled", lambda self, name, version, patience: refused)

    result = run("put", str(path), "--name", "mine", "--wait")

    assert (1, True) == (result.exit_code, "the fleet refused mine: it is garbage" in result.output)


def test_a_rollback_lets_the_model_land_again_that_served_before(run, installation):
    versions = []
    for body in (b"good", b"newer"):
        versions.append(
            installation.s3.put_object(Bucket="models", Key=words.key("mine"), Body=body)["VersionId"]
        )
    installation.memory.write(record("mine", "retired", LANDED, version_id=versions[0]))

    assert "mine (abababab) has landed again" in run("rollback").output
    assert b"good" == installation.s3.get_object(Bucket="models", Key=words.key("mine"))["Body"].read()


def test_without_a_model_before_there_is_nothing_to_go_back_to(run, installation):
    assert 1 == run("rollback").exit_code
    with pytest.raises(NotFound):
        installation.fleet.rollback()


def test_a_version_that_is_gone_cannot_come_back(run, installation):
    installation.s3.put_object(Bucket="models", Key=words.key("mine"), Body=b"x")
    gone = "00000000-0000-4000-8000-000000000000"
    installation.memory.write(record("mine", "retired", LANDED, version_id=gone))

    with pytest.raises(Refusal, match="mine cannot be read any more"):
        installation.fleet.rollback()


@pytest.mark.parametrize(
    ("status", "body", "words_"),
    [
        (503, b'{"message": "the model is loading"}', "answered 503: the model is loading"),
        (200, b"{", "not JSON"),
    ],
)
def test_an_answer_that_is_none_is_told(status, body, words_):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(Problem, match=words_):
            fleet.ask(f"http://127.0.0.1:{server.server_port}", {"prompt": "x"})
        server.shutdown()


def test_a_fleet_that_nobody_deployed_is_told_with_the_command_that_does():
    class Nothing:
        def describe_stacks(self, StackName):
            return {"Stacks": []}

    clients = SimpleNamespace(cloudformation=Nothing(), where="the local cloud")

    with pytest.raises(NotDeployed, match="run `atelier deploy fleet`"):
        fleet.place(clients)


def test_an_impostor_is_whole_and_has_other_weights(tmp_path):
    header = b'{"w": {}}   '
    weights = len(header).to_bytes(8, "little") + header + bytes(range(16))
    sound = tmp_path / "sound.tar.gz"
    sound.write_bytes(archive(model__safetensors=weights))

    with tarfile.open(impostor(sound, tmp_path / "impostor.tar.gz")) as made:
        names = made.getnames()
        body = made.extractfile("model.safetensors").read()

    assert ["config.json", "model.safetensors", "tokenizer.json"] == names
    assert (len(weights), weights[:20]) == (len(body), body[:20])
    assert bytes([12, 13, 14, 15]) == body[20:24]


def test_a_scene_is_a_table_and_a_line():
    status = fleet.Status(
        url="u",
        serving={"name": "first"},
        trying={"name": "second"},
        desired=1,
        running=2,
        pending=0,
        rollout="IN_PROGRESS",
        reason="",
    )
    scene = Scene(status=status, answered={"first": 1200}, failures=0, seconds=3.0)
    console = Console(file=io.StringIO(), width=100)

    console.print(fleet_screen.drawn(scene))

    assert "serving first, trying second; answers: first 1,200; failures: 0" == fleet_screen.line(scene)
    assert "in progress" in console.file.getvalue()


def test_data_belongs_to_the_pipelines_demo_alone(tmp_path):
    result = CliRunner().invoke(cli, ["demo", "fleet", "--data", str(tmp_path)])

    assert (2, True) == (result.exit_code, "the other parts bring their own" in result.stderr)
