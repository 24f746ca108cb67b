"""Services that grow and shrink by what their tasks have to do, and what tasks are told to use."""

import json

import pytest
from ecs_world import EcsWorld

from atelier.cloud.context import Refused
from atelier.cloud.services.autoscaling.plugin import PLUGIN as SCALING
from atelier.cloud.services.wire import ServiceError

MINUTE = 0.2
PLACE = {
    "ServiceNamespace": "ecs",
    "ResourceId": "service/c/s",
    "ScalableDimension": "ecs:service:DesiredCount",
}
WHERE = {"ClusterName": "c", "ServiceName": "s"}
LABEL = "app/b/0123456789abcdef/targetgroup/g/0123456789abcdef"


@pytest.fixture
def world(tmp_path):
    (tmp_path / "autoscaling.json").write_text(json.dumps({"interval": 0.02, "minute": MINUTE}))
    world = EcsWorld(tmp_path, {"metrics_interval": 0.2})
    world.cluster()
    SCALING.service.start(world.cloud)
    yield world
    SCALING.service.stop(world.cloud)
    world.close()


def scale(world, operation, **request):
    return SCALING.service.call(world.cloud, operation, {**PLACE, **request})


def follow(world, metric, target, **more):
    """Scale the service between one task and three."""
    scale(world, "RegisterScalableTarget", MinCapacity=1, MaxCapacity=3)
    tracking = {
        "TargetValue": target,
        "PredefinedMetricSpecification": {"PredefinedMetricType": metric, **more},
        **{"ScaleOutCooldown": 0, "ScaleInCooldown": 0},
    }
    configuration = {"TargetTrackingScalingPolicyConfiguration": tracking}
    scale(world, "PutScalingPolicy", PolicyName="p", PolicyType="TargetTrackingScaling", **configuration)


def test_a_service_follows_the_processors_of_its_tasks(world):
    spin = "import time\nwhile True: sum(range(100000)); time.sleep(IDLE)"
    world.serve(world.define(world.image("busy", f"IDLE = 0\n{spin}")))
    world.settled()

    follow(world, "ECSServiceAverageCPUUtilization", 20.0)
    world.until(world.service, lambda seen: seen["desiredCount"] == 3)
    idle = world.define(world.image("idle", spin.replace("IDLE", "5")))
    world.call("UpdateService", cluster="c", service="s", taskDefinition=idle)
    world.until(world.service, lambda seen: seen["desiredCount"] == 1, patience=60)

    (first, *_) = scale(world, "DescribeScalingActivities")["ScalingActivities"][::-1]
    assert first["Description"].startswith("Setting desired task count to")
    assert any(each.total > 20 for each in world.metrics.samples("AWS/ECS", "CPUUtilization", WHERE, 0))
    assert all(
        0 < each.total < 100 for each in world.metrics.samples("AWS/ECS", "MemoryUtilization", WHERE, 0)
    )


def test_a_service_follows_the_requests_for_each_of_its_targets(world):
    world.serve(world.define(world.serving("v1")))
    world.settled()
    where = {"LoadBalancer": "app/b/0123456789abcdef", "TargetGroup": "targetgroup/g/0123456789abcdef"}

    follow(world, "ALBRequestCountPerTarget", 10.0, ResourceLabel=LABEL)

    def ask_much():
        world.metrics.put("AWS/ApplicationELB", "RequestCountPerTarget", 25.0, where)
        return world.service()

    world.until(ask_much, lambda seen: seen["runningCount"] == 3)


@pytest.mark.parametrize(
    ("metric", "error", "text"),
    [
        ({"PredefinedMetricType": "ALBRequestCountPerTarget"}, ServiceError, "ResourceLabel of ALB"),
        (
            {"PredefinedMetricType": "ECSServiceAverageCPUUtilization", "ResourceLabel": LABEL},
            *(ServiceError, "ResourceLabel is not for"),
        ),
        (
            {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
            *(ServiceError, "is not a metric of ecs"),
        ),
        ({"PredefinedMetricType": "RDSReaderAverageCPUUtilization"}, Refused, "not part of the local cloud"),
    ],
)
def test_a_metric_that_is_none_of_a_service_is_refused(world, metric, error, text):
    world.serve(world.define(world.serving("v1")), desiredCount=0)
    with pytest.raises(error, match=text):
        follow(world, metric.pop("PredefinedMetricType"), 1.0, **metric)


@pytest.mark.parametrize("resource", ["service/c", "endpoint/x/variant/y", "service/c/nobody"])
def test_what_is_no_service_is_not_scaled(world, resource):
    with pytest.raises(ServiceError, match="service/"):
        scale(world, "RegisterScalableTarget", ResourceId=resource, MinCapacity=1, MaxCapacity=3)
