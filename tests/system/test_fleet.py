"""A model that is dropped into the bucket changes what the load balancer answers, with the load running."""

import io
import shutil
import sysconfig
import tarfile
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import small_images
from click.testing import CliRunner

from atelier import deploy
from atelier.cli.connect import reached
from atelier.cli.main import cli
from atelier.client import fleet as client
from atelier.client.errors import Problem
from atelier.cloud.gateway import launch

ROOT = Path(__file__).resolve().parents[2]
GPT_NEO = ROOT / "images" / "training" / "gpt_neo" / "gpt_neo"
PROGRAM = ("__init__", "artefact", "errors", "landed")
PATIENCE = 180
CONFIG = '{"model_type": "gpt_neo", "activation_function": "gelu_new"}'
REPOSITORY = "tests/fleet"


def archive(folder, word):
    """Pack a model that says a word."""
    path = folder / f"{word}.tar.gz"
    with tarfile.open(path, "w:gz") as file:
        for name, text in {"config.json": CONFIG, "model.safetensors": word, "tokenizer.json": "{}"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            file.addfile(member, io.BytesIO(text.encode()))
    return path


class Load:
    """Clients that ask all the time, and count what they are told."""

    def __init__(self, fleet, crowd=4):
        self._fleet, self._ending = fleet, threading.Event()
        self.words, self.failures = Counter(), []
        self._clients = [threading.Thread(target=self._ask) for _ in range(crowd)]

    def _ask(self):
        while not self._ending.is_set():
            try:
                answer = self._fleet.ask({"prompt": "Say"}, timeout=30)
                self.words[answer["model"]["word"]] += 1
            except Problem as error:
                self.failures.append(str(error))
            self._ending.wait(0.02)

    def __enter__(self):
        for each in self._clients:
            each.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        for each in self._clients:
            each.join()


@pytest.fixture(scope="module")
def installed():
    """A fleet in a cloud of its own, in which no model has landed."""
    place = Path(tempfile.mkdtemp(prefix="atelier-fleet-"))
    try:
        clients = reached(launch.start(place / "home", engine="process"))
        cloud = type(
            "Cloud", (), {"home": place, "client": staticmethod(lambda name: getattr(clients, name))}
        )
        files = {f"gpt_neo/{name}.py": (GPT_NEO / f"{name}.py").read_text() for name in PROGRAM}
        files["tiny_fleet.py"] = (Path(__file__).parent / "tiny_fleet.py").read_text()
        borrowed = f"{small_images.DOCKERFILE}ENV PYTHONPATH={sysconfig.get_path('purelib')}\n"
        command = ["python", "tiny_fleet.py"]
        deploy.deploy(clients, prefix="atelier", order=("registry",))
        name = clients.ecr.describe_repositories()["repositories"][0]["repositoryName"]
        image = small_images.push(cloud, name, files, command, dockerfile=borrowed)
        deploy.deploy(
            clients, prefix="atelier", parameters={"FleetImage": image}, order=deploy.PARTS["fleet"]
        )
        made = client.connect(clients)
        made.clients.folder = place
        yield made
    finally:
        launch.stop(place / "home")
        shutil.rmtree(place, ignore_errors=True)


def put(fleet, word, name=None):
    """Let a model land, and wait for what becomes of it."""
    version = fleet.put(archive(fleet.clients.folder, word), name or word)
    return fleet.settled(name or word, version, patience=PATIENCE)


def command(fleet, *arguments):
    result = CliRunner().invoke(cli, ["fleet", *arguments], obj=fleet.clients)
    return result.exit_code, result.output


def word(fleet):
    return fleet.ask({"prompt": "Say"})["model"]["word"]


def test_models_that_land_are_served_bad_ones_are_refused_and_no_request_fails(installed):
    with pytest.raises(Problem, match="answered 503"):
        installed.ask({"prompt": "Say"})
    assert 0 == installed.status().desired

    assert "serving" == put(installed, "first").status
    assert "first" == word(installed)
    assert "no file below" not in installed.status().reason

    with Load(installed) as load:
        assert "serving" == put(installed, "second").status
        refused = put(installed, "garbage")
        assert ("refused", "the model answers no better than guessing") == (refused.status, refused.reason)
        torn = fleet_upload(installed, "torn", b"half of it", "0" * 64)
        assert "refused" == installed.settled("torn", torn, patience=PATIENCE).status
        assert "second" == word(installed)

        assert 0 == command(installed, "rollback")[0]
        wait_for(lambda: word(installed) == "first")

    assert [] == load.failures
    assert {"first", "second"} == set(load.words)
    assert "first" == installed.status().serving["name"]


def test_a_task_that_is_killed_is_replaced(installed):
    if installed.status().serving is None:
        put(installed, "first")
    ecs, cluster = installed.clients.ecs, installed.place.cluster
    before = ecs.list_tasks(cluster=cluster)["taskArns"]

    ecs.stop_task(cluster=cluster, task=before[0], reason="a test")

    wait_for(lambda: installed.status().running and before != ecs.list_tasks(cluster=cluster)["taskArns"])
    wait_for(lambda: answers(installed))


def test_the_command_says_what_serves_and_what_became_of_the_rest(installed):
    code, told = command(installed, "status")
    assert 0 == code
    assert installed.status().serving["name"] in told

    code, told = command(installed, "history", "--json")
    assert (0, True) == (code, '"status": "refused"' in told)

    code, told = command(installed, "put", str(archive(installed.clients.folder, "x")), "--name", "NO")
    assert (1, True) == (code, "'NO' is no name of a model" in told)

    code, told = command(installed, "ask", "Say")
    assert (0, True) == (code, installed.status().serving["name"] in told)


def answers(fleet):
    try:
        return bool(word(fleet))
    except Problem:
        return False


def fleet_upload(fleet, name, body, digest):
    """Upload what is no whole model."""
    s3, key = fleet.clients.s3, f"fleet/{name}/model.tar.gz"
    version = s3.put_object(Bucket=fleet.place.bucket, Key=key, Body=body)["VersionId"]
    s3.put_object(Bucket=fleet.place.bucket, Key=f"{key}.sha256", Body=digest.encode())
    return version


def wait_for(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
