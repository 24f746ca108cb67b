"""The local cloud is a boundary: what ministack leaves open is closed, seen from outside over HTTP."""

import hashlib
import http.client
import json
import os
import socket
import stat
import uuid
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

KEYS = {
    "well-known": ("test", "test"),
    "another account's number": ("111111111111", "test"),
    "our account's number": ("000000000000", "test"),
    "nobody's": ("AKIAABCDEFGHIJKLMNOP", "secret"),
}


def refused(cloud, key, secret, service="s3", token=None):
    client = cloud.client_as(service, key, secret, token)
    call = {"s3": "list_buckets", "sts": "get_caller_identity", "iam": "list_roles", "sqs": "list_queues"}[
        service
    ]
    with pytest.raises(ClientError) as error:
        getattr(client, call)()
    return error.value.response["Error"]["Code"]


def raw(cloud, path, method="GET", body=None, **headers):
    """Send a plain HTTP request; return status and text."""
    connection = http.client.HTTPConnection(cloud.endpoint.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("service", ["s3", "sts", "iam", "sqs"])
@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
def test_no_key_is_root_by_its_looks(cloud, key, service):
    assert refused(cloud, *key, service) in {
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
    }


@pytest.mark.parametrize("service", ["s3", "sts", "iam", "sqs"])
def test_the_administrators_key_needs_its_secret(cloud, service):
    assert "SignatureDoesNotMatch" == refused(cloud, cloud.connection.access_key, "wrong", service)


def test_the_administrators_key_goes_with_no_session_token(cloud):
    key = (cloud.connection.access_key, cloud.connection.secret_key)

    assert refused(cloud, *key, "sts", token="made-up") in {"InvalidClientTokenId", "InvalidToken"}


def test_a_presigned_url_with_a_wrong_secret_is_refused(cloud, unique):
    cloud.client("s3").create_bucket(Bucket=unique)
    forger = cloud.client_as("s3", cloud.connection.access_key, "wrong")
    url = forger.generate_presigned_url("put_object", Params={"Bucket": unique, "Key": "x"})

    assert 403 == raw(cloud, url.removeprefix(cloud.endpoint), "PUT", "1")[0]


def test_a_presigned_url_works(cloud, unique):
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=unique)
    put = s3.generate_presigned_url("put_object", Params={"Bucket": unique, "Key": "x"})
    get = s3.generate_presigned_url("get_object", Params={"Bucket": unique, "Key": "x"})

    assert 200 == raw(cloud, put.removeprefix(cloud.endpoint), "PUT", "hello")[0]
    assert (200, "hello") == raw(cloud, get.removeprefix(cloud.endpoint))


UNSIGNED = {
    "s3 list": ("GET", "/", None, {}),
    "s3 create": ("PUT", "/some-bucket", None, {}),
    "sts": ("POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", {}),
    "sqs": ("POST", "/", "{}", {"X-Amz-Target": "AmazonSQS.ListQueues"}),
    "dynamodb": ("POST", "/", "{}", {"X-Amz-Target": "DynamoDB_20120810.ListTables"}),
    "codecommit": ("POST", "/", "{}", {"X-Amz-Target": "CodeCommit_20150413.ListRepositories"}),
    "iam": ("POST", "/", "Action=CreateUser&UserName=x&Version=2010-05-08", {}),
    "lambda": ("GET", "/2015-03-31/functions", None, {}),
    "apigateway": ("GET", "/restapis", None, {}),
    "cloudformation": ("POST", "/", "Action=ListStacks&Version=2010-05-15", {}),
}


@pytest.mark.parametrize(("method", "path", "body", "headers"), UNSIGNED.values(), ids=UNSIGNED.keys())
def test_unsigned_calls_are_refused(cloud, method, path, body, headers):
    assert 403 == raw(cloud, path, method, body, **headers)[0]


@pytest.mark.parametrize(("method", "path", "body", "headers"), UNSIGNED.values(), ids=UNSIGNED.keys())
@pytest.mark.parametrize("scheme", ["Bearer", "Basic", "AWS"])
def test_other_authorization_is_no_signature(cloud, method, path, body, headers, scheme):
    status, _ = raw(cloud, path, method, body, **headers, Authorization=f"{scheme} x")

    assert status in {400, 401, 403}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_ministack/reset"),
        ("POST", "/_ministack/config"),
        ("GET", "/_ministack/sqs/messages"),
        ("GET", "/_ministack/ses/messages"),
        ("GET", "/_ministack/lambda-code/x"),
        ("GET", "/_ministack/lambda-layers/x/1/content"),
        ("POST", "/_ministack/eks-auth/x"),
        ("POST", "/_ministack/rds/iam-auth"),
        ("GET", "/_localstack/info"),
        ("GET", "/_localstack/health"),
        ("GET", "/latest/meta-data/iam/security-credentials/"),
        ("PUT", "/latest/api/token"),
        ("GET", "/v2/_catalog"),
        ("POST", "/oauth2/token"),
        ("GET", "/iceberg/v1/config"),
        ("POST", "/%5fministack/reset"),
    ],
)
def test_ministacks_own_paths_are_closed(cloud, method, path, unique):
    cloud.client("s3").create_bucket(Bucket=unique)

    assert 403 == raw(cloud, path, method, "{}" if method == "POST" else None)[0]
    assert unique in [each["Name"] for each in cloud.client("s3").list_buckets()["Buckets"]]


def test_health_and_the_answers_of_custom_resources_stay_open(cloud):
    assert 200 == raw(cloud, "/_ministack/health")[0]
    assert 200 == raw(cloud, "/_ministack/ready")[0]
    assert 200 == raw(cloud, "/_ministack/cfn-response/unknown", "PUT", "{}")[0]


def test_a_functions_credentials_cannot_be_computed(cloud, role):
    arn = role(cloud, [], "lambda.amazonaws.com")
    guess = hashlib.sha256(f"arn:aws:lambda:us-east-1:000000000000:function:f:{arn}".encode()).hexdigest()
    key = (f"ASIA{guess[:16].upper()}", hashlib.sha256(f"secret:{guess}".encode()).hexdigest())

    assert "InvalidClientTokenId" == refused(
        cloud, *key, "sts", token=hashlib.sha256(f"token:{guess}".encode()).hexdigest()
    )


def test_a_users_policies_are_enforced(cloud, unique):
    iam, s3 = cloud.client("iam"), cloud.client("s3")
    s3.create_bucket(Bucket=unique)
    iam.create_user(UserName=unique)
    allowed = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{unique}/*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=unique, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=unique)["AccessKey"]
    user = cloud.client_as("s3", key["AccessKeyId"], key["SecretAccessKey"])
    s3.put_object(Bucket=unique, Key="x", Body=b"1")

    assert b"1" == user.get_object(Bucket=unique, Key="x")["Body"].read()
    with pytest.raises(ClientError, match="AccessDenied"):
        user.put_object(Bucket=unique, Key="x", Body=b"2")


def test_a_role_of_a_service_cannot_be_assumed_by_a_person(cloud, role):
    arn = role(cloud, [], "lambda.amazonaws.com")

    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="person")


def test_a_role_that_trusts_the_account_can_be_assumed_and_is_limited(cloud, role, unique):
    arn = role(cloud, [], {"AWS": "arn:aws:iam::000000000000:root"})
    given = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    key = (given["AccessKeyId"], given["SecretAccessKey"])

    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.client_as("s3", *key, given["SessionToken"]).create_bucket(Bucket=unique)
    assert refused(cloud, *key, "sts", token="wrong") in {"InvalidClientTokenId", "InvalidToken"}


def test_a_bucket_policy_that_demands_tls_counts_loopback_as_safe(cloud, role, unique):
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=unique)
    deny = {
        **{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{unique}/*"},
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket=unique, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    arn = role(cloud, [allowed], {"AWS": "arn:aws:iam::000000000000:root"})
    given = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    client = cloud.client_as("s3", given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    assert client.put_object(Bucket=unique, Key="x", Body=b"1")


def test_a_private_bucket_is_closed_to_the_anonymous(cloud, unique):
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=unique)
    s3.put_object(Bucket=unique, Key="x", Body=b"1")

    assert 403 == raw(cloud, f"/{unique}/x")[0]
    assert 403 == raw(cloud, f"/{unique}/x", "PUT", "2")[0]
    assert 403 == raw(cloud, f"/{unique}/x", "DELETE")[0]
    assert 403 == raw(cloud, f"/{unique}?policy")[0]
    assert 403 == raw(cloud, f"/{unique}?policy", "PUT", "{}")[0]
    assert 403 == raw(cloud, f"/{unique}?acl", "PUT", "", **{"x-amz-acl": "public-read-write"})[0]


def test_services_that_only_pretend_are_refused_by_name(cloud):
    for service, call in (
        ("eks", "list_clusters"),
        ("rds", "describe_db_instances"),
        ("glacier", "list_vaults"),
    ):
        with pytest.raises(
            ClientError, match=f"UnsupportedOperation.*{service} is not part of the local cloud"
        ):
            getattr(cloud.client(service), call)()


def test_nobody_may_forge_an_event_of_an_aws_service(cloud):
    entry = {"Source": "aws.codecommit", "DetailType": "CodeCommit Repository State Change", "Detail": "{}"}

    answer = cloud.client("events").put_events(Entries=[entry])

    assert "NotAuthorizedForSourceException" == answer["Entries"][0]["ErrorCode"]


def test_it_listens_on_loopback_only(cloud):
    port = int(cloud.endpoint.rsplit(":", 1)[1])
    listening = [
        line.split()[1]
        for table in ("tcp", "tcp6")
        if Path(f"/proc/net/{table}").exists()
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].rsplit(":", 1)[1], 16) == port
    ]

    assert {f"0100007F:{port:04X}"} == set(listening) or not Path("/proc/net/tcp").exists()
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass


def test_every_file_of_the_home_is_its_owners_alone(cloud):
    cloud.client("s3").list_buckets()
    cloud.client("efs").create_file_system(CreationToken=uuid.uuid4().hex)
    # Whose modes are git's, a zip's, an image's and a file system's own, in a folder that is closed.
    modes_of_their_own = {"repositories", "functions", "rootfs", "efs"}
    open_to_others = [
        path
        for path in [cloud.home, *cloud.home.rglob("*")]
        if not path.is_symlink() and path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
        if not modes_of_their_own & set(path.relative_to(cloud.home).parent.parts)
    ]

    assert [] == open_to_others
    assert 0o700 == stat.S_IMODE(cloud.home.stat().st_mode)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
def test_the_servers_environment_and_arguments_hold_no_secret(cloud):
    pid = json.loads((cloud.home / "cloud.json").read_text())["pid"]
    seen = b"".join(Path(f"/proc/{pid}/{each}").read_bytes() for each in ("environ", "cmdline"))

    assert cloud.connection.secret_key.encode() not in seen
    assert cloud.connection.secret_key not in (cloud.home / "logs" / "cloud.log").read_text()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
def test_the_servers_environment_is_scrubbed(cloud):
    pid = json.loads((cloud.home / "cloud.json").read_text())["pid"]
    names = {each.split(b"=")[0].decode() for each in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")}

    assert not {"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "PYTEST_CURRENT_TEST", "SSH_AUTH_SOCK"} & names
    assert str(cloud.home / "home") in Path(f"/proc/{pid}/environ").read_text()
    assert os.environ["HOME"] != str(cloud.home / "home")
