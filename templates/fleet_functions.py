"""What brings a model that lands to the fleet, and tells how that went."""

from __future__ import annotations

from typing import Any

from troposphere import (
    GetAtt,
    Parameter,
    Ref,
    Sub,
    Template,
    awslambda,
    cloudwatch,
    ecs,
    events,
    iam,
    logs,
    sns,
    sqs,
)

from atelier.contract import fleet
from atelier.contract.settings import FleetSettings, LandingSettings
from atelier.templates import fleet_parts as own
from atelier.templates import parts
from atelier.templates.parts import Statement, Text, allow, arn, pass_role

LOOK_SECONDS = 900
"""A model is read once from end to end; the largest that Lambda may read so has some 50 GB."""

VISIBILITY_SECONDS = 6 * LOOK_SECONDS
"""What Lambda has in hand is not brought to another meanwhile, also where it must wait for its turn."""

EVERY = "rate(5 minutes)"
ATTEMPTS = 5
KEPT_SECONDS = 14 * 24 * 3600
READING = ("GetObject", "GetObjectVersion", "GetObjectAttributes", "GetObjectVersionAttributes")


def add(
    t: Template, *, cluster: ecs.Cluster, service: ecs.Service, group: logs.LogGroup, roles: list[iam.Role]
) -> sns.Topic:
    """Add both functions with what calls them; return the topic on which they tell."""
    topic = t.add_resource(sns.Topic("Reports", DisplayName="Atelier fleet"))
    queue = landings(t, topic)
    settings: dict[str, Text] = {
        "fleet_bucket": Ref(own.BUCKET),
        "fleet_table": Ref(own.TABLE),
        "model_parameter": Sub(fleet.parameter("${Prefix}")),
        "cluster": Ref(cluster),
        "service": GetAtt(service, "Name"),
        "log_group": Ref(group),
        "min_tasks": Ref(own.MIN_TASKS),
        "startup_seconds": Ref(own.STARTUP),
        "reports_topic_arn": Ref(topic),
    }
    may = permissions(cluster, service, group, roles, topic)
    look = parts.function(
        t,
        "Landing",
        handler="fleet.landed",
        settings=parts.environment(LandingSettings, **settings, landings_url=Ref(queue)),
        may=[*may, receiving(queue)],
        why="Brings the newest model that has landed to the fleet",
        timeout=LOOK_SECONDS,
        memory=1024,
    )
    t.add_resource(source(queue, look))
    report = parts.function(
        t,
        "Report",
        handler="fleet.report",
        settings=parts.environment(FleetSettings, **settings),
        may=[*may, allow(["sqs:SendMessage"], GetAtt("LandingsAside", "Arn"))],
        why="Tells how a deployment of a model went, and puts the good model back after a bad one",
    )
    report.DeadLetterConfig = awslambda.DeadLetterConfig(TargetArn=GetAtt("LandingsAside", "Arn"))
    rules = [landing_rule(queue), deployment_rule(service, queue, report), clock_rule(queue)]
    for each in rules:
        t.add_resource(kept(each))
    t.add_resource(callable_by(rules[1], report))
    for waiting in (queue, t.resources["LandingsAside"]):
        t.add_resource(sendable_by(rules, waiting))
    return topic


def landings(t: Template, topic: sns.Topic) -> sqs.Queue:
    """Gather what lands; what cannot be looked at is kept aside, and a person is called."""
    aside = t.add_resource(
        sqs.Queue("LandingsAside", MessageRetentionPeriod=KEPT_SECONDS, SqsManagedSseEnabled=True)
    )
    redrive = sqs.RedrivePolicy(deadLetterTargetArn=GetAtt(aside, "Arn"), maxReceiveCount=ATTEMPTS)
    t.add_resource(
        cloudwatch.Alarm(
            "LandingsAsideAlarm",
            AlarmDescription="What landed could not be looked at: the functions' logs say why",
            Namespace="AWS/SQS",
            MetricName="ApproximateNumberOfMessagesVisible",
            Dimensions=[cloudwatch.MetricDimension(Name="QueueName", Value=GetAtt(aside, "QueueName"))],
            Statistic="Maximum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=0,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="notBreaching",
            AlarmActions=[Ref(topic)],
        )
    )
    return t.add_resource(
        sqs.Queue(
            "Landings",
            VisibilityTimeout=VISIBILITY_SECONDS,
            SqsManagedSseEnabled=True,
            RedrivePolicy=redrive,
        )
    )


def receiving(queue: sqs.Queue) -> Statement:
    """Allow to empty the queue, and to say when what failed comes again."""
    actions = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility")
    return allow([f"sqs:{each}" for each in actions], GetAtt(queue, "Arn"))


def source(queue: sqs.Queue, function: awslambda.Function) -> awslambda.EventSourceMapping:
    """Call the function once for a burst."""
    return awslambda.EventSourceMapping(
        "LandingsSource",
        EventSourceArn=GetAtt(queue, "Arn"),
        FunctionName=Ref(function),
        BatchSize=100,
        MaximumBatchingWindowInSeconds=Ref(own.WINDOW),
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )


def permissions(
    cluster: ecs.Cluster,
    service: ecs.Service,
    group: logs.LogGroup,
    roles: list[iam.Role],
    topic: sns.Topic,
) -> list[Statement]:
    """Allow to read models, to move the one parameter and the one service, and to remember and tell it."""
    table = arn("dynamodb", f"table/${{{own.TABLE.title}}}")
    parameter = arn("ssm", f"parameter{fleet.parameter('${Prefix}')}")
    whole: Parameter = own.BUCKET
    revisions = arn("ecs", "task-definition/${Prefix}-fleet:*")
    return [
        allow([f"s3:{each}" for each in READING], *parts.objects(whole, f"{fleet.PREFIX}*")),
        allow(["s3:ListBucket", "s3:ListBucketVersions"], parts.bucket_arn(whole)),
        allow(["dynamodb:GetItem", "dynamodb:PutItem"], table),
        allow(["ssm:GetParameter", "ssm:PutParameter"], parameter),
        allow(["ssm:GetParameter"], arn("ssm", f"parameter{fleet.parameter('${Prefix}')}:*")),
        allow(["ecs:DescribeServices", "ecs:UpdateService"], Ref(service)),
        allow(["ecs:DescribeTaskDefinition"], "*"),
        allow(["ecs:RegisterTaskDefinition", "ecs:TagResource"], revisions),
        allow(
            ["application-autoscaling:RegisterScalableTarget"],
            arn("application-autoscaling", "scalable-target/*"),
            StringEqualsIfExists={
                "application-autoscaling:service-namespace": "ecs",
                "application-autoscaling:scalable-dimension": "ecs:service:DesiredCount",
            },
        ),
        pass_role("ecs-tasks.amazonaws.com", *(GetAtt(each, "Arn") for each in roles)),
        allow(["logs:FilterLogEvents"], GetAtt(group, "Arn"), arn("logs", f"log-group:${{{group.title}}}")),
        allow(["sns:Publish"], Ref(topic)),
    ]


def landing_rule(queue: sqs.Queue) -> events.Rule:
    """Look when a model, or its SHA-256, is in place."""
    return events.Rule(
        "LandingRule",
        Description="A model has landed",
        EventPattern={
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {
                "bucket": {"name": [Ref(own.BUCKET)]},
                "object": {"key": [{"prefix": fleet.PREFIX}]},
            },
        },
        Targets=[events.Target(Id="Landings", Arn=GetAtt(queue, "Arn"))],
    )


def deployment_rule(service: ecs.Service, queue: sqs.Queue, report: awslambda.Function) -> events.Rule:
    """Tell how a deployment ended; then look again, for another model may have waited for that."""
    ended: dict[str, Any] = {"eventName": ["SERVICE_DEPLOYMENT_COMPLETED", "SERVICE_DEPLOYMENT_FAILED"]}
    return events.Rule(
        "DeploymentRule",
        Description="A deployment of the fleet has ended",
        EventPattern={
            "source": ["aws.ecs"],
            "detail-type": ["ECS Deployment State Change"],
            "resources": [Ref(service)],
            "detail": ended,
        },
        Targets=[
            events.Target(Id="Report", Arn=GetAtt(report, "Arn")),
            events.Target(Id="Landings", Arn=GetAtt(queue, "Arn")),
        ],
    )


def clock_rule(queue: sqs.Queue) -> events.Rule:
    """Look now and then: an event that never came, or a look that died, must not leave a model lying."""
    return events.Rule(
        "ClockRule",
        Description="Now and then",
        ScheduleExpression=EVERY,
        Targets=[events.Target(Id="Landings", Arn=GetAtt(queue, "Arn"))],
    )


def kept(rule: events.Rule) -> events.Rule:
    """Put aside what EventBridge cannot deliver."""
    for each in rule.Targets:
        each.DeadLetterConfig = events.DeadLetterConfig(Arn=GetAtt("LandingsAside", "Arn"))
    return rule


def callable_by(rule: events.Rule, function: awslambda.Function) -> awslambda.Permission:
    """Let a rule call the function."""
    return awslambda.Permission(
        f"{rule.title}Permission",
        Action="lambda:InvokeFunction",
        FunctionName=Ref(function),
        Principal="events.amazonaws.com",
        SourceArn=GetAtt(rule, "Arn"),
    )


def sendable_by(rules: list[events.Rule], queue: sqs.Queue) -> sqs.QueuePolicy:
    """Let the rules, and nobody else, put what happened into a queue."""
    sending = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": GetAtt(queue, "Arn"),
        "Condition": {"ArnEquals": {"aws:SourceArn": [GetAtt(each, "Arn") for each in rules]}},
    }
    return sqs.QueuePolicy(
        f"{queue.title}Policy",
        Queues=[Ref(queue)],
        PolicyDocument={"Version": parts.VERSION, "Statement": [sending]},
    )
