"""EventBridge Scheduler: what a schedule asks is done, or refused by name."""

import pytest
from botocore.exceptions import ClientError
from stacks import trust

LAMBDA = "arn:aws:lambda:us-east-1:000000000000:function:f"
ROLE = "arn:aws:iam::000000000000:role/r"
SCHEDULE = {
    "ScheduleExpression": "rate(15 minutes)",
    "FlexibleTimeWindow": {"Mode": "OFF"},
    "Target": {"Arn": LAMBDA, "RoleArn": ROLE},
}
WRONG = [
    ({"ScheduleExpression": "rate(15 minute)"}, "Invalid Schedule Expression rate"),
    ({"ScheduleExpression": "rate(0 minutes)"}, "Invalid Schedule Expression rate"),
    ({"ScheduleExpression": "every day"}, "Invalid Schedule Expression every day"),
    ({"ScheduleExpression": "at(soon)"}, "Invalid Schedule Expression at"),
    ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5}}, "a flexible time window"),
    ({"ScheduleExpressionTimezone": "Europe/Berlin"}, "schedules of the local cloud are in UTC"),
    ({"Target": {**SCHEDULE["Target"], "RetryPolicy": {"MaximumRetryAttempts": 1}}}, "Target.RetryPolicy"),
    ({"Target": {"Arn": LAMBDA.replace("lambda", "ecs"), "RoleArn": ROLE}}, "target of ecs"),
]


@pytest.mark.parametrize("expression", ["rate(1 minute)", "rate(7 days)", "cron(0 8 * * ? *)"])
def test_a_schedule_that_comes_due_is_kept(cloud, unique, expression):
    scheduler = cloud.client("scheduler")
    scheduler.create_schedule(Name=unique, **{**SCHEDULE, "ScheduleExpression": expression})

    assert expression == scheduler.get_schedule(Name=unique)["ScheduleExpression"]
    scheduler.delete_schedule(Name=unique)


@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_what_would_be_passed_over_is_refused_at_the_api(cloud, unique, changes, words):
    scheduler = cloud.client("scheduler")
    scheduler.create_schedule(Name=unique, **SCHEDULE)

    with pytest.raises(ClientError, match=words):
        scheduler.create_schedule(Name=f"{unique}-more", **{**SCHEDULE, **changes})
    with pytest.raises(ClientError, match=words):
        scheduler.update_schedule(Name=unique, **{**SCHEDULE, **changes})
    scheduler.delete_schedule(Name=unique)


def stack(service="scheduler.amazonaws.com", **changes):
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust(service)}}
    target = {"Arn": LAMBDA, "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]}}
    clock = {"Type": "AWS::Scheduler::Schedule", "Properties": {**SCHEDULE, "Target": target, **changes}}
    return {"Role": role, "Clock": clock}


def test_a_stack_with_such_a_schedule_fails_with_the_reason(deploy):
    assert "Invalid Schedule Expression rate(15 minute)." in deploy(
        stack(ScheduleExpression="rate(15 minute)")
    )


def test_a_stack_whose_role_the_scheduler_may_not_take_fails(deploy):
    assert "cannot be assumed by scheduler.amazonaws.com" in deploy(stack("lambda.amazonaws.com"))
