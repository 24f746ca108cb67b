"""ECS: tasks that run, services that roll over without a failed request, and what is refused."""

import os
import signal
import threading
import time
from contextlib import contextmanager

import pytest
from ecs_world import SERVE, EcsWorld, ask, is_settled

BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


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


@contextmanager
def load(address):
    """Ask all the time; what was answered is in the list."""
    answers, ending = [], threading.Event()

    def ask_on():
        while not ending.is_set():
            answers.append(ask(address))

    threads = [threading.Thread(target=ask_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def update(world, **changes):
    return world.call("UpdateService", cluster="c", service="s", **changes)["service"]


def is_rolled_back(service):
    return is_settled(service) and "rolling back" in service["deployments"][0]["rolloutStateReason"]


def test_an_update_rolls_over_without_a_failed_request(world):
    address = balanced(world, desiredCount=2)

    with load(address) as answers:
        update(world, taskDefinition=world.define(world.serving("v2")))
        world.settled()

    assert {(200, "v1"), (200, "v2")} == set(answers)
    assert (200, "v2") == ask(address)


def test_a_forced_deployment_replaces_every_task(world):
    address = balanced(world)
    before = world.tasks()[0]

    with load(address) as answers:
        update(world, forceNewDeployment=True)
        world.settled()

    (after,) = world.tasks()
    assert {(200, "v1")} == set(answers)
    assert before["taskDefinitionArn"] == after["taskDefinitionArn"]
    assert before["taskArn"] != after["taskArn"]


@pytest.mark.parametrize(
    "bad", ["raise SystemExit('the model is broken')", f"VERSION, HEALTHY = 'bad', False\n{SERVE}"]
)
def test_a_version_that_does_not_serve_is_rolled_back_and_gets_no_request(world, bad):
    address = balanced(world, desiredCount=2, deploymentConfiguration=BREAKER)
    before = world.service()

    with load(address) as answers:
        asked = update(world, taskDefinition=world.define(world.image("bad", bad)))
        after = world.until(world.service, is_rolled_back)

    assert {(200, "v1")} == set(answers)
    assert before["taskDefinition"] == after["taskDefinition"]
    assert before["deployments"][0]["id"] == after["deployments"][0]["id"]
    told = [(each["eventName"], each["deploymentId"]) for each in world.told("ECS Deployment State Change")]
    first, second = before["deployments"][0]["id"], asked["deployments"][0]["id"]
    assert [
        ("SERVICE_DEPLOYMENT_IN_PROGRESS", first),
        ("SERVICE_DEPLOYMENT_COMPLETED", first),
        ("SERVICE_DEPLOYMENT_IN_PROGRESS", second),
        ("SERVICE_DEPLOYMENT_FAILED", second),
        ("SERVICE_DEPLOYMENT_IN_PROGRESS", first),
        ("SERVICE_DEPLOYMENT_COMPLETED", first),
    ] == told


def test_without_rollback_a_failed_deployment_starts_no_more_tasks_and_the_old_serve_on(world):
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
    address = balanced(world, deploymentConfiguration=breaker)

    update(world, taskDefinition=world.define(world.image("bad", "raise SystemExit('broken')")))
    service = world.until(world.service, lambda seen: seen["deployments"][0]["rolloutState"] == "FAILED")

    started = len(world.engine.started)
    time.sleep(1)  # twice the longest delay of a restart
    assert 3 == service["deployments"][0]["failedTasks"]
    assert (200, "v1") == ask(address)
    assert started == len(world.engine.started)


def test_a_good_version_after_a_failed_one_is_deployed(world):
    address = balanced(world, deploymentConfiguration=BREAKER)
    update(world, taskDefinition=world.define(world.image("bad", "raise SystemExit('broken')")))
    world.until(world.service, is_rolled_back)

    update(world, taskDefinition=world.define(world.serving("v2")))
    world.settled()

    assert (200, "v2") == ask(address)


def test_a_new_version_may_come_before_the_one_before_has_failed(world):
    address = balanced(world, deploymentConfiguration=BREAKER)

    with load(address) as answers:
        update(world, taskDefinition=world.define(world.image("bad", "raise SystemExit('broken')")))
        update(world, taskDefinition=world.define(world.serving("v2")))
        world.settled()

    assert {(200, "v1"), (200, "v2")} == set(answers)
    assert (200, "v2") == ask(address)


def test_a_stopped_a_killed_and_an_unhealthy_task_are_replaced(world):
    address = balanced(world)
    stopped = world.tasks()[0]["taskArn"]

    world.call("StopTask", cluster="c", task=stopped, reason="I wanted to")
    second = world.until(world.tasks, lambda rows: has_other(rows, stopped))[0]["taskArn"]
    os.kill(world.engine.started[-1].pid, signal.SIGKILL)
    third = world.until(world.tasks, lambda rows: has_other(rows, stopped, second))[0]["taskArn"]
    os.kill(world.engine.started[-1].pid, signal.SIGSTOP)
    world.until(world.tasks, lambda rows: has_other(rows, stopped, second, third), patience=60)

    reasons = {each["taskArn"]: (each["stopCode"], each["stoppedReason"]) for each in world.tasks("STOPPED")}
    assert ("UserInitiated", "I wanted to") == reasons[stopped]
    assert ("EssentialContainerExited", "Essential container in task exited") == reasons[second]
    assert "ServiceSchedulerInitiated" == reasons[third][0]
    assert "failed ELB health checks" in reasons[third][1]
    assert (200, "v1") == world.until(lambda: ask(address), lambda answer: answer[0] == 200)


def has_other(rows, *arns):
    return bool(rows) and rows[0]["taskArn"] not in arns and rows[0]["lastStatus"] == "RUNNING"
