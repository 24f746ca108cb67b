"""A model that is dropped into the bucket changes what the load balancer answers, with the load running."""

import json
import tarfile
import time
from io import BytesIO

import fleet_workshop
import pytest
from click.testing import CliRunner

from atelier.cli.main import cli
from atelier.client.errors import Problem
from atelier.fleet_demo import FIRST, SECOND, Load

PATIENCE = 180


@pytest.fixture(scope="module")
def installed():
    """A fleet in a cloud of its own, in which no model has landed."""
    with fleet_workshop.installed() as (fleet, place):
        yield fleet, place


@pytest.fixture
def fleet(installed):
    return installed[0]


def command(fleet, *arguments):
    result = CliRunner().invoke(cli, ["fleet", *arguments], obj=fleet.clients)
    return result.exit_code, result.output


def trained(place, name, weights):
    """Put a model where the demo looks for one that it has trained before."""
    folder = place / "home" / "apprentices"
    folder.mkdir(exist_ok=True)
    files = {
        "config.json": fleet_workshop.CONFIG.encode(),
        "model.safetensors": bytes(8) + weights,
        "tokenizer.json": b"{}",
    }
    with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as file:
        for each, body in files.items():
            member = tarfile.TarInfo(each)
            member.size = len(body)
            file.addfile(member, BytesIO(body))


def served(fleet):
    """Who answers; nothing while nobody does."""
    try:
        return fleet.ask({"prompt": "Say"})["model"]["name"]
    except Problem:
        return ""


def test_the_demo_changes_models_under_load_refuses_one_and_no_request_fails(installed, monkeypatch):
    fleet, place = installed
    with pytest.raises(Problem, match="answered 503"):
        fleet.ask({"prompt": "Say"})
    assert 0 == fleet.status().desired
    trained(place, FIRST, b"one word")
    trained(place, SECOND, b"age garb")  # backwards, as the demo makes an impostor of it, that is garbage
    monkeypatch.setenv("ATELIER_HOME", str(place / "home"))

    result = CliRunner().invoke(cli, ["demo", "fleet", "--json", "-p", f"FleetImage={fleet.image()}"])

    assert 0 == result.exit_code, result.output
    document = json.loads(result.stdout.splitlines()[-1])
    assert [(FIRST, " one word"), (SECOND, " age garb")] == [
        (each["model"], each["text"]) for each in document["answers"]
    ]
    assert {"model": "impostor", "reason": "the model answers no better than guessing"} == document["refused"]
    assert (0, {FIRST, SECOND}) == (document["failures"], set(document["requests"]))
    assert "journeyman goes on serving" in result.stderr
    assert SECOND == served(fleet)


def test_half_a_model_is_refused_before_any_task_sees_it_and_the_one_before_comes_back(fleet):
    before = fleet.clients.ecs.list_tasks(cluster=fleet.place.cluster)["taskArns"]
    with Load(fleet) as load:
        s3, key = fleet.clients.s3, "fleet/torn/model.tar.gz"
        version = s3.put_object(Bucket=fleet.place.bucket, Key=key, Body=b"half of it")["VersionId"]
        s3.put_object(Bucket=fleet.place.bucket, Key=f"{key}.sha256", Body=b"0" * 64)
        torn = fleet.settled("torn", version, patience=PATIENCE)
        assert ("refused", True) == (torn.status, "was said to be 000" in torn.reason)
        assert before == fleet.clients.ecs.list_tasks(cluster=fleet.place.cluster)["taskArns"]

        assert 0 == command(fleet, "rollback")[0]
        wait_for(lambda: served(fleet) == FIRST)
        wait_for(lambda: fleet.status().serving["name"] == FIRST)

    assert [] == load.failures


def test_an_update_of_the_stack_keeps_the_model_and_the_number_of_tasks(installed):
    fleet, _ = installed
    words = ["deploy", "fleet", "--json", "-p", f"FleetImage={fleet.image()}", "-p", "FleetStartupSeconds=60"]

    result = CliRunner().invoke(cli, words, obj=fleet.clients)

    assert 0 == result.exit_code, result.output
    outcomes = {each["name"]: each["change"] for each in json.loads(result.stdout)["stacks"]}
    assert "updated" == outcomes["atelier-serving-fleet"]
    assert (1, FIRST) == (fleet.status().desired, served(fleet))


def test_all_tasks_killed_are_replaced(fleet):
    ecs, cluster = fleet.clients.ecs, fleet.place.cluster
    before = ecs.list_tasks(cluster=cluster)["taskArns"]

    for each in before:
        ecs.stop_task(cluster=cluster, task=each, reason="a test")

    wait_for(lambda: not set(before) & set(ecs.list_tasks(cluster=cluster)["taskArns"]))
    wait_for(lambda: fleet.status().running == 1)
    wait_for(lambda: served(fleet) == FIRST)


def test_the_command_says_what_serves_and_what_became_of_the_rest(installed):
    fleet, place = installed
    code, told = command(fleet, "status")
    assert (0, True) == (code, FIRST in told)

    code, told = command(fleet, "history", "--json")
    assert (0, True) == (code, '"status": "refused"' in told)

    archive = str(place / "home" / "apprentices" / f"{FIRST}.tar.gz")
    assert (1, True) == (
        (answer := command(fleet, "put", archive, "--name", "NO"))[0],
        "'NO' is no name of a model" in answer[1],
    )

    code, told = command(fleet, "ask", "Say")
    assert (0, True) == (code, FIRST in told)


def wait_for(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
