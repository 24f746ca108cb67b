"""Middleware jobs, for which no client waits: results, states of endpoints, and what events have missed."""

from __future__ import annotations

from troposphere import GetAtt, Ref, Template, awslambda, sns, sqs

from atelier.contract import keys
from atelier.contract.settings import EndpointWatchSettings, ReconcilerSettings, ResultsSettings
from atelier.templates import middleware_endpoints as endpoints
from atelier.templates import middleware_parts as middle
from atelier.templates import parts
from atelier.templates.middleware_parts import READ, WRITE, listing, on, on_objects
from atelier.templates.parts import Statement, allow

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
        middle.ENDPOINTS,
        middle.INFERENCES,
        middle.SUCCESS_TOPIC,
        middle.ERROR_TOPIC,
    )
    add_results(t)
    add_endpoint_events(t)
    add_reconciler(t)
    return parts.tagged(t, "middleware-jobs")


def add_results(t: Template) -> None:
    """Take what SageMaker tells of asynchronous requests; a notice that is not taken is kept aside."""
    queue = add_queue(t, "Notices", RESULT_SECONDS, ATTEMPTS)
    function = middle.function(
        t,
        "Results",
        module="results",
        settings=parts.environment(
            ResultsSettings, inferences_table=Ref(middle.INFERENCES), bucket=Ref(middle.BUCKET)
        ),
        may=[*taking_results(), receiving(queue)],
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


def taking_results() -> list[Statement]:
    """Allow to move an answer of SageMaker's to where its job's results lie."""
    answers = (keys.ASYNC_OUTPUT, keys.ASYNC_FAILURES)
    return [
        on(middle.INFERENCES, "dynamodb:GetItem", "dynamodb:PutItem"),
        on_objects(["s3:GetObject", "s3:DeleteObject"], *answers),
        on_objects(["s3:PutObject", "s3:DeleteObject"], keys.INFERENCES),
        listing(keys.INFERENCES, *answers),
    ]


def add_queue(t: Template, title: str, seconds: int, attempts: int) -> sqs.Queue:
    """Add a queue for a function that takes some *seconds*; what it cannot take is kept aside in the end."""
    aside = t.add_resource(
        sqs.Queue(f"{title}Aside", MessageRetentionPeriod=middle.DEAD_SECONDS, SqsManagedSseEnabled=True)
    )
    redrive = sqs.RedrivePolicy(deadLetterTargetArn=GetAtt(aside, "Arn"), maxReceiveCount=attempts)
    return t.add_resource(
        sqs.Queue(title, VisibilityTimeout=6 * seconds, SqsManagedSseEnabled=True, RedrivePolicy=redrive)
    )


def receiving(queue: sqs.Queue) -> Statement:
    """Allow to empty a queue."""
    actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
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
            *taking_results(),
            on(middle.INFERENCES, "dynamodb:Query", indexes=True),
            on(middle.ENDPOINTS, *READ, *WRITE, indexes=True),
            *endpoints.following(),
            *endpoints.calling(),
        ],
        why="Looks after endpoints and jobs that no event has brought to an end",
        timeout=WATCH_SECONDS,
    )
    middle.add_rule(t, "Clock", function, Description="Every minute", ScheduleExpression="rate(1 minute)")
