"""The tables and their fakes keep work and datasets alike; executions are begun and stopped as AWS says."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from checkpoint_fakes import LATER, NOW, SOON, Life
from inference_fakes import KEYS
from moto import mock_aws
from tables import create
from work_fakes import ID, OTHER, RESULT, FakeRows

from atelier.contract.tables import DATASETS, WORK
from atelier.lambdas.adapters.executions import WorkExecutions
from atelier.lambdas.adapters.work import DynamoDatasets, DynamoWorks
from atelier.lambdas.domain.datasets import Crop, Dataset
from atelier.lambdas.domain.pages import Cursor
from atelier.lambdas.domain.work import Parent, Work
from atelier.lambdas.errors import Busy, Conflict, TimedOut
from atelier.lambdas.ports.work import Course

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:work"


@pytest.fixture
def dynamodb():
    with mock_aws(), closing(boto3.client("dynamodb", **KEYS)) as client:
        yield client


@pytest.fixture(params=["table", "fake"])
def works(request):
    if request.param == "fake":
        return FakeRows(Life())
    dynamodb = request.getfixturevalue("dynamodb")
    create(dynamodb, "work", WORK)
    return DynamoWorks(dynamodb, "work")


@pytest.fixture(params=["table", "fake"])
def datasets(request):
    if request.param == "fake":
        return FakeRows(Life())
    dynamodb = request.getfixturevalue("dynamodb")
    create(dynamodb, "datasets", DATASETS)
    return DynamoDatasets(dynamodb, "datasets")


def a_work(id=ID, **changes):
    values = {
        "id": id,
        "kind": "lora",
        "creator": "änne",
        "created": NOW,
        "name": "cat.safetensors",
        "result": RESULT,
        "output": "checkpoints/Lora/x/cat.safetensors",
        "request": '{"learning_rate": 0.001}',
        "instance_type": "ml.g4dn.xlarge",
    }
    return Work(**{**values, **changes})


def test_work_comes_back_as_it_was_saved(works):
    parents = (Parent(id=RESULT, name="a.safetensors", s3="s3://b/a"), Parent(id=ID, name="b", s3="s3://b/b"))
    kept = works.add(a_work(parents=parents, dataset="cats", source="datasets/cats/1/"))

    assert kept == works.get(ID)
    assert kept.version


def test_what_is_not_there_is_none(works):
    assert [None, None, None] == [works.get(each) for each in (OTHER, "", "ü" * 300)]


def test_of_two_who_change_the_same_one_wins(works):
    was = works.add(a_work())
    works.save(was.to("InProgress"), was=was)

    with pytest.raises(Conflict):
        works.save(was.to("Stopped", completed=SOON), was=was)

    assert "InProgress" == works.get(ID).status


def test_what_has_failed_is_watched_until_it_owes_nothing(works):
    was = works.add(a_work())
    works.add(a_work(OTHER, created=SOON, kind="merge"))

    failed = works.save(was.failed("no memory", LATER), was=was)
    assert [ID, OTHER] == [each.id for each in works.running()]

    works.save(replace(failed, owes=False), was=failed)
    assert [OTHER] == [each.id for each in works.running()]


def test_a_list_has_one_kind_newest_first_and_goes_on(works):
    works.add(a_work())
    works.add(a_work(OTHER, created=SOON))
    works.add(a_work(RESULT, created=LATER, kind="merge"))

    assert [OTHER, ID] == [each.id for each in works.newest("lora", None)]
    after = Cursor(of="lora", at=SOON, id=OTHER)
    assert [ID] == [each.id for each in works.newest("lora", after)]


def test_a_dataset_comes_back_as_it_was_saved(datasets):
    crop = Crop(work=ID, of="cats", max_resolution="64x64", status="Failed", error="why")
    plain = Dataset(name="cats", uid="1", creator="ann", created=NOW, parts=3)

    for each in (plain, replace(plain, name="cats_64x64", crop=crop, description="small cats")):
        assert datasets.add(each) == datasets.get(each.name)
    with pytest.raises(Conflict):
        datasets.add(plain)

    assert {"cats", "cats_64x64"} == {each.name for each in datasets.newest("dataset", None)}
    datasets.remove("cats")
    assert datasets.get("cats") is None


class States:
    """Step Functions and SageMaker, which answer as they are told to."""

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    def __getattr__(self, name):
        def call(**given):
            self.asked.append((name, given))
            answer = self.answers.get(name, {})
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def refused(code, text="no"):
    return ClientError({"Error": {"Code": code, "Message": text}}, "Call")


def executions(**answers):
    states = States(**answers)
    return states, WorkExecutions(states, states, MACHINE)


def test_an_execution_is_named_by_its_work():
    states, found = executions()

    found.start(ID, {"id": ID})

    assert [(MACHINE, ID)] == [(each["stateMachineArn"], each["name"]) for _, each in states.asked]


def test_an_execution_that_has_begun_is_begun():
    _, found = executions(start_execution=refused("ExecutionAlreadyExists"))

    found.start(ID, {})


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (refused("ThrottlingException"), Busy),
        (ConnectTimeoutError(endpoint_url="http://x"), Busy),
        (ReadTimeoutError(endpoint_url="http://x"), TimedOut),
        (refused("AccessDeniedException"), ClientError),
    ],
)
def test_whether_it_was_begun_is_told_apart(error, told):
    _, found = executions(start_execution=error)

    with pytest.raises(told):
        found.start(ID, {})


@pytest.mark.parametrize(
    ("answer", "course"),
    [
        ({"status": "RUNNING"}, Course(is_running=True, reason="RUNNING")),
        ({"status": "FAILED", "cause": "no memory"}, Course(is_running=False, reason="no memory")),
        ({"status": "TIMED_OUT"}, Course(is_running=False, reason="TIMED_OUT")),
        (refused("ExecutionDoesNotExist"), None),
    ],
)
def test_an_execution_says_how_it_is(answer, course):
    _, found = executions(describe_execution=answer)

    assert course == found.look(ID)


def test_stopping_what_has_ended_is_fine():
    states, found = executions(
        stop_execution=refused("ExecutionDoesNotExist"),
        stop_training_job=refused("ValidationException", "Requested resource not found."),
    )

    found.stop(ID, f"lora-{ID}")

    assert ["stop_execution", "stop_training_job"] == [name for name, _ in states.asked]


def test_a_stop_that_is_refused_is_told():
    _, found = executions(stop_training_job=refused("AccessDeniedException"))

    with pytest.raises(ClientError):
        found.stop(ID, f"lora-{ID}")
