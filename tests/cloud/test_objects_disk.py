"""What objects take on disk is given back, and what was kept is there after a stop and after a kill."""

import json
import os
import signal
import socket
import threading
from urllib.parse import urlsplit

import pytest
from arriving import nothing_is_left, on_the_way
from botocore.exceptions import ClientError
from conftest import start_cloud
from stacks import eventually

from atelier.cloud.gateway import launch

MB = 1 << 20
ONE, TWO, THREE = (os.urandom(MB) * 8 for _ in range(3))


@pytest.fixture
def bucket(cloud, unique):
    cloud.client("s3").create_bucket(Bucket=unique)
    return unique


@pytest.fixture
def versioned(cloud, bucket):
    cloud.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def taken(cloud, bucket):
    """The megabytes that a bucket's files take, each file once however many names it has."""
    files = {
        (stat.st_dev, stat.st_ino): stat.st_size
        for root in (cloud.home / "state" / "s3").glob(f"**/{bucket}")
        for stat in (each.stat() for each in root.rglob("*") if each.is_file())
    }
    return sum(files.values()) // MB


def get(cloud, bucket, **options):
    return cloud.client("s3").get_object(Bucket=bucket, Key="k", **options)["Body"].read()


def put(cloud, bucket, body):
    return cloud.client("s3").put_object(Bucket=bucket, Key="k", Body=body).get("VersionId")


def test_what_is_replaced_or_deleted_takes_no_space(cloud, bucket):
    put(cloud, bucket, ONE)
    put(cloud, bucket, TWO)
    assert 8 == taken(cloud, bucket)

    cloud.client("s3").copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"})
    assert 8 == taken(cloud, bucket)

    cloud.client("s3").delete_object(Bucket=bucket, Key="k")
    assert 8 == taken(cloud, bucket)
    cloud.client("s3").delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}]})
    assert 0 == taken(cloud, bucket)


def test_each_version_has_its_bytes_until_it_is_deleted(cloud, versioned):
    s3 = cloud.client("s3")
    first, second, third = (put(cloud, versioned, body) for body in (ONE, TWO, THREE))

    assert 24 == taken(cloud, versioned)
    assert (ONE, TWO, THREE) == tuple(
        get(cloud, versioned, VersionId=each) for each in (first, second, third)
    )
    assert TWO[5 : 2 * MB] == get(cloud, versioned, VersionId=second, Range=f"bytes=5-{2 * MB - 1}")

    s3.delete_object(Bucket=versioned, Key="k", VersionId=third)
    assert (16, TWO) == (taken(cloud, versioned), get(cloud, versioned))
    s3.delete_object(Bucket=versioned, Key="k", VersionId=first)
    assert (8, TWO) == (taken(cloud, versioned), get(cloud, versioned))
    s3.delete_object(Bucket=versioned, Key="k", VersionId=second)
    assert 0 == taken(cloud, versioned)


def test_small_versions_are_kept_as_well(cloud, versioned):
    s3 = cloud.client("s3")
    first, second, third = (put(cloud, versioned, body) for body in (b"one", b"two", b"three"))
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]

    assert [b"one", b"two", b"three"] == [
        get(cloud, versioned, VersionId=each) for each in (first, second, third)
    ]
    assert b"wo" == get(cloud, versioned, VersionId=second, Range="bytes=1-")
    for each, left in ((marker, b"three"), (third, b"two"), (first, b"two")):
        s3.delete_object(Bucket=versioned, Key="k", VersionId=each)
        assert left == get(cloud, versioned)


def test_without_versions_any_more_the_last_write_is_the_null_version(cloud, versioned):
    first = put(cloud, versioned, ONE)
    cloud.client("s3").put_bucket_versioning(
        Bucket=versioned, VersioningConfiguration={"Status": "Suspended"}
    )
    put(cloud, versioned, TWO)
    put(cloud, versioned, THREE)

    assert (ONE, THREE) == (get(cloud, versioned, VersionId=first), get(cloud, versioned, VersionId="null"))
    assert 16 == taken(cloud, versioned)
    cloud.client("s3").delete_object(Bucket=versioned, Key="k", VersionId="null")
    assert (8, ONE) == (taken(cloud, versioned), get(cloud, versioned))


def test_a_range_behind_the_end_of_a_version_is_refused(cloud, versioned):
    version = put(cloud, versioned, ONE)

    with pytest.raises(ClientError, match="InvalidRange"):
        get(cloud, versioned, VersionId=version, Range=f"bytes={len(ONE)}-")


def test_a_delete_marker_hides_a_version_and_takes_no_space(cloud, versioned):
    s3 = cloud.client("s3")
    version = put(cloud, versioned, ONE)

    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    with pytest.raises(s3.exceptions.NoSuchKey):
        get(cloud, versioned)
    assert ONE == get(cloud, versioned, VersionId=version)

    s3.delete_object(Bucket=versioned, Key="k", VersionId=marker)
    assert (8, ONE) == (taken(cloud, versioned), get(cloud, versioned))

    s3.delete_object(Bucket=versioned, Key="k")
    s3.delete_object(Bucket=versioned, Key="k", VersionId=version)
    assert 0 == taken(cloud, versioned)


def test_what_was_there_before_versions_is_the_null_version(cloud, bucket):
    put(cloud, bucket, ONE)
    cloud.client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put(cloud, bucket, TWO)

    assert (ONE, TWO) == (get(cloud, bucket, VersionId="null"), get(cloud, bucket))


def test_an_upload_that_breaks_off_leaves_nothing(cloud, bucket):
    before = on_the_way(cloud)
    url = urlsplit(
        cloud.client("s3").generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
    )
    with socket.create_connection((url.hostname, url.port)) as client:
        head = (
            f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {8 * MB}\r\n\r\n"
        )
        client.sendall(head.encode() + ONE[: 4 * MB])
        assert eventually(lambda: on_the_way(cloud) - before)

    assert nothing_is_left(cloud, before)
    with pytest.raises(cloud.client("s3").exceptions.NoSuchKey):
        get(cloud, bucket)


def test_a_reader_that_goes_away_stops_nothing(cloud, bucket):
    put(cloud, bucket, ONE * 4)
    for _ in range(8):
        body = cloud.client("s3").get_object(Bucket=bucket, Key="k")["Body"]
        body.read(10)
        body.close()

    assert ONE * 4 == get(cloud, bucket)


def test_nothing_of_who_may_not_is_taken(cloud, bucket):
    iam = cloud.client("iam")
    iam.create_user(UserName=bucket)
    key = iam.create_access_key(UserName=bucket)["AccessKey"]
    stranger = cloud.client_as("s3", key["AccessKeyId"], key["SecretAccessKey"])
    seen, done = set(), threading.Event()

    def watch():
        while not done.is_set():
            seen.update(on_the_way(cloud))

    before, watcher = on_the_way(cloud), threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(ClientError, match="AccessDenied"):
        stranger.put_object(Bucket=bucket, Key="k", Body=ONE)
    done.set()
    watcher.join()

    assert set() == seen - before


@pytest.fixture
def home(tmp_path):
    yield tmp_path / "home"
    launch.stop(tmp_path / "home")


def test_a_bucket_that_a_stack_deleted_stays_away(home):
    cloud = start_cloud(home)
    body = json.dumps(
        {"Resources": {"B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "gone-for-good"}}}}
    )
    cloud.client("cloudformation").create_stack(StackName="s", TemplateBody=body)
    cloud.client("cloudformation").get_waiter("stack_create_complete").wait(
        StackName="s", WaiterConfig={"Delay": 0.1}
    )
    cloud.client("s3").put_object(Bucket="gone-for-good", Key="folder/k", Body=ONE)
    cloud.client("s3").delete_object(Bucket="gone-for-good", Key="folder/k")
    cloud.client("cloudformation").delete_stack(StackName="s")
    cloud.client("cloudformation").get_waiter("stack_delete_complete").wait(
        StackName="s", WaiterConfig={"Delay": 0.1}
    )

    assert launch.stop(home)

    assert [] == start_cloud(home).client("s3").list_buckets()["Buckets"]


def test_objects_survive_a_stop_and_a_kill_and_half_an_upload_does_not(home):
    cloud = start_cloud(home)
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
    first, second = put(cloud, "kept", ONE), put(cloud, "kept", TWO)
    assert launch.stop(home)
    cloud = start_cloud(home)
    assert (ONE, TWO) == (get(cloud, "kept", VersionId=first), get(cloud, "kept", VersionId=second))

    upload = cloud.client("s3").create_multipart_upload(Bucket="kept", Key="half")["UploadId"]
    cloud.client("s3").upload_part(Bucket="kept", Key="half", UploadId=upload, PartNumber=1, Body=THREE)
    assert on_the_way(cloud)
    pid = launch.status(home).pid
    os.kill(pid, signal.SIGKILL)
    launch._reap(pid)

    cloud = start_cloud(home)
    assert set() == on_the_way(cloud)
    assert (ONE, TWO) == (get(cloud, "kept", VersionId=first), get(cloud, "kept"))
    assert 16 == taken(cloud, "kept")
