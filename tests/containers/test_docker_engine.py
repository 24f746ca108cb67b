"""What only Docker does for SageMaker: limits, isolation, and the faults of an engine of its own."""

import pytest
from botocore.exceptions import ClientError
from engine_door import Door, docker_api
from engine_world import DIES_WHEN_TOLD, EngineWorld

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def world():
    world = EngineWorld("docker")
    yield world
    world.close()


@pytest.fixture(scope="module")
def image(world):
    return world.image()


@pytest.fixture(autouse=True)
def clear(world):
    yield
    world.clear()


def test_a_container_has_the_processors_and_memory_of_its_instance(world, image):
    program = "print(os.statvfs('/dev/shm').f_blocks * 4096, os.uname().nodename, flush=True); time.sleep(60)"
    resources = {"InstanceType": "ml.t3.medium", "InstanceCount": 1, "VolumeSizeInGB": 1}
    name = world.train(image, program, ResourceConfig=resources)
    world.until(lambda: world.log("/aws/sagemaker/TrainingJobs"), lambda seen: f"{2 << 30} algo-1" in seen)

    with docker_api() as api:
        (container,) = api.containers(filters={"label": f"atelier.name=training-{name}"})
        limits = api.inspect_container(container["Id"])["HostConfig"]

    assert (4 << 30, 2 * 10**9) == (limits["Memory"], limits["NanoCpus"])
    world.client("sagemaker").stop_training_job(TrainingJobName=name)
    assert "Stopped" == world.trained(name)["TrainingJobStatus"]


def test_an_isolated_job_reaches_nothing_and_has_no_credentials(world, image):
    program = """
import socket
(base / "model" / "interfaces").write_text(" ".join(name for _, name in socket.if_nameindex()))
(base / "model" / "keys").write_text(os.environ.get("AWS_SECRET_ACCESS_KEY", "none"))
"""

    name = world.train(image, program, EnableNetworkIsolation=True)

    assert "Completed" == world.trained(name)["TrainingJobStatus"]
    assert {"interfaces": b"lo", "keys": b"none", "name": b"v1"} == world.model(name)


def test_an_isolated_endpoint_answers_and_reaches_nothing(world, image):
    tells = """
import socket
VERSION = " ".join(name for _, name in socket.if_nameindex()) + os.environ.get("AWS_SECRET_ACCESS_KEY", "")
"""
    name = world.serve(world.config(image, tells, EnableNetworkIsolation=True))

    assert "InService" == world.settled(name)["EndpointStatus"], world.settled(name).get("FailureReason")
    assert b"lo:hello" == world.ask(name)
    large = b"x" * 5_000_000
    assert b"lo:" + large == world.ask(name, large)


def test_an_isolated_endpoint_that_crashes_is_started_again(world, image):
    name = world.serve(world.config(image, DIES_WHEN_TOLD, EnableNetworkIsolation=True))
    world.settled(name)

    world.crash(name)

    assert b"v1:hello" == world.answered(name)


def test_an_endpoint_cannot_change_its_model(world, image):
    tries = """
try:
    (base / "model" / "name").write_text("other")
except OSError as error:
    VERSION = error.strerror + ":"
"""
    name = world.serve(world.config(image, tries, model={"name": "weights"}))

    assert "InService" == world.settled(name)["EndpointStatus"]
    assert b"Read-only file system:weights:hello" == world.ask(name)


@pytest.fixture
def reached(monkeypatch):
    """A cloud that reaches the engine through a door."""
    door = Door()
    with monkeypatch.context() as environment:
        environment.setenv("DOCKER_HOST", door.host)
        world = EngineWorld("docker")
    yield world, door
    world.close()
    door.close()


def test_an_endpoint_is_back_with_its_engine_and_a_job_says_what_ended_it(reached):
    world, door = reached
    image = world.image()
    name, job = world.serve(world.config(image)), world.train(image, "print(1, flush=True); time.sleep(90)")
    assert "InService" == world.settled(name)["EndpointStatus"]
    world.until(lambda: world.log("/aws/sagemaker/TrainingJobs"), lambda seen: "1" in seen)

    door.shut()
    with docker_api() as api:  # an engine that is stopped ends its containers
        for each in api.containers(filters={"label": "atelier.name"}):
            if each["Labels"]["atelier.name"].startswith((f"endpoint-{name}", f"training-{job}")):
                api.kill(each["Id"])
    with pytest.raises(ClientError, match="the container does not accept connections"):
        world.ask(name)
    unlucky = world.settled(world.serve(world.config(image)))
    door.open()

    assert "the Docker engine does not answer" in unlucky["FailureReason"]
    assert b"v1:hello" == world.answered(name)
    failed = world.trained(job)["FailureReason"]
    assert "InternalServerError: the Docker engine was stopped while the container ran" == failed
