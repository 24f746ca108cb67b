"""How many tasks the fleet has, and when a person is called."""

from __future__ import annotations

from troposphere import GetAtt, If, Join, Ref, Template, cloudwatch, ecs, sns
from troposphere import applicationautoscaling as scaling

from atelier.templates import fleet_parts as own
from atelier.templates.fleet_front import Front
from atelier.templates.parts import Text

SCALE_IN_SECONDS, SCALE_OUT_SECONDS = 300, 30
LATENCY_SECONDS = 10


def add(t: Template, front: Front, cluster: ecs.Cluster, service: ecs.Service, topic: sns.Topic) -> None:
    """Follow the requests with the number of tasks, and call when they go wrong."""
    target = t.add_resource(
        scaling.ScalableTarget(
            "TaskNumber",
            ServiceNamespace="ecs",
            ScalableDimension="ecs:service:DesiredCount",
            ResourceId=Join("/", ["service", Ref(cluster), GetAtt(service, "Name")]),
            # without a model there are no tasks; the landing function raises it with the first
            MinCapacity=If("HasTasks", Ref(own.MIN_TASKS), 0),
            MaxCapacity=Ref(own.MAX_TASKS),
        )
    )
    t.add_resource(policy(front, target))
    for each in alarms(front, topic):
        t.add_resource(each)


def policy(front: Front, target: scaling.ScalableTarget) -> scaling.ScalingPolicy:
    """Have as many tasks as their requests need."""
    full = [GetAtt(front.balancer, "LoadBalancerFullName"), GetAtt(front.targets, "TargetGroupFullName")]
    return scaling.ScalingPolicy(
        "RequestsPerTask",
        PolicyName="requests-per-task",
        PolicyType="TargetTrackingScaling",
        ScalingTargetId=Ref(target),
        TargetTrackingScalingPolicyConfiguration=scaling.TargetTrackingScalingPolicyConfiguration(
            TargetValue=Ref(own.REQUESTS),
            ScaleInCooldown=SCALE_IN_SECONDS,
            ScaleOutCooldown=SCALE_OUT_SECONDS,
            PredefinedMetricSpecification=scaling.PredefinedMetricSpecification(
                PredefinedMetricType="ALBRequestCountPerTarget", ResourceLabel=Join("/", full)
            ),
        ),
    )


def alarms(front: Front, topic: sns.Topic) -> list[cloudwatch.Alarm]:
    """Call when targets are ill, when answers are errors, and when they take long."""
    balancer = {"LoadBalancer": GetAtt(front.balancer, "LoadBalancerFullName")}
    both = {**balancer, "TargetGroup": GetAtt(front.targets, "TargetGroupFullName")}
    return [
        _alarm("Unhealthy", "Tasks do not answer", "UnHealthyHostCount", both, topic, 0, 5, "Maximum"),
        _alarm("Failing", "Tasks answer errors", "HTTPCode_Target_5XX_Count", both, topic, 5, 1, "Sum"),
        _alarm("Empty", "No task can answer", "HTTPCode_ELB_5XX_Count", balancer, topic, 5, 1, "Sum"),
        _alarm("Slow", "Answers take long", "TargetResponseTime", both, topic, LATENCY_SECONDS, 5, "Average"),
    ]


def _alarm(
    title: str,
    told: str,
    metric: str,
    dimensions: dict[str, Text],
    topic: sns.Topic,
    threshold: float,
    minutes: int,
    statistic: str,
) -> cloudwatch.Alarm:
    return cloudwatch.Alarm(
        f"{title}Alarm",
        AlarmDescription=f"{told}: see the targets, and the log of the tasks",
        Namespace="AWS/ApplicationELB",
        MetricName=metric,
        Dimensions=[cloudwatch.MetricDimension(Name=name, Value=value) for name, value in dimensions.items()],
        Statistic=statistic,
        Period=60,
        EvaluationPeriods=minutes,
        Threshold=threshold,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
        AlarmActions=[Ref(topic)],
        OKActions=[Ref(topic)],
    )
