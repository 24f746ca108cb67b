"""What a service needs next, by the rules alone; and what ECS does not take."""

import pytest
from ecs_world import NETWORK, ROLE, EcsWorld

from atelier.cloud.context import Refused
from atelier.cloud.services.ecs.placement import providers
from atelier.cloud.services.ecs.planning import Seen, Wanted, is_steady, plan, threshold
from atelier.cloud.services.wire import ServiceError


def tasks(picture):
    """Tasks by letter: upper case is new, lower is old. Ids are positions.

    h serves, w not yet, f fails and has never served, s fails and has served before.
    """
    return [
        Seen(
            id=str(index),
            is_new=each.isupper(),
            is_healthy=each in "hH",
            failing="it fails" if each in "fFsS" else None,
            has_served=each in "hHsS",
        )
        for index, each in enumerate(picture)
    ]


@pytest.mark.parametrize(
    ("count", "picture", "start", "stopped", "why"),
    [
        (2, "", 2, "", "a new service starts at once"),
        (2, "hh", 2, "", "new tasks start beside the old ones"),
        (2, "hhWW", 0, "", "old tasks stay until new ones serve"),
        (2, "hhHW", 0, "0", "an old task goes for every new one that serves"),
        (2, "hhHH", 0, "01", "all old ones go when all new ones serve"),
        (2, "HH", 0, "", "nothing is to be done"),
        (2, "HHH", 0, "2", "the youngest of too many goes"),
        (2, "HHW", 0, "2", "rather one that does not serve"),
        (2, "WHH", 0, "0", "wherever it is"),
        (2, "wwHH", 0, "01", "old ones that do not serve go first"),
        (2, "hwW", 1, "1", "and make room at once"),
        (0, "HH", 0, "10", "none is none"),
        (3, "H", 2, "", "what is missing is started"),
        (2, "HF", 1, "1", "what fails is replaced"),
        (2, "hhFF", 2, "23", "again and again"),
        (2, "hf", 2, "1", "an old one that fails is not started again, but its place is free"),
        (1, "S", 1, "", "one that served goes when another one serves"),
        (1, "SW", 0, "", "and not before"),
        (1, "SH", 0, "0", "but then"),
        (2, "HS", 1, "", "whatever else serves"),
        (2, "HSW", 0, "", "until all are there"),
        (2, "ssWW", 0, "", "old ones that served go as well"),
        (2, "ssHH", 0, "01", "when new ones serve"),
    ],
)
def test_a_service_rolls_over_by_twice_its_size_and_never_under_it(count, picture, start, stopped, why):
    found = plan(Wanted(count=count), tasks(picture))

    gone = {*found.failing, *found.surplus}
    assert (start, set(stopped)) == (found.start, gone), why


@pytest.mark.parametrize(
    ("least", "most", "picture", "start", "stopped"),
    [
        (100, 150, "hhhh", 2, ""),
        (50, 100, "hhhh", 2, "01"),
        (50, 100, "hhWW", 0, ""),
        (0, 100, "hhhh", 4, "0123"),
        (75, 125, "hhhh", 2, "0"),
    ],
)
def test_how_far_a_service_strays_is_its_own_choice(least, most, picture, start, stopped):
    found = plan(Wanted(count=4, least_percent=least, most_percent=most), tasks(picture))

    assert (start, set(stopped)) == (found.start, set(found.surplus))


def test_one_that_fails_goes_first_where_there_is_no_room_for_another():
    found = plan(Wanted(count=2, least_percent=50, most_percent=100), tasks("SS"))

    assert (2, {"0", "1"}) == (found.start, set(found.failing))


def test_a_failed_deployment_starts_nothing():
    assert 0 == plan(Wanted(count=2, may_start=False), tasks("hh")).start


@pytest.mark.parametrize(("picture", "steady"), [("HH", True), ("HW", False), ("hHH", False), ("H", False)])
def test_a_service_is_steady_when_all_there_is_are_new_tasks_that_serve(picture, steady):
    assert steady == is_steady(Wanted(count=2), tasks(picture))


@pytest.mark.parametrize(("count", "failures"), [(0, 3), (1, 3), (6, 3), (7, 4), (50, 25), (1000, 200)])
def test_a_circuit_breaker_trips_after_half_as_many_failures_as_tasks_within_bounds(count, failures):
    assert failures == threshold(count)


def test_a_strategy_meets_its_base_and_then_its_weights():
    strategy = [
        {"capacityProvider": "FARGATE", "base": 1, "weight": 1},
        {"capacityProvider": "FARGATE_SPOT", "weight": 3},
    ]
    placed = []
    for _ in range(5):
        placed.append(providers({"capacityProviderStrategy": strategy}, placed))

    names = [each["capacityProviderName"] for each in placed]
    assert "FARGATE" == names[0]
    assert (2, 3) == (names.count("FARGATE"), names.count("FARGATE_SPOT"))


@pytest.fixture
def world(tmp_path):
    world = EcsWorld(tmp_path)
    world.cluster()
    yield world
    world.close()


CONTAINER = {"name": "main", "image": "repository:1", "portMappings": [{"containerPort": 8080}]}
DEFINITION = {
    "family": "app",
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [CONTAINER],
}
LOGS = {"logDriver": "awslogs", "options": {"awslogs-group": "g", "awslogs-region": "us-east-1"}}
EFS = {"fileSystemId": "fs-1", "authorizationConfig": {"accessPointId": "fsap-1"}}


def container(**more):
    return {"containerDefinitions": [{**CONTAINER, **more}]}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"family": "a b"}, "Family contains invalid characters"),
        ({"requiresCompatibilities": ["EC2"]}, "do not require FARGATE"),
        ({"networkMode": "bridge"}, "only supports network mode 'awsvpc'"),
        ({"cpu": None}, "'cpu' and 'memory' be defined"),
        ({"cpu": "256", "memory": "4096"}, "No Fargate configuration exists"),
        ({"cpu": "lots"}, "Invalid value for cpu or memory"),
        ({"containerDefinitions": []}, "Container list cannot be empty"),
        ({"containerDefinitions": [CONTAINER, CONTAINER]}, "names must be unique"),
        (container(essential=False), "At least one container must be essential"),
        (container(image=""), "Container.image should not be null"),
        (container(stopTimeout=121), "at most 120 seconds"),
        (container(mountPoints=[{"sourceVolume": "x", "containerPath": "/x"}]), "Unknown volume 'x'"),
        (container(portMappings=[{"containerPort": 80, "hostPort": 81}]), "must match"),
        (container(portMappings=[{"containerPort": 80, "protocol": "udp"}]), "protocol udp"),
        (container(logConfiguration={"logDriver": "splunk"}), "log driver splunk"),
        (container(logConfiguration=LOGS), "requires option 'awslogs-stream-prefix'"),
        (container(secrets=[{"name": "a", "valueFrom": "b"}]), "execution role ARN to support secrets"),
        (container(privileged=True), "containerDefinitions.privileged is not part"),
        (container(dependsOn=[{"containerName": "a", "condition": "START"}]), "dependsOn is not part"),
        (container(healthCheck={"command": ["true"]}), "begins with CMD or CMD-SHELL"),
        (container(healthCheck={"command": ["CMD", "true"], "interval": 1}), "interval must be between 5"),
        ({"pidMode": "task"}, "RegisterTaskDefinition.pidMode is not part"),
        ({"ephemeralStorage": {"sizeInGiB": 30}}, "ephemeralStorage is not part"),
        ({"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}}, "system family WINDOWS"),
        ({"volumes": [{"name": "v", "host": {"sourcePath": "/"}}]}, "volumes.host is not part"),
        ({"volumes": [{"name": "v", "efsVolumeConfiguration": EFS}]}, "transit encryption must be enabled"),
    ],
)
def test_a_definition_that_cannot_run_is_refused_by_name(world, change, text):
    request = {key: each for key, each in {**DEFINITION, **change}.items() if each is not None}

    with pytest.raises((ServiceError, Refused), match=text):
        world.call("RegisterTaskDefinition", **request)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"cluster": "nowhere"}, "Cluster not found"),
        ({"serviceName": "a b"}, "Invalid service name"),
        ({"taskDefinition": "app:7"}, "TaskDefinition not found"),
        ({"desiredCount": -1}, "non-negative"),
        ({"networkConfiguration": None}, "Network Configuration must be provided"),
        ({"launchType": "EC2"}, "launch type EC2"),
        ({"capacityProviderStrategy": [{"capacityProvider": "X", "weight": 1}]}, "launch type and capacity"),
        ({"platformVersion": "1.3.0"}, "platform version 1.3.0"),
        ({"schedulingStrategy": "DAEMON"}, "scheduling strategy DAEMON"),
        ({"deploymentController": {"type": "CODE_DEPLOY"}}, "deployment controller CODE_DEPLOY"),
        ({"deploymentConfiguration": {"strategy": "CANARY"}}, "deployment strategy CANARY"),
        (
            {"deploymentConfiguration": {"maximumPercent": 100, "minimumHealthyPercent": 100}},
            "No deployment could go on",
        ),
        ({"enableExecuteCommand": True}, "enableExecuteCommand is not part"),
        ({"serviceRegistries": [{"registryArn": "x"}]}, "serviceRegistries is not part"),
        (
            {"loadBalancers": [{"targetGroupArn": "x", "containerName": "main", "containerPort": 1}]},
            "did not have a container port 1",
        ),
        (
            {"loadBalancers": [{"targetGroupArn": "x", "containerName": "main", "containerPort": 8080}]},
            "target group does not exist",
        ),
    ],
)
def test_a_service_that_cannot_be_is_refused_by_name(world, change, text):
    world.define("repository:1")
    usual = {"cluster": "c", "serviceName": "s", "taskDefinition": "app", "launchType": "FARGATE"}
    request = {**usual, "networkConfiguration": NETWORK, **change}

    with pytest.raises((ServiceError, Refused), match=text):
        world.call("CreateService", **{key: each for key, each in request.items() if each is not None})
    assert [] == world.call("ListServices", cluster="c")["serviceArns"]


def test_a_target_group_that_no_load_balancer_uses_is_refused(world):
    made = world.balance(
        "CreateTargetGroup", Name="alone", Protocol="HTTP", Port=1, TargetType="ip", VpcId="vpc-1"
    )
    group = made["TargetGroups"][0]["TargetGroupArn"]
    balancers = [{"targetGroupArn": group, "containerName": "main", "containerPort": 8080}]

    with pytest.raises(ServiceError, match="does not have an associated load balancer"):
        world.serve(world.define("repository:1"), loadBalancers=balancers)


def test_a_revision_never_changes_and_no_number_is_given_twice(world):
    first, second = world.define("repository:1"), world.define("repository:2")
    world.call("DeregisterTaskDefinition", taskDefinition=second)
    third = world.define("repository:3")

    described = world.call("DescribeTaskDefinition", taskDefinition="app:1")["taskDefinition"]
    assert ["1", "2", "3"] == [each.rpartition(":")[2] for each in (first, second, third)]
    assert "repository:1" == described["containerDefinitions"][0]["image"]
    assert [first, third] == world.call("ListTaskDefinitions", familyPrefix="app")["taskDefinitionArns"]
    assert {"families": ["app"]} == world.call("ListTaskDefinitionFamilies")
    with pytest.raises(ServiceError, match="is inactive"):
        world.serve(second)


def test_who_may_not_pass_a_role_registers_nothing_that_has_it(world):
    world.identity.denied.add("iam:PassRole")

    with pytest.raises(ServiceError, match=f"iam:PassRole on resource: {ROLE}"):
        world.define("repository:1")


@pytest.mark.parametrize(
    ("operation", "request_", "resource"),
    [
        ("UpdateService", {"cluster": "c", "service": "s"}, "service/c/s"),
        ("RegisterTaskDefinition", DEFINITION, "task-definition/app:*"),
        ("RunTask", {"taskDefinition": "app:3"}, "task-definition/app:3"),
        ("StopTask", {"cluster": "c", "task": "arn:aws:ecs:us-east-1:000000000000:task/c/7"}, "task/c/7"),
        ("DeleteCluster", {"cluster": "c"}, "cluster/c"),
    ],
)
def test_callers_are_asked_on_the_resource_itself(world, operation, request_, resource):
    world.identity.denied.add(f"ecs:{operation}")

    with pytest.raises(
        ServiceError, match=f"resource: .*:{resource}".replace("*", r"\*").replace(r".\*", ".*")
    ):
        world.call(operation, **request_)


def test_tags_come_and_go(world):
    arn = world.define("repository:1")

    world.call("TagResource", resourceArn=arn, tags=[{"key": "a", "value": "1"}, {"key": "b", "value": "2"}])
    world.call("UntagResource", resourceArn=arn, tagKeys=["a"])

    found = world.call("DescribeTaskDefinition", taskDefinition="app", include=["TAGS"])["tags"]
    assert [{"key": "b", "value": "2"}] == found == world.call("ListTagsForResource", resourceArn=arn)["tags"]


def test_a_request_that_comes_twice_makes_one_service(world):
    definition = world.define("repository:1")

    first = world.serve(definition, desiredCount=0, clientToken="once")
    again = world.serve(definition, desiredCount=0, clientToken="once")

    assert first["createdAt"] == again["createdAt"]
    with pytest.raises(ServiceError, match="not idempotent"):
        world.serve(definition, desiredCount=0, clientToken="another")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"settings": [{"name": "containerInsights", "value": "enabled"}]}, "containerInsights=enabled"),
        ({"capacityProviders": ["MINE"]}, "capacity provider MINE was not found"),
        (
            {"configuration": {"executeCommandConfiguration": {"logging": "NONE"}}},
            "configuration is not part",
        ),
        (
            {
                "capacityProviders": ["FARGATE"],
                "defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
            },
            "FARGATE_SPOT, which the cluster does not have",
        ),
    ],
)
def test_a_cluster_that_cannot_be_is_refused_by_name(world, change, text):
    with pytest.raises((ServiceError, Refused), match=text):
        world.call("CreateCluster", clusterName="other", **change)
    assert 1 == len(world.call("ListClusters")["clusterArns"])


def test_a_cluster_gives_its_services_its_strategy(world):
    strategy = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    world.call("PutClusterCapacityProviders", cluster="c", capacityProviders=["FARGATE_SPOT"],
               defaultCapacityProviderStrategy=strategy)  # fmt: skip

    service = world.serve(world.define("repository:1"), desiredCount=0, launchType=None)

    assert strategy == service["capacityProviderStrategy"]
    assert "launchType" not in service
