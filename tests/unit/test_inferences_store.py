"""The tables and their fakes keep jobs and endpoints alike."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import boto3
import pytest
from inference_fakes import JOB, KEYS, NOW, FakeEndpoints, FakeJobs, Life, an_endpoint_of
from moto import mock_aws
from tables import create

from atelier.contract.tables import ENDPOINTS, INFERENCES
from atelier.lambdas.adapters.endpoints import DynamoEndpoints
from atelier.lambdas.adapters.inferences import DynamoInferences
from atelier.lambdas.domain.endpoints import Sight
from atelier.lambdas.domain.inferences import Inference, Model, Runner, Sent
from atelier.lambdas.errors import Conflict

LATER = NOW.replace("12:00", "12:01")


@pytest.fixture
def dynamodb() -> Iterator:
    with mock_aws(), closing(boto3.client("dynamodb", **KEYS)) as client:
        yield client


@pytest.fixture(params=["table", "fake"])
def jobs(request):
    if request.param == "fake":
        return FakeJobs(Life())
    dynamodb = request.getfixturevalue("dynamodb")
    create(dynamodb, "jobs", INFERENCES)
    return DynamoInferences(dynamodb, "jobs")


@pytest.fixture(params=["table", "fake"])
def endpoints(request):
    if request.param == "fake":
        return FakeEndpoints(Life())
    dynamodb = request.getfixturevalue("dynamodb")
    create(dynamodb, "endpoints", ENDPOINTS)
    return DynamoEndpoints(dynamodb, "endpoints")


def a_job(id=JOB, **changes) -> Inference:
    values = {
        "id": id,
        "task": "txt2img",
        "kind": "Async",
        "user": "änne #1",
        "created": NOW,
        "runner": Runner(id=JOB, name="sd-async-x", instance_type="ml.g4dn.xlarge"),
    }
    return Inference(**{**values, **changes})


def test_a_job_comes_back_as_it_was_saved(jobs):
    full = a_job(
        models=(
            Model(id=JOB, type="Stable-diffusion", name="a.safetensors", s3="s3://b/a", sha256="ab" * 32),
            Model(id=JOB, type="Lora", name="b.safetensors", s3="s3://b/b"),
        ),
        workflow="flow",
        started=LATER,
        completed=LATER,
        images=("image_0.png",),
        sent=Sent(output="s3://b/o"),
        attempts=2,
        error="why",
    )
    kept = jobs.add(full)
    sparse = jobs.add(a_job("2" * 36))

    assert full == replace(jobs.get(JOB), version="")
    assert (kept, sparse) == (jobs.get(JOB), jobs.get("2" * 36))
    assert jobs.get("3" * 36) is None


@pytest.mark.parametrize("key", ["", "x", "../" * 20, "ä" * 3000, JOB.upper() + "\n"])
def test_what_cannot_be_a_key_is_not_there(jobs, endpoints, key):
    assert (None, None) == (jobs.get(key), endpoints.get(key))


def test_of_two_writers_one_wins(jobs):
    was = jobs.add(a_job())
    jobs.save(was.to("cancelled"), was=was)

    with pytest.raises(Conflict, match="changed elsewhere"):
        jobs.save(was.to("inprogress", started=LATER), was=was)

    assert "cancelled" == jobs.get(JOB).status


def test_a_job_that_is_removed_is_not_saved_again(jobs):
    was = jobs.add(a_job())
    jobs.remove(JOB)
    jobs.remove(JOB)

    with pytest.raises(Conflict):
        jobs.save(was.to("inprogress", started=LATER), was=was)

    assert jobs.get(JOB) is None


def test_jobs_are_paged_by_task_and_user_the_newest_first(jobs):
    for number in range(5):
        user = "ann" if number % 2 else "bob"
        jobs.add(a_job(str(number) * 36, user=user, created=NOW.replace("12:00", f"12:0{number}")))
    jobs.add(a_job("9" * 36, task="img2img"))

    first = jobs.page("txt2img", None, 3, None)
    second = jobs.page("txt2img", None, 3, first.last)
    own = jobs.page("txt2img", "bob", 2, None)
    more = jobs.page("txt2img", "bob", 2, own.last)

    assert ["4", "3", "2"] == [each.id[0] for each in first.items]
    assert ["1", "0"] == [each.id[0] for each in second.items]
    assert ["4", "2", "0"] == [each.id[0] for each in (*own.items, *more.items)]
    assert (None, None) == (second.last, more.last)
    assert () == jobs.page("txt2img", "nobody", 3, None).items


def test_only_jobs_in_progress_are_running(jobs):
    for number in range(3):
        was = jobs.add(a_job(str(number) * 36))
        jobs.save(was.to("inprogress", started=NOW.replace("12:00", f"12:0{number}")), was=was)
    done = jobs.get("0" * 36)
    jobs.save(done.to("succeeded"), was=done)

    assert ["1" * 36] == [each.id for each in jobs.running(NOW.replace("12:00", "12:02"))]


def test_an_endpoint_comes_back_as_it_was_saved(endpoints):
    full = an_endpoint_of(
        status="InService",
        instances=2,
        autoscaling=True,
        custom_image="r/i:1",
        extensions="https://github.com/o/r.git",
        error="why",
    )

    assert full == replace(endpoints.add(full), version="")
    assert full == replace(endpoints.get(full.name), version="")
    assert [full] == [replace(each, version="") for each in endpoints.all()]
    assert endpoints.get("sd-async-unknown") is None
    assert endpoints.get("claim#sd#Async#painter") is None


def test_a_name_and_a_roles_one_endpoint_of_a_kind_are_taken_once(endpoints):
    endpoints.add(an_endpoint_of(roles=("one", "two")))

    with pytest.raises(Conflict, match='Cannot create already existing model "sd-async-x"'):
        endpoints.add(an_endpoint_of(roles=("three",)))
    with pytest.raises(Conflict, match=r"role \[two\] has a valid endpoint already"):
        endpoints.add(an_endpoint_of("y", roles=("three", "two")))
    endpoints.add(an_endpoint_of("y", roles=("three",)))
    endpoints.add(an_endpoint_of("z", roles=("two",), kind="Real-time"))


@pytest.mark.parametrize("status", ["Failed", "Deleting"])
def test_an_endpoint_that_is_not_valid_gives_its_roles_free(endpoints, status):
    was = endpoints.add(an_endpoint_of())
    endpoints.save(was.seen(Sight(status="InService", instances=1)), was=was)
    was = endpoints.get(was.name)
    with pytest.raises(Conflict, match="has a valid endpoint"):
        endpoints.add(an_endpoint_of("y"))

    endpoints.save(replace(was, status=status), was=was)

    endpoints.add(an_endpoint_of("y"))
    endpoints.remove(endpoints.get(was.name))
    with pytest.raises(Conflict, match="has a valid endpoint"):
        endpoints.add(an_endpoint_of("z"))


def test_of_two_writers_of_an_endpoint_one_wins(endpoints):
    was = endpoints.add(an_endpoint_of())
    endpoints.save(replace(was, instances=1), was=was)

    with pytest.raises(Conflict):
        endpoints.save(replace(was, instances=2), was=was)
    with pytest.raises(Conflict):
        endpoints.remove(was)

    assert 1 == endpoints.get(was.name).instances


def test_endpoints_are_listed_the_newest_first(endpoints):
    endpoints.add(an_endpoint_of("a", roles=("a",)))
    endpoints.add(an_endpoint_of("b", roles=("b",), created=LATER))

    assert ["sd-async-b", "sd-async-a"] == [each.name for each in endpoints.all()]
