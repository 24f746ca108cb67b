"""The container's view of S3, against the local cloud's."""

from __future__ import annotations

import pytest
from diffusion import s3
from diffusion.cache import Cache, Source
from diffusion.errors import Invalid, Unreachable

BODY = b"weights " * 200_000


@pytest.fixture
def bucket(cloud, unique):
    cloud.client("s3").create_bucket(Bucket=unique)
    cloud.client("s3").put_object(Bucket=unique, Key="models/ä b+c.safetensors", Body=BODY)
    return unique


@pytest.fixture
def store(cloud, bucket):
    return s3.S3(cloud.client("s3"))


def test_an_object_is_found_and_read_whole(store, bucket):
    address = f"s3://{bucket}/models/ä b+c.safetensors"

    found = store.find(address)

    assert len(BODY) == found.size
    assert BODY == b"".join(store.read(address, found.version))


def test_a_version_that_is_gone_is_not_read_as_if_it_were_the_one(store, bucket, cloud):
    address = f"s3://{bucket}/models/ä b+c.safetensors"
    found = store.find(address)
    cloud.client("s3").put_object(Bucket=bucket, Key="models/ä b+c.safetensors", Body=b"other")

    with pytest.raises(Unreachable, match="S3 says PreconditionFailed"):
        b"".join(store.read(address, found.version))


def test_what_is_not_there_is_said_with_its_address(store, bucket):
    with pytest.raises(
        Invalid, match=f"s3://{bucket}/none cannot be read with this container's role: S3 says 404"
    ):
        store.find(f"s3://{bucket}/none")


def test_what_the_role_may_not_read_is_said(cloud, bucket, role):
    allowed = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/others/*"}
    arn = role(cloud, [allowed], {"AWS": "*"})
    lent = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="endpoint")["Credentials"]
    store = s3.S3(cloud.client_as("s3", lent["AccessKeyId"], lent["SecretAccessKey"], lent["SessionToken"]))

    with pytest.raises(Invalid, match="cannot be read with this container's role: S3 says 403"):
        store.find(f"s3://{bucket}/models/ä b+c.safetensors")


def test_a_cloud_that_does_not_answer_is_worth_another_try(cloud, monkeypatch):
    away = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    for name, value in away.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(Unreachable, match=r"s3://bucket/key cannot be read: EndpointConnectionError"):
        s3.S3(s3.client()).find("s3://bucket/key")


@pytest.mark.parametrize(
    "address", ["s3://b/key", "s3://bucket", "s3://bucket/", "s3://../key", "file:///etc/x"]
)
def test_what_is_no_address_is_refused(store, address):
    with pytest.raises(Invalid, match="is not an address like s3://bucket/key"):
        store.find(address)


def test_the_cache_fetches_from_s3(store, bucket, tmp_path):
    source = Source(name="x", address=f"s3://{bucket}/models/ä b+c.safetensors")

    with Cache(tmp_path, 10_000_000, store).lease(source) as checkpoint:
        assert BODY == checkpoint.path.read_bytes()
