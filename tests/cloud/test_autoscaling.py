"""Application Auto Scaling over real endpoints: from nothing to something and back."""

import json

import pytest
from async_world import SOURCE, answered, scale, send, serve
from sagemaker_world import World

from atelier.cloud.context import Refused
from atelier.cloud.services.autoscaling.plugin import PLUGIN as SCALING
from atelier.cloud.services.sagemaker.plugin import PLUGIN as SAGEMAKER
from atelier.cloud.services.wire import ServiceError

SAGEMAKER_SETTINGS = {
    "serving_grace": 2, "ping_interval": 0.05, "shutdown_grace": 0.3, "metrics_interval": 0.03,
}  # fmt: skip
PLACE = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/slow/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
BACKLOG = {
    "Namespace": "AWS/SageMaker",
    "MetricName": "ApproximateBacklogSizePerInstance",
    "Dimensions": [{"Name": "EndpointName", "Value": "slow"}],
    "Statistic": "Average",
}
ONE_MORE = {
    "AdjustmentType": "ChangeInCapacity",
    "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
    "Cooldown": 60,
}


@pytest.fixture
def minute():
    """How long a minute of alarms and cooldowns lasts."""
    return 0.2


@pytest.fixture
def world(tmp_path, cloud, minute):
    (tmp_path / "autoscaling.json").write_text(json.dumps({"interval": 0.02, "minute": minute}))
    world = World(tmp_path, cloud, settings=json.dumps(SAGEMAKER_SETTINGS))
    SAGEMAKER.service.start(world.cloud)
    SCALING.service.start(world.cloud)
    yield world
    SCALING.service.stop(world.cloud)
    world.close()


def call(world, operation, **request):
    return SCALING.service.call(world.cloud, operation, {**PLACE, **request})


def call_all(world, operation, **request):
    return SCALING.service.call(world.cloud, operation, {"ServiceNamespace": "sagemaker", **request})


def register(world, least=0, most=2, **more):
    return call(world, "RegisterScalableTarget", MinCapacity=least, MaxCapacity=most, **more)


def track(world, target=2.0, **more):
    configuration = {"TargetValue": target, "CustomizedMetricSpecification": BACKLOG, **more}
    return call(
        world,
        "PutScalingPolicy",
        PolicyName="backlog",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=configuration,
    )


def wake(world, **more):
    """The policy and the alarm that bring an endpoint back from nothing."""
    made = call(
        world,
        "PutScalingPolicy",
        PolicyName="wake",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={**ONE_MORE, **more},
    )
    world.cloud.metrics.put_alarm(
        {
            **{name: BACKLOG[name] for name in ("Namespace", "Dimensions", "Statistic")},
            "MetricName": "HasBacklogWithoutCapacity",
            "AlarmName": "awake",
            "AlarmArn": "arn:aws:cloudwatch:us-east-1:000000000000:alarm:awake",
            "Period": 60,
            "EvaluationPeriods": 2,
            "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "missing",
            "AlarmActions": [made["PolicyARN"]],
        }
    )
    return made["PolicyARN"]


def capacity(world, name="slow"):
    described = world.call("DescribeEndpoint", EndpointName=name)
    return described["EndpointStatus"], described["ProductionVariants"][0]["CurrentInstanceCount"]


def reaches(world, count):
    world.until(lambda: capacity(world), lambda seen: seen == ("InService", count))


def activities(world):
    return call_all(world, "DescribeScalingActivities")["ScalingActivities"]


def test_an_endpoint_wakes_for_a_request_answers_and_goes_back_to_nothing(world):
    serve(world)
    register(world)
    track(world, ScaleInCooldown=60, ScaleOutCooldown=60)
    wake(world)
    reaches(world, 0)

    _, given, _ = send(world)

    assert b"v1:hello" == answered(world, given)
    reaches(world, 0)
    done = world.until(lambda: activities(world), lambda rows: rows and rows[0]["StatusCode"] != "InProgress")
    causes = [each["Cause"] for each in reversed(done)]
    assert any("alarm awake in state ALARM triggered policy wake" in each for each in causes)
    assert any("AlarmLow" in each and "triggered policy backlog" in each for each in causes)
    assert {"Successful"} == {each["StatusCode"] for each in done}
    assert world.cloud.metrics.kept["awake"]["StateValue"] in ("OK", "INSUFFICIENT_DATA")


def test_a_backlog_brings_as_many_instances_as_it_needs_and_no_more_than_allowed(world):
    serve(world)
    register(world, 1, 3)
    track(world, target=2.0)

    given = [send(world, body=b"sleep0.4")[1] for _ in range(16)]

    reaches(world, 3)
    assert {b"v1:sleep0.4"} == {answered(world, each) for each in given}


class TestSlowMinutes:
    @pytest.fixture
    def minute(self):
        return 1.0

    def test_a_cooldown_keeps_the_next_step_away(self, world):
        serve(world)
        register(world, 1, 3)
        arn = wake(world, Cooldown=600)
        world.cloud.metrics.kept["awake"] |= {"MetricName": "Mine", "EvaluationPeriods": 1}
        dimensions = {"EndpointName": "slow"}

        def told():
            world.cloud.metrics.put("AWS/SageMaker", "Mine", 1, dimensions)
            return capacity(world)

        world.until(told, lambda seen: seen == ("InService", 2))
        seen = [told() for _ in range(100)]

        assert {("InService", 2)} == set(seen)
        assert 1 == len([each for each in activities(world) if "wake" in each["Cause"]])
        assert "wake" in arn


def test_an_alarm_hears_only_its_own_dimensions(world):
    serve(world)
    register(world, 1, 2)
    track(world, target=1.0)

    for _ in range(30):
        world.cloud.metrics.put(BACKLOG["Namespace"], BACKLOG["MetricName"], 50, {"EndpointName": "other"})

    assert ("InService", 1) == capacity(world)
    (high, low) = world.cloud.metrics.kept.values()
    world.until(lambda: high["AlarmName"] in world.cloud.metrics.kept, bool)
    assert "ALARM" != world.cloud.metrics.kept[high["AlarmName"]]["StateValue"]
    assert low["Threshold"] == 0.9


def test_bounds_are_kept_without_any_policy(world):
    serve(world)

    register(world, 2, 3)

    reaches(world, 2)
    assert "minimum capacity was set to 2" == activities(world)[0]["Cause"]


@pytest.mark.parametrize("suspended", ["DynamicScalingOutSuspended", "DynamicScalingInSuspended"])
def test_what_is_suspended_does_not_scale(world, suspended):
    serve(world)
    register(world, 0, 2, SuspendedState={suspended: True})
    track(world, ScaleInCooldown=0)
    wake(world)
    if suspended == "DynamicScalingOutSuspended":
        reaches(world, 0)
        send(world)
        world.until(lambda: world.cloud.metrics.kept["awake"]["StateValue"], lambda state: state == "ALARM")
        assert ("InService", 0) == capacity(world)
    else:
        low = next(each for each in world.cloud.metrics.kept if "AlarmLow" in each)
        world.until(lambda: world.cloud.metrics.kept[low]["StateValue"], lambda state: state == "ALARM")
        assert ("InService", 1) == capacity(world)


def test_the_target_and_its_policies_are_described(world):
    serve(world)
    register(world, 1, 2)
    arn = wake(world)
    made = track(world)

    (target,) = call_all(world, "DescribeScalableTargets")["ScalableTargets"]
    found = call_all(world, "DescribeScalingPolicies")

    assert (1, 2) == (target["MinCapacity"], target["MaxCapacity"])
    assert PLACE["ResourceId"] == target["ResourceId"]
    assert target["RoleARN"].endswith("/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint")
    step, tracking = found["ScalingPolicies"]
    assert (arn, ["awake"]) == (step["PolicyARN"], [each["AlarmName"] for each in step["Alarms"]])
    assert made["Alarms"] == tracking["Alarms"]
    assert 2 == len(tracking["Alarms"])
    assert ONE_MORE == step["StepScalingPolicyConfiguration"]


def test_registering_again_changes_only_what_it_names(world):
    serve(world)
    first = register(world, 1, 2)

    again = call(world, "RegisterScalableTarget", MaxCapacity=4)

    named = {"ResourceIds": [PLACE["ResourceId"]]}
    (target,) = call_all(world, "DescribeScalableTargets", **named)["ScalableTargets"]
    assert (first, 1, 4) == (again, target["MinCapacity"], target["MaxCapacity"])


def test_a_policy_and_its_alarms_go_together(world):
    serve(world)
    register(world, 1, 2)
    track(world)

    call(world, "DeleteScalingPolicy", PolicyName="backlog")

    assert {} == world.cloud.metrics.kept
    assert [] == call_all(world, "DescribeScalingPolicies")["ScalingPolicies"]


def test_a_target_goes_with_its_policies(world):
    serve(world)
    register(world, 1, 2)
    track(world)

    call(world, "DeregisterScalableTarget")

    assert {} == world.cloud.metrics.kept
    assert [] == call_all(world, "DescribeScalingPolicies")["ScalingPolicies"]
    with pytest.raises(ServiceError, match="No scalable target found"):
        call(world, "DeregisterScalableTarget")


def test_a_target_goes_with_its_endpoint(world):
    serve(world)
    register(world, 1, 2)
    track(world)

    world.call("DeleteEndpoint", EndpointName="slow")

    world.until(
        lambda: call_all(world, "DescribeScalableTargets")["ScalableTargets"], lambda rows: rows == []
    )
    assert {} == world.cloud.metrics.kept


def test_a_real_time_endpoint_is_scaled_by_its_invocations(world):
    world.endpoint("slow", world.config("slow", world.image("slow", SOURCE)))
    with pytest.raises(ServiceError, match="only asynchronous endpoints have none"):
        register(world, 0, 2)
    register(world, 1, 2)
    specification = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}

    call(
        world,
        "PutScalingPolicy",
        PolicyName="calls",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 100.0, "PredefinedMetricSpecification": specification, "DisableScaleIn": True,
        },
    )  # fmt: skip

    (alarm,) = world.cloud.metrics.kept.values()
    assert ("InvocationsPerInstance", "Sum") == (alarm["MetricName"], alarm["Statistic"])
    dimensions = {"EndpointName": "slow", "VariantName": "AllTraffic"}

    def told():
        world.cloud.metrics.put("AWS/SageMaker", "InvocationsPerInstance", 1000, dimensions)
        return capacity(world)

    world.until(told, lambda seen: seen == ("InService", 2))


@pytest.mark.parametrize(
    ("operation", "request_", "error", "text"),
    [
        (
            "RegisterScalableTarget",
            {"ServiceNamespace": "dynamodb"},
            Refused,
            "scaling of dynamodb is not part",
        ),
        (
            "RegisterScalableTarget",
            {"ScalableDimension": "sagemaker:inference-component:DesiredCopyCount"},
            *(Refused, "sagemaker:inference-component:DesiredCopyCount is not part"),
        ),
        ("RegisterScalableTarget", {"RoleARN": "arn:aws:iam::0:role/x"}, Refused, "RoleARN is not part"),
        ("RegisterScalableTarget", {"Tags": {"a": "b"}}, Refused, "Tags is not part"),
        (
            "RegisterScalableTarget",
            {"ResourceId": "endpoint/no"},
            ServiceError,
            "not endpoint/<name>/variant",
        ),
        (
            "RegisterScalableTarget",
            {"ResourceId": "endpoint/no/variant/x", "MinCapacity": 0, "MaxCapacity": 1},
            *(ServiceError, "there is no endpoint/no/variant/x that could be scaled"),
        ),
        (
            "PutScalingPolicy",
            {"PolicyName": "p", "StepScalingPolicyConfiguration": ONE_MORE},
            *(ServiceError, "No scalable target registered for service namespace: sagemaker"),
        ),
        ("PutScalingPolicy", {"PolicyName": "p"}, ServiceError, "StepScalingPolicyConfiguration is required"),
        (
            "PutScalingPolicy",
            {"PolicyName": "p", "PolicyType": "PredictiveScaling"},
            *(Refused, "policies of type PredictiveScaling are not part"),
        ),
        ("DeleteScalingPolicy", {"PolicyName": "p"}, ServiceError, "No scaling policy p found"),
        ("PutScheduledAction", {"ScheduledActionName": "x"}, ServiceError, "is not part of the local cloud"),
    ],
)
def test_what_cannot_be_is_refused_by_name(world, operation, request_, error, text):
    with pytest.raises(error, match=text):
        call(world, operation, **request_)


@pytest.mark.parametrize(
    ("configuration", "error", "text"),
    [
        ({"TargetValue": 1.0}, ServiceError, "Give a CustomizedMetricSpecification"),
        ({"TargetValue": 0.0, "CustomizedMetricSpecification": BACKLOG}, ServiceError, "greater than 0"),
        (
            {"TargetValue": 1.0, "CustomizedMetricSpecification": {"Metrics": [{"Id": "a"}]}},
            *(Refused, "CustomizedMetricSpecification.Metrics is not part"),
        ),
        (
            {
                "TargetValue": 1.0,
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "SageMakerVariantProvisionedConcurrencyUtilization"
                },
            },
            *(Refused, "SageMakerVariantProvisionedConcurrencyUtilization is not part"),
        ),
    ],
)
def test_what_cannot_be_tracked_is_refused_by_name(world, configuration, error, text):
    with pytest.raises(error, match=text):
        call(
            world,
            "PutScalingPolicy",
            PolicyName="p",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=configuration,
        )


def test_scaling_goes_on_after_a_stop(world):
    serve(world)
    register(world)
    track(world, ScaleInCooldown=0)
    wake(world)
    reaches(world, 0)
    _, given, _ = send(world)
    world.until(lambda: capacity(world)[0], lambda status: status == "Updating")

    SCALING.service.stop(world.cloud)
    SAGEMAKER.service.stop(world.cloud)
    SAGEMAKER.service.start(world.cloud)
    SCALING.service.start(world.cloud)

    assert b"v1:hello" == answered(world, given)
    reaches(world, 0)
    world.until(
        lambda: {each["StatusCode"] for each in activities(world)}, lambda seen: seen == {"Successful"}
    )


def test_an_endpoint_that_is_scaled_by_hand_is_brought_within_its_bounds(world):
    serve(world)
    register(world, 1, 1)

    scale(world, "slow", 2)

    world.until(lambda: activities(world), bool)
    reaches(world, 1)
    assert "maximum capacity was set to 1" == activities(world)[0]["Cause"]
