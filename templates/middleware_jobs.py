"""Middleware jobs, for which no client waits: results, states of endpoints, and what events have missed."""

from __future__ import annotations

from troposphere import GetAtt, Output, Parameter, Ref, Template, awslambda, cloudwatch, sns, sqs

from atelier.contract import keys
from atelier.contract.settings import (
    DigestsSettings,
    DownloadsSettings,
    EndpointWatchSettings,
    ReconcilerSettings,
    ResultsSettings,
)
from atelier.templates import middleware_endpoints as endpoints
from atelier.templates import middleware_parts as middle
from atelier.templates import middleware_storage as storage
from atelier.templates import parts
from atelier.templates.middleware_parts import READ, WRITE, on
from atelier.templates.parts import Statement, allow

LARGEST_DOWNLOAD = Parameter(
    "LargestDownload",
    Type="Number",
    Default=str(15 * 1024**3),
    MinValue=1,
    Description="Bytes of a checkpoint that is fetched from a URL.",
)
LONGEST_JOB_SECONDS = 900
RESULT_SECONDS = 60
ATTEMPTS = 8
"""How often a notice is brought before it is set aside: its job may not be known to run yet."""

WATCH_SECONDS = 50
"""Shorter than the clock's minute: two reconcilers at once would do everything twice."""


def template() -> Template:
    """Render the stack of the middleware's jobs."""
    t = middle.code_stack(
        __doc__ or "",
        middle.BUCKET,
        middle.CHECKPOINTS,
        middle.ENDPOINTS,
        middle.INFERENCES,
        middle.SUCCESS_TOPIC,
        middle.ERROR_TOPIC,
        middle.OPERATIONS_TOPIC,
        middle.ALLOW_PICKLED,
        LARGEST_DOWNLOAD,
    )
    lost = aside(t, "Lost")
    downloads = add_downloads(t, lost)
    add_digests(t, lost)
    t.add_output(Output(middle.DOWNLOADS_FUNCTION.title, Value=Ref(downloads)))
    add_results(t)
    add_endpoint_events(t)
    add_reconciler(t)
    return parts.tagged(t, "middleware-jobs")


def add_downloads(t: Template, lost: sqs.Queue) -> awslambda.Function:
    """Fetch checkpoints from URLs, outside of any private network."""
    settings = parts.environment(
        DownloadsSettings,
        checkpoints_table=Ref(middle.CHECKPOINTS),
        bucket=Ref(middle.BUCKET),
        allow_pickled=Ref(middle.ALLOW_PICKLED),
        largest_download=Ref(LARGEST_DOWNLOAD),
    )
    function = middle.function(
        t,
        "Downloads",
        module="downloads",
        settings=settings,
        may=[*storage.keeping_checkpoints(), losing(lost)],
        why="Fetches checkpoints from URLs",
        timeout=LONGEST_JOB_SECONDS,
    )
    return retried(t, function, lost)


def add_digests(t: Template, lost: sqs.Queue) -> None:
    """Compute the digest of a checkpoint's file as soon as it is in place."""
    function = middle.function(
        t,
        "Digests",
        module="digests",
        settings=parts.environment(
            DigestsSettings, checkpoints_table=Ref(middle.CHECKPOINTS), bucket=Ref(middle.BUCKET)
        ),
        may=[*storage.reading_checkpoints(), losing(lost)],
        why="Computes the digests of checkpoints",
        timeout=LONGEST_JOB_SECONDS,
    )
    retried(t, function, lost)
    middle.add_rule(
        t,
        "FileRule",
        function,
        Description="A file of a checkpoint is in place",
        EventPattern={
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {
                "bucket": {"name": [Ref(middle.BUCKET)]},
                "object": {"key": [{"prefix": keys.CHECKPOINTS}]},
            },
        },
    )


def retried(t: Template, function: awslambda.Function, lost: sqs.Queue) -> awslambda.Function:
    """Have a job tried again for an hour, and its event kept when that does not help."""
    function.DeadLetterConfig = awslambda.DeadLetterConfig(TargetArn=GetAtt(lost, "Arn"))
    t.add_resource(
        awslambda.EventInvokeConfig(
            f"{function.title}Patience",
            FunctionName=Ref(function),
            Qualifier="$LATEST",
            MaximumRetryAttempts=2,
            MaximumEventAgeInSeconds=3600,
        )
    )
    return function


def losing(lost: sqs.Queue) -> Statement:
    """Allow Lambda to keep an event that a function could not take."""
    return allow(["sqs:SendMessage"], GetAtt(lost, "Arn"))


def add_results(t: Template) -> None:
    """Take what SageMaker tells of asynchronous requests; a notice that is not taken is kept aside."""
    queue = add_queue(t, "Notices", RESULT_SECONDS, ATTEMPTS)
    function = middle.function(
        t,
        "Results",
        module="results",
        settings=parts.environment(
            ResultsSettings,
            inferences_table=Ref(middle.INFERENCES),
            bucket=Ref(middle.BUCKET),
            notices_url=Ref(queue),
        ),
        may=[*storage.taking_results(), receiving(queue)],
        why="Takes the results of asynchronous inferences",
        timeout=RESULT_SECONDS,
    )
    t.add_resource(source("Notices", queue, function))
    topics = {"Success": middle.SUCCESS_TOPIC, "Error": middle.ERROR_TOPIC}
    sending = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": GetAtt(queue, "Arn"),
        "Condition": {"ArnEquals": {"aws:SourceArn": [Ref(each) for each in topics.values()]}},
    }
    policy = t.add_resource(
        sqs.QueuePolicy(
            "NoticesPolicy",
            Queues=[Ref(queue)],
            PolicyDocument={"Version": parts.VERSION, "Statement": [sending]},
        )
    )
    for name, topic in topics.items():
        t.add_resource(
            sns.SubscriptionResource(
                f"{name}Subscription",
                TopicArn=Ref(topic),
                Protocol="sqs",
                Endpoint=GetAtt(queue, "Arn"),
                DependsOn=[policy.title],
            )
        )


def add_queue(t: Template, title: str, seconds: int, attempts: int) -> sqs.Queue:
    """Add a queue for a function that takes some *seconds*; what it cannot take is kept aside in the end."""
    dead = aside(t, f"{title}Aside")
    redrive = sqs.RedrivePolicy(deadLetterTargetArn=GetAtt(dead, "Arn"), maxReceiveCount=attempts)
    return t.add_resource(
        sqs.Queue(title, VisibilityTimeout=6 * seconds, SqsManagedSseEnabled=True, RedrivePolicy=redrive)
    )


def aside(t: Template, title: str) -> sqs.Queue:
    """Keep for a while what could not be done, and call a person to look at it."""
    queue = t.add_resource(
        sqs.Queue(title, MessageRetentionPeriod=middle.DEAD_SECONDS, SqsManagedSseEnabled=True)
    )
    topic = [Ref(middle.OPERATIONS_TOPIC)]
    t.add_resource(
        cloudwatch.Alarm(
            f"{title}Alarm",
            AlarmDescription="Something could not be done: the queue holds what, the functions' logs say why",
            Namespace="AWS/SQS",
            MetricName="ApproximateNumberOfMessagesVisible",
            Dimensions=[cloudwatch.MetricDimension(Name="QueueName", Value=GetAtt(queue, "QueueName"))],
            Statistic="Maximum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=0,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="notBreaching",
            AlarmActions=topic,
            OKActions=topic,
        )
    )
    return queue


def receiving(queue: sqs.Queue) -> Statement:
    """Allow to empty a queue, and to say when a message that was not taken comes again."""
    actions = [
        *("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"),
        "sqs:ChangeMessageVisibility",
    ]
    return allow(actions, GetAtt(queue, "Arn"))


def source(title: str, queue: sqs.Queue, function: awslambda.Function) -> awslambda.EventSourceMapping:
    """Have a function empty a queue; of a batch, only what it names as failed comes again."""
    return awslambda.EventSourceMapping(
        f"{title}Source",
        EventSourceArn=GetAtt(queue, "Arn"),
        FunctionName=Ref(function),
        BatchSize=10,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )


def add_endpoint_events(t: Template) -> None:
    """Look at an endpoint of ours when SageMaker says that it has changed."""
    function = middle.function(
        t,
        "EndpointEvents",
        module="endpoint_events",
        settings=parts.environment(EndpointWatchSettings, endpoints_table=Ref(middle.ENDPOINTS)),
        may=[on(middle.ENDPOINTS, *READ, *WRITE), *endpoints.following()],
        why="Follows the states of endpoints",
    )
    names = [{"prefix": f"{each}-"} for each in keys.SERVICES]
    middle.add_rule(
        t,
        "EndpointRule",
        function,
        Description="An endpoint has changed",
        EventPattern={
            "source": ["aws.sagemaker"],
            "detail-type": ["SageMaker Endpoint State Change"],
            "detail": {"EndpointName": names},
        },
    )


def add_reconciler(t: Template) -> None:
    """Look every minute after what no event has brought to an end."""
    function = middle.function(
        t,
        "Reconciler",
        module="reconciler",
        settings=parts.environment(
            ReconcilerSettings,
            inferences_table=Ref(middle.INFERENCES),
            endpoints_table=Ref(middle.ENDPOINTS),
            bucket=Ref(middle.BUCKET),
        ),
        may=[
            *storage.taking_results(),
            on(middle.INFERENCES, "dynamodb:Query", indexes=True),
            on(middle.ENDPOINTS, *READ, *WRITE, indexes=True),
            *endpoints.following(),
            *endpoints.calling(),
        ],
        why="Looks after endpoints and jobs that no event has brought to an end",
        timeout=WATCH_SECONDS,
    )
    middle.add_rule(t, "Clock", function, Description="Every minute", ScheduleExpression="rate(1 minute)")
