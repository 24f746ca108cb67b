"""ECS: tasks that run, services that roll over without a failed request, and what is refused."""

import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from ecs_world import ROLE, SERVE, EcsWorld, ask, is_settled
from fakes import FakeEvents

from atelier.cloud.context import Refused
from atelier.cloud.services.ecs.plugin import PLUGIN
from atelier.cloud.services.plugin import TaskFailed, is_wanted
from atelier.cloud.services.resources import Request
from atelier.cloud.services.wire import ServiceError

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
    patience = {"healthCheckGracePeriodSeconds": 60}  # a busy machine may take long to start a program
    world.serve(world.define(world.serving(version)), loadBalancers=balancers, **patience, **more)
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
        definition = world.define(world.image("bad", bad))
        asked = update(world, taskDefinition=definition, healthCheckGracePeriodSeconds=0)
        after = world.until(world.service, is_rolled_back)

    assert {(200, "v1")} == set(answers)
    assert before["taskDefinition"] == after["taskDefinition"]
    assert before["deployments"][0]["id"] == after["deployments"][0]["id"]
    told = [
        (each["eventName"], each["deploymentId"]) for each in world.told("ECS Deployment State Change", 6)
    ]
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
    world.until(world.service, lambda seen: "steady state" in seen["events"][0]["message"])
    os.kill(world.engine.started[-1].pid, signal.SIGSTOP)
    world.until(world.tasks, lambda rows: has_other(rows, stopped, second, third))

    reasons = {each["taskArn"]: (each["stopCode"], each["stoppedReason"]) for each in world.tasks("STOPPED")}
    assert ("UserInitiated", "I wanted to") == reasons[stopped]
    assert ("EssentialContainerExited", "Essential container in task exited") == reasons[second]
    assert "ServiceSchedulerInitiated" == reasons[third][0]
    assert "failed ELB health checks" in reasons[third][1]
    assert (200, "v1") == world.until(lambda: ask(address), lambda answer: answer[0] == 200)


def has_other(rows, *arns):
    return bool(rows) and rows[0]["taskArn"] not in arns and rows[0]["lastStatus"] == "RUNNING"


def test_a_task_whose_own_health_check_fails_is_replaced(world, tmp_path):
    check = {"command": ["CMD-SHELL", f"test ! -e {tmp_path}/ill-$PORT"], "interval": 5, "retries": 2}
    world.serve(world.define(world.serving("v1"), healthCheck=check))
    world.settled()
    (before,) = world.tasks()

    (tmp_path / "ill-8080").touch()
    world.until(lambda: world.tasks("STOPPED"), bool)
    (tmp_path / "ill-8080").unlink()
    world.until(world.tasks, lambda rows: rows and rows[0]["healthStatus"] == "HEALTHY")

    assert "HEALTHY" == before["healthStatus"] == before["containers"][0]["healthStatus"]
    assert "Task failed container health checks" == world.tasks("STOPPED")[0]["stoppedReason"]


def test_a_service_has_as_many_tasks_as_are_wanted(world):
    world.serve(world.define(world.serving("v1")), desiredCount=1)
    world.settled()

    update(world, desiredCount=3)
    world.until(world.service, lambda seen: seen["runningCount"] == 3)
    update(world, desiredCount=0)
    world.until(world.service, lambda seen: seen["runningCount"] == 0)

    assert [] == world.tasks()

    def counts():
        return [
            each["desiredCount"] for each in world.told("ECS Service Action", 1) if "desiredCount" in each
        ]

    assert [3, 0] == world.until(counts, lambda seen: len(seen) == 2)


def test_tasks_come_back_after_the_cloud_was_stopped(world):
    address = balanced(world)
    (before,) = world.tasks()

    world.down()
    world.up()
    after = world.until(world.tasks, lambda rows: has_other(rows, before["taskArn"]))

    assert "COMPLETED" == world.service()["deployments"][0]["rolloutState"]
    assert (200, "v1") == world.until(lambda: ask(address), lambda answer: answer[0] == 200)
    assert before["taskDefinitionArn"] == after[0]["taskDefinitionArn"]
    assert "the local cloud was stopped" in world.tasks("STOPPED")[0]["stoppedReason"]


def test_no_more_tasks_start_than_the_quota_allows(world):
    world.down()
    world.settings["tasks"] = 2
    world.write_settings()
    world.up()

    world.serve(world.define(world.serving("v1")), desiredCount=3)
    world.until(world.service, lambda seen: seen["runningCount"] == 2)

    assert "limit on the number of tasks" in str([each["message"] for each in world.service()["events"]])
    told = [each["eventName"] for each in world.told("ECS Service Action", 1)]
    assert 1 == told.count("SERVICE_TASK_PLACEMENT_FAILURE")
    with pytest.raises(ServiceError, match="limit on the number of tasks"):
        world.run("app")


def test_a_task_alone_runs_with_its_overrides_and_ends_with_its_code(world):
    world.define(world.image("job", "import os, sys; sys.exit(int(os.environ['CODE']))"))
    overrides = {"containerOverrides": [{"name": "main", "environment": [{"name": "CODE", "value": "3"}]}]}

    (task,) = world.run("app", overrides=overrides)["tasks"]
    ended = world.until(lambda: world.task(task), lambda seen: seen["lastStatus"] == "STOPPED")

    assert ("EssentialContainerExited", 3) == (ended["stopCode"], ended["containers"][0]["exitCode"])
    states = [each["lastStatus"] for each in world.told("ECS Task State Change", 9)]
    assert [
        *("PROVISIONING", "PENDING", "PENDING", "ACTIVATING", "RUNNING", "RUNNING"),
        *("DEACTIVATING", "STOPPING", "STOPPED"),
    ] == states


def test_a_task_whose_image_is_not_there_says_so(world):
    world.define("000000000000.dkr.ecr.us-east-1.amazonaws.com/nothing:1")

    (task,) = world.run("app")["tasks"]
    ended = world.until(lambda: world.task(task), lambda seen: seen["lastStatus"] == "STOPPED")

    assert "TaskFailedToStart" == ended["stopCode"]
    assert ended["stoppedReason"].startswith("CannotPullContainerError: cannot pull")


def test_a_service_that_is_deleted_ends_its_tasks(world):
    balanced(world)

    with pytest.raises(ServiceError, match="scaled above 0"):
        world.call("DeleteService", cluster="c", service="s")
    with pytest.raises(ServiceError, match="Services are active"):
        world.call("DeleteCluster", cluster="c")
    world.call("DeleteService", cluster="c", service="s", force=True)
    world.until(world.service, lambda seen: seen["status"] == "INACTIVE")

    assert [] == world.tasks()
    assert all(each.wait(0) is not None for each in world.engine.started)
    assert "INACTIVE" == world.call("DeleteCluster", cluster="c")["cluster"]["status"]


def test_when_all_tasks_are_killed_all_come_back(world):
    address = balanced(world, desiredCount=2)
    before = arns(world.tasks())

    for each in list(world.engine.started):
        os.kill(each.pid, signal.SIGKILL)
    after = world.until(world.tasks, lambda rows: len(rows) == 2 and not before & arns(rows))

    assert (200, "v1") == world.until(lambda: ask(address), lambda answer: answer[0] == 200)
    assert arns(after) == arns(world.tasks())


def arns(rows):
    return {each["taskArn"] for each in rows}


def test_a_burst_of_forced_deployments_ends_as_one(world):
    address = balanced(world)

    with load(address) as answers, ThreadPoolExecutor(4) as callers:
        list(callers.map(lambda _: update(world, forceNewDeployment=True), range(8)))
        service = world.settled()

    assert {(200, "v1")} == set(answers)
    assert 1 == service["runningCount"] == len(world.tasks())
    told = [each["eventName"] for each in world.told("ECS Deployment State Change", 11)]
    assert (9, 2) == (
        told.count("SERVICE_DEPLOYMENT_IN_PROGRESS"),
        told.count("SERVICE_DEPLOYMENT_COMPLETED"),
    )


def test_a_file_system_that_is_not_there_is_rolled_back_with_its_reason(world):
    address = balanced(world, deploymentConfiguration=BREAKER)
    volume = {"name": "shared", "efsVolumeConfiguration": {"fileSystemId": "fs-0123456789abcdef0"}}
    mount = {"sourceVolume": "shared", "containerPath": "/shared", "readOnly": True}

    bad = world.define(world.serving("v2"), volumes=[volume], mountPoints=[mount])
    update(world, taskDefinition=bad)
    world.until(world.service, is_rolled_back)

    reasons = {each["stoppedReason"] for each in world.tasks("STOPPED") if each["taskDefinitionArn"] == bad}
    assert "there is no file system fs-0123456789abcdef0" in reasons.pop()
    assert (200, "v1") == ask(address)


def test_a_sidecar_may_end_and_an_essential_container_may_not(world):
    sidecar = {"name": "sidecar", "image": world.image("side", "print('done')"), "essential": False}
    world.serve(world.define(world.serving("v1"), containers=[sidecar]))
    world.settled()

    def ends():
        (task,) = world.tasks()
        return task["lastStatus"], {each["name"]: each["lastStatus"] for each in task["containers"]}

    world.until(ends, lambda seen: seen == ("RUNNING", {"main": "RUNNING", "sidecar": "STOPPED"}))


def integrate(world, name, program):
    parameters = {
        "Cluster": "c",
        "TaskDefinition": world.define(world.image("job", program)),
        "LaunchType": "FARGATE",
        "NetworkConfiguration": {"AwsvpcConfiguration": {"Subnets": ["subnet-1"]}},
    }
    return PLUGIN.integrations[name](world.cloud, world.identity.caller(), parameters)


def test_a_state_machine_waits_for_its_task(world):
    done = integrate(world, "ecs:runTask.sync", "print('done')")

    assert ("STOPPED", 0) == (done["LastStatus"], done["Containers"][0]["ExitCode"])
    with pytest.raises(TaskFailed, match='"ExitCode": 7'):
        integrate(world, "ecs:runTask.sync", "raise SystemExit(7)")


def test_a_state_machine_that_was_aborted_stops_its_task(world):
    token = is_wanted.set(lambda: False)
    try:
        with pytest.raises(TaskFailed, match="its tasks are stopped"):
            integrate(world, "ecs:runTask.sync", "import time; time.sleep(60)")
    finally:
        is_wanted.reset(token)

    (arn,) = world.call("ListTasks", cluster="c", desiredStatus="STOPPED")["taskArns"]
    world.until(lambda: world.task({"taskArn": arn}), lambda seen: seen["lastStatus"] == "STOPPED")


def test_a_stack_fails_with_its_service_and_leaves_nothing(world):
    (kind,) = [each for each in PLUGIN.resources if each.type == "AWS::ECS::Service"]
    bad = world.define(world.image("bad", "raise SystemExit('broken')"))
    properties = {
        **{"Cluster": "c", "ServiceName": "s", "TaskDefinition": bad, "LaunchType": "FARGATE"},
        "NetworkConfiguration": {"AwsvpcConfiguration": {"Subnets": ["subnet-1"]}},
        "DeploymentConfiguration": {"DeploymentCircuitBreaker": {"Enable": "true", "Rollback": "true"}},
    }

    with pytest.raises(Refused, match=r"Circuit Breaker was triggered.*tasks failed to start"):
        kind.create(world.cloud, Request(stack="x", logical_id="S", properties=properties, name="s"))

    assert "INACTIVE" == world.service()["status"]
    assert [] == world.call("ListServices", cluster="c")["serviceArns"] == world.tasks()


def test_what_an_event_tells_of_can_be_seen_by_who_hears_it(tmp_path):
    seen = []

    class Listening(FakeEvents):
        def publish(self, source, detail_type, detail, resources):
            if "Deployment" in detail_type:
                states = {each["id"]: each["rolloutState"] for each in world.service()["deployments"]}
                seen.append((detail["eventName"].rpartition("_")[2], states.get(detail["deploymentId"])))

    world = EcsWorld(tmp_path, events=Listening())
    world.cluster()
    try:
        world.serve(world.define(world.serving("v1")))
        world.until(lambda: seen, lambda told: len(told) == 2)
    finally:
        world.close()

    assert ("COMPLETED", "COMPLETED") == seen[-1]


def test_a_cloud_that_goes_down_in_a_bad_deployment_still_goes_back(world):
    address = balanced(world, deploymentConfiguration=BREAKER)
    update(world, taskDefinition=world.define(world.image("bad", "raise SystemExit('broken')")))
    world.until(lambda: len(world.engine.started), lambda count: count >= 2)

    world.down()
    world.up()
    world.until(world.service, is_rolled_back)

    assert (200, "v1") == world.until(lambda: ask(address), lambda answer: answer[0] == 200)
    assert world.service()["taskDefinition"].endswith("app:1")


def test_a_task_that_stays_too_long_is_killed(world, tmp_path):
    deaf = "import pathlib, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)"
    ready = tmp_path / "ready"
    program = f"{deaf}\npathlib.Path({str(ready)!r}).touch()\ntime.sleep(600)"
    world.define(world.image("stubborn", program), stopTimeout=1)
    (task,) = world.run("app")["tasks"]
    world.until(ready.exists, bool)

    world.call("StopTask", cluster="c", task=task["taskArn"])
    ended = world.until(lambda: world.task(task), lambda seen: seen["lastStatus"] == "STOPPED")

    assert 137 == ended["containers"][0]["exitCode"]


def test_a_task_finds_its_role_and_itself_while_it_runs_and_nobody_else_does(world, tmp_path):
    names = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "ECS_CONTAINER_METADATA_URI_V4")
    told = tmp_path / "told"
    program = f"import os, pathlib, time\nwhere = [os.environ[each] for each in {names!r}]\n"
    program += f"pathlib.Path({str(told)!r}).write_text(' '.join(where))\ntime.sleep(600)"
    world.define(world.image("curious", program))
    (task,) = world.run("app")["tasks"]
    role, about = world.until(lambda: told.exists() and told.read_text(), bool).split()

    credentials, metadata = json.loads(read(role)[1]), json.loads(read(f"{about}/task")[1])
    world.call("StopTask", cluster="c", task=task["taskArn"])
    world.until(lambda: world.task(task), lambda seen: seen["lastStatus"] == "STOPPED")

    assert (ROLE, "AKIAFAKE") == (credentials["RoleArn"], credentials["AccessKeyId"])
    assert (task["taskArn"], "app", "1") == tuple(
        metadata[each] for each in ("TaskARN", "Family", "Revision")
    )
    assert {404} == {read(role)[0], read(about)[0], read(role[:-1])[0]}


def read(url):
    return ask(url.removeprefix("http://"), "")
