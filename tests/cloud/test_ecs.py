"""ECS: tasks that run, services that roll over without a failed request, and what is refused."""

import threading

import pytest
from ecs_world import EcsWorld, ask


@pytest.fixture
def world(tmp_path):
    world = EcsWorld(tmp_path)
    world.cluster()
    yield world
    world.close()


def balanced(world, version="v1", **more):
    """A service behind a load balancer; return the balancer's address."""
    group, address = world.group()
    balancers = [{"targetGroupArn": group, "containerName": "main", "containerPort": 8080}]
    world.serve(world.define(world.serving(version)), loadBalancers=balancers, **more)
    world.settled()
    return address


def test_a_service_runs_its_tasks_and_answers_through_its_load_balancer(world):
    address = balanced(world, desiredCount=2)

    described = world.service()

    assert (200, "v1") == ask(address)
    assert (2, 0, 2) == tuple(described[each] for each in ("runningCount", "pendingCount", "desiredCount"))
    assert ["RUNNING", "RUNNING"] == [each["lastStatus"] for each in world.tasks()]


def test_an_update_rolls_over_without_a_failed_request(world):
    address = balanced(world, desiredCount=2)
    answers, ending = [], threading.Event()

    def load():
        while not ending.is_set():
            answers.append(ask(address))

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    world.call("UpdateService", cluster="c", service="s", taskDefinition=world.define(world.serving("v2")))
    world.settled()
    ending.set()
    for thread in threads:
        thread.join()

    assert {(200, "v1"), (200, "v2")} == set(answers)
    assert (200, "v2") == ask(address)
