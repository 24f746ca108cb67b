"""Stacks through change sets, against a CloudFormation that does what it is told to."""

import json

import pytest
from botocore.exceptions import ClientError

from atelier.client.errors import Problem
from atelier.stacks import LARGEST_BODY, RolledBack, Stack, Stacks

TEMPLATE = json.dumps({"Parameters": {"Bucket": {"Type": "String"}}, "Resources": {}})
WITH_STEPS = json.dumps({"Parameters": {"Steps": {"Type": "Number", "Default": "700"}}, "Resources": {}})


def event(number, resource, status, reason="", *, type="AWS::S3::Bucket", stack="one", physical="p"):
    return {
        "EventId": str(number),
        "StackId": f"arn:{stack}",
        "StackName": stack,
        "LogicalResourceId": resource,
        "PhysicalResourceId": physical,
        "ResourceType": type,
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


class FakeCloudFormation:
    """One stack: its status now, the statuses that a change passes through, and the events that happen."""

    def __init__(
        self, status=None, *, becomes=("CREATE_COMPLETE",), change_set=("CREATE_COMPLETE", ""), events=()
    ):
        self.status = status
        self.becomes = list(becomes)
        self.change_set = change_set
        self.happening = list(events)
        self.happened = {"arn:one": [event(0, "one", "REVIEW_IN_PROGRESS")]}
        self.parameters = []
        self.defaults = {}
        self.requests = {}
        self.deleted = []

    def describe_stacks(self, StackName):
        if self.status and self.status.endswith("_IN_PROGRESS") and self.becomes:
            self.status = self.becomes.pop(0)
        if self.status is None:
            error = {"Error": {"Code": "ValidationError", "Message": f"Stack {StackName} does not exist"}}
            raise ClientError(error, "DescribeStacks")
        outputs = [{"OutputKey": "BucketName", "OutputValue": "b"}]
        stack = {"StackName": "one", "StackId": "arn:one", "StackStatus": self.status, "Outputs": outputs}
        return {"Stacks": [{**stack, "Parameters": self.parameters}]}

    def get_template_summary(self, StackName):
        assert "arn:one" == StackName
        told = [{"ParameterKey": key, "DefaultValue": value} for key, value in self.defaults.items()]
        return {"Parameters": told}

    def create_change_set(self, **request):
        self.requests["create"] = request
        return {"Id": "arn:change-set", "StackId": "arn:one"}

    def describe_change_set(self, ChangeSetName, StackName):
        status, reason = self.change_set
        return {"Status": status, "StatusReason": reason, "ChangeSetId": ChangeSetName, "StackId": StackName}

    def execute_change_set(self, **request):
        self.requests["execute"] = request
        self.status = "UPDATE_IN_PROGRESS"
        self.happened["arn:one"] = [*reversed(self.happening), *self.happened["arn:one"]]

    def delete_change_set(self, **request):
        self.requests["delete"] = request

    def delete_stack(self, StackName):
        self.deleted.append(StackName)
        self.status = None

    def get_paginator(self, operation):
        assert "describe_stack_events" == operation
        return self

    def paginate(self, StackName):
        yield {"StackEvents": self.happened[StackName]}


def stacks(cloudformation, **parts):
    return Stacks(cloudformation=cloudformation, sleep=lambda seconds: None, **parts)


def one(**values):
    return Stack(**{"name": "one", "template": TEMPLATE, "parameters": {"Bucket": "b"}, **values})


def test_a_stack_that_is_not_there_is_created_and_its_outputs_returned():
    cloudformation = FakeCloudFormation()

    outcome = stacks(cloudformation).apply(one(tags={"project": "atelier"}))

    assert "created" == outcome.change
    assert {"BucketName": "b"} == outcome.outputs
    assert "CREATE" == cloudformation.requests["create"]["ChangeSetType"]
    assert [{"Key": "project", "Value": "atelier"}] == cloudformation.requests["create"]["Tags"]
    assert cloudformation.requests["execute"]["RetainExceptOnCreate"]


def test_a_stack_that_is_there_is_updated():
    cloudformation = FakeCloudFormation("CREATE_COMPLETE", becomes=["UPDATE_COMPLETE"])

    assert "updated" == stacks(cloudformation).apply(one()).change
    assert "UPDATE" == cloudformation.requests["create"]["ChangeSetType"]


def test_no_changes_are_no_change_and_leave_no_change_set():
    reason = "The submitted information didn't contain changes. Submit different information"
    cloudformation = FakeCloudFormation("CREATE_COMPLETE", change_set=("FAILED", reason))

    assert "unchanged" == stacks(cloudformation).apply(one()).change
    assert "arn:change-set" == cloudformation.requests["delete"]["ChangeSetName"]
    assert "execute" not in cloudformation.requests


def test_a_change_set_that_fails_says_why():
    cloudformation = FakeCloudFormation("CREATE_COMPLETE", change_set=("FAILED", "Transform X is unknown"))

    with pytest.raises(Problem, match="refuses the change of stack one: Transform X is unknown"):
        stacks(cloudformation).apply(one())


def test_a_rollback_names_the_first_cause_and_not_what_it_cancelled():
    events = [
        event(1, "Other", "CREATE_FAILED", "Resource creation cancelled"),
        event(2, "Bucket", "CREATE_FAILED", "b already exists"),
        event(3, "Later", "CREATE_FAILED", "a consequence"),
    ]
    cloudformation = FakeCloudFormation(becomes=["ROLLBACK_COMPLETE"], events=events)

    with pytest.raises(
        RolledBack, match=r"one was rolled back: Bucket \(AWS::S3::Bucket\): b already exists"
    ):
        stacks(cloudformation).apply(one())


def test_the_first_cause_is_found_inside_a_nested_stack():
    nested = "AWS::CloudFormation::Stack"
    events = [event(1, "Inner", "CREATE_FAILED", "Embedded stack failed", type=nested, physical="arn:inner")]
    cloudformation = FakeCloudFormation(becomes=["ROLLBACK_COMPLETE"], events=events)
    cloudformation.happened["arn:inner"] = [
        event(11, "inner", "ROLLBACK_COMPLETE", type=nested, stack="inner", physical="arn:inner"),
        event(10, "Table", "CREATE_FAILED", "no such key", type="AWS::DynamoDB::Table", stack="inner"),
    ]

    with pytest.raises(RolledBack, match=r"Inner / Table \(AWS::DynamoDB::Table\): no such key"):
        stacks(cloudformation).apply(one())


def test_progress_hears_every_new_event_once_and_in_order():
    heard = []
    events = [event(1, "Bucket", "CREATE_IN_PROGRESS"), event(2, "Bucket", "CREATE_COMPLETE")]
    cloudformation = FakeCloudFormation(becomes=["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"], events=events)

    stacks(cloudformation, progress=heard.append).apply(one())

    assert ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"] == [each.status for each in heard]


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"])
def test_a_stack_that_never_succeeded_is_removed_and_made_again(status):
    cloudformation = FakeCloudFormation(status, becomes=[])
    cloudformation.becomes = []

    def execute(**request):
        cloudformation.status = "CREATE_COMPLETE"

    cloudformation.execute_change_set = execute

    assert "created" == stacks(cloudformation).apply(one()).change
    assert ["arn:one"] == cloudformation.deleted


def test_a_stack_whose_rollback_failed_is_left_to_a_person():
    with pytest.raises(Problem, match="one is UPDATE_ROLLBACK_FAILED"):
        stacks(FakeCloudFormation("UPDATE_ROLLBACK_FAILED")).apply(one())


def test_a_parameter_that_nobody_gives_is_named():
    with pytest.raises(Problem, match="needs the parameter Bucket, which no earlier stack outputs"):
        stacks(FakeCloudFormation()).apply(one(parameters={}))


def test_a_parameter_that_nobody_gives_keeps_its_previous_value():
    cloudformation = FakeCloudFormation("CREATE_COMPLETE", becomes=["UPDATE_COMPLETE"])
    cloudformation.parameters = [{"ParameterKey": "Bucket", "ParameterValue": "old"}]

    stacks(cloudformation).apply(one(parameters={}))

    expected = [{"ParameterKey": "Bucket", "UsePreviousValue": True}]
    assert expected == cloudformation.requests["create"]["Parameters"]


def with_steps(value, *, default):
    cloudformation = FakeCloudFormation("CREATE_COMPLETE", becomes=["UPDATE_COMPLETE"])
    cloudformation.parameters = [{"ParameterKey": "Steps", "ParameterValue": value}]
    cloudformation.defaults = {"Steps": default}
    return cloudformation


def test_what_was_chosen_before_outlives_a_deployment_that_does_not_name_it():
    cloudformation = with_steps("10", default="500")

    outcome = stacks(cloudformation).apply(one(template=WITH_STEPS, parameters={}))

    assert {"Steps": "10"} == outcome.kept
    expected = [{"ParameterKey": "Steps", "UsePreviousValue": True}]
    assert expected == cloudformation.requests["create"]["Parameters"]


def test_what_was_the_default_before_follows_the_default():
    cloudformation = with_steps("500", default="500")

    outcome = stacks(cloudformation).apply(one(template=WITH_STEPS, parameters={}))

    assert {} == outcome.kept
    assert [] == cloudformation.requests["create"]["Parameters"]


def test_what_is_given_takes_the_place_of_what_was_chosen():
    cloudformation = with_steps("10", default="500")

    outcome = stacks(cloudformation).apply(one(template=WITH_STEPS, parameters={"Steps": "20"}))

    assert {} == outcome.kept
    expected = [{"ParameterKey": "Steps", "ParameterValue": "20"}]
    assert expected == cloudformation.requests["create"]["Parameters"]


def test_a_stack_that_keeps_nothing_has_its_defaults_again():
    cloudformation = with_steps("10", default="500")

    outcome = stacks(cloudformation).apply(one(template=WITH_STEPS, parameters={}, keeps=False))

    assert {} == outcome.kept
    assert [] == cloudformation.requests["create"]["Parameters"]


def test_a_parameter_that_is_not_declared_any_more_is_forgotten():
    cloudformation = with_steps("10", default="500")

    assert {} == stacks(cloudformation).apply(one()).kept


def test_a_value_that_the_template_does_not_declare_is_not_passed():
    cloudformation = FakeCloudFormation()

    stacks(cloudformation).apply(one(parameters={"Bucket": "b", "Other": "x"}))

    expected = [{"ParameterKey": "Bucket", "ParameterValue": "b"}]
    assert expected == cloudformation.requests["create"]["Parameters"]


def test_a_large_template_goes_through_a_bucket():
    large = json.dumps({"Resources": {}, "Description": "x" * LARGEST_BODY})
    cloudformation = FakeCloudFormation()

    stacks(cloudformation, upload=lambda key, body: f"http://bucket/{key}").apply(one(template=large))

    request = cloudformation.requests["create"]
    assert request["TemplateURL"].startswith("http://bucket/templates/one-")
    assert "TemplateBody" not in request


def test_a_large_template_without_a_bucket_is_a_problem():
    large = json.dumps({"Resources": {}, "Description": "x" * LARGEST_BODY})

    with pytest.raises(Problem, match="needs a bucket first"):
        stacks(FakeCloudFormation()).apply(one(template=large))
