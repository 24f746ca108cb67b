"""The state machine of trainings and merges failing at each state: no work is in progress for ever."""

import json
from contextlib import contextmanager

import pytest
import studio as shop
from faults import configure, resource

WORK = "atelier-middleware-work"
ENDED = {"Completed", "Failed", "Stopped"}


@pytest.fixture(scope="module")
def merge(studio):
    """Ask for a merge, and wait for its end; what is made is named by the test."""
    shop.upload(studio, "parent.safetensors")

    def ask(name):
        asked = {"method": "no_interpolation", "checkpoints": ["parent.safetensors"], "output_name": name}
        return studio.data("MergeCheckpoints", asked)["merge"]["id"]

    return ask


def ended(studio, id, seconds=120):
    def look():
        found = studio.data("GetMerge", at={"id": id})
        return found if found["status"] in ENDED else None

    return shop.until(look, seconds)


def names(studio):
    listed = studio.data("ListCheckpoints", query={"types": "Stable-diffusion", "per_page": 200})
    return {name for each in listed["checkpoints"] for name in each["name"]}


@contextmanager
def broken(studio, step):
    """Let a step of the state machine look for a table that is not there."""
    functions = studio.clients._client("lambda")
    name = resource(studio, WORK, step)
    before = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    configure(functions, name, {**before, "WORK_TABLE": "nowhere"})
    try:
        yield
    finally:
        configure(functions, name, before)


def execution(studio, id):
    """How the state machine has come to its end."""
    states = studio.clients._client("stepfunctions")
    machine = resource(studio, WORK, "Machine").replace(":stateMachine:", ":execution:")

    def look():
        found = states.describe_execution(executionArn=f"{machine}:{id}")
        return None if found["status"] == "RUNNING" else found["status"]

    return shop.until(look, 120)


def test_a_beginning_that_cannot_be_kept_is_a_failure(studio, merge):
    with broken(studio, "Begin"):
        id = merge("unbegun")
        found = ended(studio, id)

    assert "Failed" == found["status"]
    assert found["error"]
    assert "unbegun.safetensors" not in names(studio)


def test_a_job_that_ends_without_a_result_is_a_failure(studio, merge):
    found = ended(studio, merge("brief-one"))

    assert ("Failed", "the job ended without a result") == (found["status"], found["error"])
    assert "brief-one.safetensors" not in names(studio)


def test_an_end_that_cannot_be_kept_is_a_failure(studio, merge):
    with broken(studio, "Finish"):
        found = ended(studio, merge("brief-two"))

    assert "Failed" == found["status"]
    assert "brief-two.safetensors" not in names(studio)


def test_a_failure_that_cannot_be_kept_is_found_later(studio, merge):
    with broken(studio, "Fail"):
        id = merge("brief-three")
        assert "FAILED" == execution(studio, id)
        assert "InProgress" == studio.data("GetMerge", at={"id": id})["status"]

    functions = studio.clients._client("lambda")
    functions.invoke(FunctionName=resource(studio, WORK, "WorkReconciler"), Payload=b"{}")

    found = ended(studio, id)
    assert ("Failed", "the job ended without a result") == (found["status"], found["error"])
    assert "brief-three.safetensors" not in names(studio)
    assert "Failed" == ended(studio, merge("brief-three"))["status"]


def test_who_listens_to_failures_hears_why(studio, merge):
    queues, topics = studio.clients._client("sqs"), studio.clients._client("sns")
    outputs = studio.clients.cloudformation.describe_stacks(StackName="atelier-middleware-state")
    topic = next(
        each["OutputValue"]
        for each in outputs["Stacks"][0]["Outputs"]
        if each["OutputKey"] == "WorkErrorTopicArn"
    )
    url = queues.create_queue(QueueName="listening")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sending = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [sending]})
    queues.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    id = merge("brief-four")
    ended(studio, id)

    heard = shop.until(lambda: queues.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages"))
    assert id in heard[0]["Body"]
    assert "ended without a result" in heard[0]["Body"]
