"""What the cloud holds survives a stop, and nearly all of it a kill."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time

import boto3
import pytest
from botocore.config import Config
from conftest import start_cloud

from atelier.cloud.gateway import launch, processes


@pytest.fixture
def home(tmp_path):
    yield tmp_path / "home"
    launch.stop(tmp_path / "home")


def fill(cloud):
    """Make something of every kind that a stack of ours is made of."""
    cloud.client("s3").create_bucket(Bucket="kept")
    cloud.client("s3").put_object(Bucket="kept", Key="folder/x", Body=b"content")
    cloud.client("dynamodb").create_table(
        TableName="kept",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    cloud.client("dynamodb").put_item(TableName="kept", Item={"id": {"S": "1"}})
    cloud.client("iam").create_user(UserName="kept")
    cloud.client("sqs").create_queue(QueueName="kept")
    cloud.client("codecommit").create_repository(repositoryName="kept")
    body = json.dumps(
        {"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "kept"}}}}
    )
    cloud.client("cloudformation").create_stack(StackName="kept", TemplateBody=body)
    cloud.client("cloudformation").get_waiter("stack_create_complete").wait(
        StackName="kept", WaiterConfig={"Delay": 0.1}
    )


def check(cloud):
    assert b"content" == cloud.client("s3").get_object(Bucket="kept", Key="folder/x")["Body"].read()
    assert {"id": {"S": "1"}} == cloud.client("dynamodb").get_item(TableName="kept", Key={"id": {"S": "1"}})[
        "Item"
    ]
    assert "kept" == cloud.client("iam").get_user(UserName="kept")["User"]["UserName"]
    assert cloud.client("sqs").get_queue_url(QueueName="kept")
    assert cloud.client("codecommit").get_repository(repositoryName="kept")
    stack = cloud.client("cloudformation").describe_stacks(StackName="kept")["Stacks"][0]
    assert "CREATE_COMPLETE" == stack["StackStatus"]
    assert cloud.client("sns").get_topic_attributes(TopicArn="arn:aws:sns:us-east-1:000000000000:kept")


def test_everything_survives_a_stop_on_the_same_port_with_the_same_key(home):
    first = start_cloud(home)
    fill(first)

    assert launch.stop(home)
    second = start_cloud(home)

    assert first.connection == second.connection
    check(second)


def test_what_is_seconds_old_survives_a_kill(home):
    cloud = start_cloud(home)
    cloud.client("iam").create_user(UserName="first")
    time.sleep(4)  # the first round saves everything, whatever has changed
    fill(cloud)
    time.sleep(4)  # a round of the saver
    pid = launch.status(home).pid

    os.kill(pid, signal.SIGKILL)
    launch._reap(pid)

    assert not launch.status(home).running
    check(start_cloud(home))


def test_a_taken_port_is_named_with_what_to_do(home):
    with launch._bound(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(launch.CannotStart, match=rf"port {port} is taken.*atelier up --port N"):
            launch.start(home, port)

    assert not launch.status(home).running


def test_a_given_port_is_used_and_kept(home):
    with launch._bound(0) as free:
        port = free.getsockname()[1]

    assert f"http://127.0.0.1:{port}" == launch.start(home, port).endpoint
    launch.stop(home)
    assert f"http://127.0.0.1:{port}" == launch.start(home).endpoint


def test_starting_twice_is_one_cloud(home):
    first = launch.start(home)
    pid = launch.status(home).pid

    assert first == launch.start(home)
    assert pid == launch.status(home).pid
    with pytest.raises(launch.CannotStart, match="runs already, on port"):
        launch.start(home, 1)


def test_a_pid_file_of_a_dead_process_counts_as_nothing(home):
    launch.start(home)
    record = (home / "cloud.json").read_text()
    launch.stop(home)
    (home / "cloud.json").write_text(record)

    assert not launch.status(home).running
    assert not launch.stop(home)
    assert launch.start(home)


def test_a_pid_that_another_process_got_is_not_touched(home):
    launch.start(home)
    record = json.loads((home / "cloud.json").read_text())
    launch.stop(home)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (home / "cloud.json").write_text(json.dumps({**record, "pid": other.pid}))

        assert not launch.status(home).running
        assert not launch.stop(home)
        assert other.poll() is None
        assert launch.start(home)
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', '{"pid": -1, "started": "1"}'])
def test_a_broken_pid_file_counts_as_nothing(home, content):
    home.mkdir()
    (home / "cloud.json").write_text(content)

    assert not launch.status(home).running
    with pytest.raises(launch.NotRunning, match="atelier up"):
        launch.connection(home)


def test_a_process_is_known_by_its_start_time():
    assert processes.started(os.getpid())
    assert processes.started(os.getpid()) == processes.started(os.getpid())
    assert processes.started(2**22 + 1) is None


def test_two_starts_at_once_make_one_cloud(home):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(3) as pool:
        found = set(pool.map(lambda _: launch.start(home), range(3)))

    assert 1 == len(found)


def test_broken_credentials_are_named_with_what_to_do(home):
    launch.start(home)
    launch.stop(home)
    (home / "credentials.json").write_text("{}")

    with pytest.raises(launch.CannotStart, match=r"credentials.json holds no credentials: remove it"):
        launch.start(home)


def test_a_server_that_cannot_start_says_why(home):
    (home / "state" / "atelier.sqlite").mkdir(parents=True)

    with pytest.raises(launch.CannotStart, match=r"did not start: unable to open database file \(log: "):
        launch.start(home)


def signed_by_a_role(cloud, role):
    """Return a link that a role has signed, to an object that it may read."""
    cloud.client("s3").create_bucket(Bucket="linked")
    cloud.client("s3").put_object(Bucket="linked", Key="x", Body=b"content")
    may = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::linked/*"}
    arn = role(cloud, [may], {"AWS": "arn:aws:iam::000000000000:root"})
    key = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="signer")["Credentials"]
    s3 = boto3.client(
        "s3",
        endpoint_url=cloud.endpoint,
        region_name="us-east-1",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token=key["SessionToken"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    return s3.generate_presigned_url("get_object", Params={"Bucket": "linked", "Key": "x"}), arn


def fetched(link):
    connection = http.client.HTTPConnection(link.split("/")[2], timeout=30)
    try:
        connection.request("GET", "/" + link.split("/", 3)[3])
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_link_stays_good_over_a_stop_until_its_role_may_no_more(home, role):
    link, arn = signed_by_a_role(start_cloud(home), role)
    assert (200, b"content") == fetched(link)

    launch.stop(home)
    again = start_cloud(home)

    assert (200, b"content") == fetched(link)
    again.client("iam").delete_role_policy(RoleName=arn.rpartition("/")[2], PolicyName="test")
    assert 403 == fetched(link)[0]
