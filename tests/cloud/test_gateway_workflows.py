"""Step Functions and EventBridge act within the roles that they are given, and reach our services."""

import json
import time

import pytest
from botocore.exceptions import ClientError

ALLOW = "arn:aws:states:::"


def allow(action, resource="*"):
    return {"Effect": "Allow", "Action": action, "Resource": resource}


@pytest.fixture
def run(cloud, role, unique):
    """Run one task as a state machine whose role has these statements."""
    states, made = cloud.client("stepfunctions"), []

    def go(resource, parameters, *statements, service="states.amazonaws.com"):
        task = {"Type": "Task", "Resource": resource, "Parameters": parameters, "End": True}
        machine = states.create_state_machine(
            name=f"{unique}-{len(made)}",
            roleArn=role(cloud, list(statements), service),
            definition=json.dumps({"StartAt": "Do", "States": {"Do": task}}),
        )["stateMachineArn"]
        made.append(machine)
        execution = states.start_execution(stateMachineArn=machine)["executionArn"]
        return settled(lambda: states.describe_execution(executionArn=execution))

    yield go
    for machine in made:
        states.delete_state_machine(stateMachineArn=machine)


def settled(describe):
    for _ in range(400):
        found = describe()
        if found["status"] != "RUNNING":
            return found
        time.sleep(0.05)
    raise TimeoutError


@pytest.fixture
def queue(cloud, unique):
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=unique)["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)


def arn(queue):
    return "arn:aws:sqs:us-east-1:000000000000:" + queue.rsplit("/", 1)[-1]


def received(cloud, queue, patience=60.0):
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := cloud.client("sqs").receive_message(QueueUrl=queue).get("Messages"):
            return found[0]["Body"]
        time.sleep(0.05)
    return None


def test_an_optimised_task_needs_its_roles_permission(cloud, run, queue):
    parameters = {"QueueUrl": queue, "MessageBody": "hello"}

    denied = run(ALLOW + "sqs:sendMessage", parameters)
    allowed = run(ALLOW + "sqs:sendMessage", parameters, allow("sqs:SendMessage", arn(queue)))

    assert ("FAILED", "SQS.AmazonSQSException") == (denied["status"], denied["error"])
    assert "is not authorized to perform: sqs:SendMessage on resource: " + arn(queue) in denied["cause"]
    assert "SUCCEEDED" == allowed["status"]
    assert "hello" == received(cloud, queue)


def test_a_role_that_does_not_trust_step_functions_can_do_nothing(run, queue):
    parameters = {"QueueUrl": queue, "MessageBody": "hello"}

    denied = run(ALLOW + "sqs:sendMessage", parameters, allow("sqs:*"), service="lambda.amazonaws.com")

    assert "states.amazonaws.com is not allowed to assume" in denied["cause"]


def test_a_function_needs_permission_to_be_called(run):
    denied = run(
        ALLOW + "lambda:invoke", {"FunctionName": "f"}, allow("lambda:InvokeFunction", "arn:aws:lambda:*:*:g")
    )

    assert "Lambda.AWSLambdaException" == denied["error"]


def test_an_sdk_task_of_ministacks_services_needs_permission_on_its_resource(cloud, run, unique):
    cloud.client("s3").create_bucket(Bucket=unique)
    parameters, resource = {"Bucket": unique, "Key": "a"}, ALLOW + "aws-sdk:s3:deleteObject"

    denied = run(resource, parameters, allow("s3:DeleteObject", f"arn:aws:s3:::{unique}/other"))
    allowed = run(resource, parameters, allow("s3:DeleteObject", f"arn:aws:s3:::{unique}/a"))

    assert ("FAILED", "S3.S3Exception") == (denied["status"], denied["error"]), denied["cause"]
    assert "SUCCEEDED" == allowed["status"], allowed.get("cause")


def test_a_copy_by_an_sdk_task_needs_permission_to_read_its_source(cloud, run, unique):
    cloud.client("s3").create_bucket(Bucket=unique)
    cloud.client("s3").put_object(Bucket=unique, Key="a", Body=b"1")
    parameters = {"Bucket": unique, "Key": "b", "CopySource": f"{unique}/a"}
    write = allow("s3:PutObject", f"arn:aws:s3:::{unique}/*")

    denied = run(ALLOW + "aws-sdk:s3:copyObject", parameters, write)
    allowed = run(
        ALLOW + "aws-sdk:s3:copyObject", parameters, write, allow("s3:GetObject", f"arn:aws:s3:::{unique}/*")
    )

    assert "s3:GetObject" in denied["cause"]
    assert "SUCCEEDED" == allowed["status"], allowed.get("cause")


def test_an_sdk_task_reaches_our_services_as_the_role(cloud, run, unique):
    resource = ALLOW + "aws-sdk:codecommit:createRepository"
    parameters = {"RepositoryName": unique}

    denied = run(resource, parameters)
    allowed = run(resource, parameters, allow("codecommit:CreateRepository"))
    again = run(resource, parameters, allow("codecommit:CreateRepository"))

    assert ("FAILED", "CodeCommit.CodeCommitException") == (denied["status"], denied["error"])
    assert "not authorized to perform: codecommit:CreateRepository" in denied["cause"]
    made = json.loads(allowed["output"])["RepositoryMetadata"]
    assert (unique, "T") == (made["RepositoryName"], made["CreationDate"][10])
    assert "CodeCommit.RepositoryNameExistsException" == again["error"]


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ("aws-sdk:codecommit:paintRepository", "PaintRepository is no operation of this service"),
        ("aws-sdk:codecommit:mergePullRequestBySquash", "is not part of the local cloud"),
        ("aws-sdk:glacier:listVaults", "not supported"),
        ("batch:submitJob", "not yet implemented"),
    ],
)
def test_a_task_that_is_not_here_fails_by_name(run, resource, reason):
    failed = run(ALLOW + resource, {}, allow("*"))

    assert "FAILED" == failed["status"]
    assert reason in failed["cause"]


def test_starting_a_running_execution_again_with_the_same_input_is_the_same_execution(cloud, role, unique):
    states = cloud.client("stepfunctions")
    wait = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": True}}}
    machine = states.create_state_machine(
        name=unique, roleArn=role(cloud, [], "states.amazonaws.com"), definition=json.dumps(wait)
    )["stateMachineArn"]

    first = states.start_execution(stateMachineArn=machine, name="once", input='{"a": 1}')
    again = states.start_execution(stateMachineArn=machine, name="once", input='{"a": 1}')

    assert first["executionArn"] == again["executionArn"]
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        states.start_execution(stateMachineArn=machine, name="once", input='{"a": 2}')
    states.stop_execution(executionArn=first["executionArn"])
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        states.start_execution(stateMachineArn=machine, name="once", input='{"a": 1}')
    states.delete_state_machine(stateMachineArn=machine)


@pytest.fixture
def rule(cloud, unique):
    """Make a rule on events of a source of this test, with one target."""
    events = cloud.client("events")

    def make(**target):
        events.put_rule(Name=unique, EventPattern=json.dumps({"source": [unique]}))
        events.put_targets(Rule=unique, Targets=[{"Id": "1", **target}])
        entry = {"Source": unique, "DetailType": "t", "Detail": '{"a": 1}'}
        events.put_events(Entries=[entry])
        return f"arn:aws:events:us-east-1:000000000000:rule/{unique}"

    yield make
    events.remove_targets(Rule=unique, Ids=["1"])
    events.delete_rule(Name=unique)


def let_events_send(cloud, queue, rule_arn="*"):
    statement = {
        **{"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"},
        **{"Resource": arn(queue), "Condition": {"ArnLike": {"aws:SourceArn": rule_arn}}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    cloud.client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})


def test_an_event_reaches_a_queue_whose_policy_lets_it(cloud, rule, queue):
    let_events_send(cloud, queue)

    rule(Arn=arn(queue))

    assert {"a": 1} == json.loads(received(cloud, queue))["detail"]


def test_an_event_does_not_reach_a_queue_that_does_not_let_it(cloud, rule, queue):
    rule(Arn=arn(queue))

    assert received(cloud, queue, patience=0.3) is None


def test_a_policy_for_another_rule_does_not_count(cloud, rule, queue):
    let_events_send(cloud, queue, "arn:aws:events:us-east-1:000000000000:rule/another")

    rule(Arn=arn(queue))

    assert received(cloud, queue, patience=0.3) is None


def test_what_cannot_be_delivered_goes_to_the_dead_letter_queue(cloud, rule, queue):
    let_events_send(cloud, queue)

    rule(Arn="arn:aws:lambda:us-east-1:000000000000:function:closed", DeadLetterConfig={"Arn": arn(queue)})

    assert {"a": 1} == json.loads(received(cloud, queue))["detail"]


def test_a_pipeline_target_needs_a_role_that_may_start_it(cloud, rule, role, queue):
    let_events_send(cloud, queue)
    powerless = role(cloud, [], "events.amazonaws.com")
    pipeline = "arn:aws:codepipeline:us-east-1:000000000000:none"

    rule(Arn=pipeline, RoleArn=powerless, DeadLetterConfig={"Arn": arn(queue)})

    assert received(cloud, queue) is not None


def test_a_target_that_is_not_here_is_refused(cloud, unique):
    events = cloud.client("events")
    events.put_rule(Name=unique, EventPattern=json.dumps({"source": [unique]}))
    target = {"Id": "1", "Arn": "arn:aws:kinesis:us-east-1:000000000000:stream/s"}

    with pytest.raises(ClientError, match="kinesis are not part of the local cloud"):
        events.put_targets(Rule=unique, Targets=[target])
    events.delete_rule(Name=unique)


def test_our_services_refuse_other_regions(cloud, unique):
    import boto3

    elsewhere = boto3.client(
        "codecommit",
        region_name="eu-west-1",
        endpoint_url=cloud.endpoint,
        aws_access_key_id=cloud.connection.access_key,
        aws_secret_access_key=cloud.connection.secret_key,
    )

    with pytest.raises(ClientError, match="the local cloud is us-east-1, and has no eu-west-1"):
        elsewhere.list_repositories()
