"""Uploads in parts: put together on disk, refused as S3 refuses, and gone when they are given up."""

import hashlib
import os

import pytest
from arriving import nothing_is_left, on_the_way
from botocore.exceptions import ClientError
from stacks import eventually

MB = 1 << 20
FIRST, SECOND = os.urandom(5 * MB), os.urandom(MB + 17)


@pytest.fixture
def bucket(cloud, unique):
    cloud.client("s3").create_bucket(Bucket=unique)
    return unique


class Upload:
    """An upload of ``bucket/k``."""

    def __init__(self, s3, bucket, **options):
        self.s3 = s3
        self.where = {"Bucket": bucket, "Key": "k"}
        self.where["UploadId"] = s3.create_multipart_upload(**self.where, **options)["UploadId"]

    def part(self, number, body, **options):
        sent = self.s3.upload_part(**self.where, PartNumber=number, Body=body, **options)
        sums = {name: value for name, value in sent.items() if name.startswith("Checksum")}
        return {"PartNumber": number, "ETag": sent["ETag"], **sums}

    def complete(self, *parts, **options):
        return self.s3.complete_multipart_upload(**self.where, MultipartUpload={"Parts": parts}, **options)


@pytest.fixture
def upload(cloud, bucket):
    return Upload(cloud.client("s3"), bucket, Metadata={"a": "b"})


def content(upload, **options):
    return upload.s3.get_object(Bucket=upload.where["Bucket"], Key="k", **options)


def test_the_parts_become_one_object(upload):
    parts = [upload.part(2, SECOND), upload.part(1, FIRST)]

    done = upload.complete(*reversed(parts))

    digests = hashlib.md5(FIRST).digest() + hashlib.md5(SECOND).digest()
    assert f'"{hashlib.md5(digests).hexdigest()}-2"' == done["ETag"] == content(upload)["ETag"]
    assert FIRST + SECOND == content(upload)["Body"].read()
    assert {"a": "b"} == content(upload)["Metadata"]
    assert SECOND == content(upload, PartNumber=2)["Body"].read()


def test_an_uploads_checksums_are_those_of_its_parts(cloud, bucket):
    upload = Upload(cloud.client("s3"), bucket, ChecksumAlgorithm="SHA256")
    parts = [upload.part(1, FIRST, ChecksumAlgorithm="SHA256")]
    parts += [upload.part(2, SECOND, ChecksumAlgorithm="SHA256")]

    assert upload.complete(*parts)["ChecksumSHA256"].endswith("-2")


def test_completing_again_answers_the_same(upload):
    part = upload.part(1, FIRST)

    assert upload.complete(part)["ETag"] == upload.complete(part)["ETag"]


def test_a_part_sent_again_replaces_the_first(cloud, upload):
    before = on_the_way(cloud)
    upload.part(1, FIRST)
    again = upload.part(1, SECOND)

    assert eventually(lambda: 1 == len(on_the_way(cloud) - before))
    upload.complete(again)
    assert nothing_is_left(cloud, before)
    assert SECOND == content(upload)["Body"].read()


def test_an_upload_given_up_leaves_nothing(cloud, upload):
    before = on_the_way(cloud)
    upload.part(1, FIRST)
    upload.part(2, SECOND)

    upload.s3.abort_multipart_upload(**upload.where)

    assert nothing_is_left(cloud, before)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        upload.complete({"PartNumber": 1, "ETag": "x"})


@pytest.mark.parametrize(
    ("refusal", "choose"),
    [
        ("InvalidPartOrder", lambda one, two: (two, one)),
        ("InvalidPartOrder", lambda one, two: (one, one)),
        ("InvalidPart", lambda one, two: (one, {**two, "PartNumber": 3})),
        ("InvalidPart", lambda one, two: (one, {**two, "ETag": one["ETag"]})),
        ("MalformedXML", lambda one, two: ()),
    ],
)
def test_a_wrong_list_of_parts_is_refused_and_may_be_corrected(upload, refusal, choose):
    parts = upload.part(1, FIRST), upload.part(2, SECOND)

    with pytest.raises(ClientError, match=refusal):
        upload.complete(*choose(*parts))

    assert upload.complete(*parts)["ETag"].endswith('-2"')


def test_only_the_last_part_may_be_small(upload):
    parts = upload.part(1, SECOND), upload.part(2, FIRST)

    with pytest.raises(ClientError, match="EntityTooSmall"):
        upload.complete(*parts)


def test_the_announced_size_must_be_the_size(upload):
    part = upload.part(1, FIRST)

    with pytest.raises(ClientError, match="InvalidRequest"):
        upload.complete(part, MpuObjectSize=1)

    assert upload.complete(part, MpuObjectSize=len(FIRST))


def test_conditions_hold_when_it_is_completed(upload):
    upload.s3.put_object(Bucket=upload.where["Bucket"], Key="k", Body=b"there")
    part = upload.part(1, FIRST)

    with pytest.raises(ClientError, match="PreconditionFailed"):
        upload.complete(part, IfNoneMatch="*")

    assert b"there" == content(upload)["Body"].read()


def test_a_part_is_copied_from_a_stretch_of_an_object(cloud, bucket):
    s3 = cloud.client("s3")
    s3.put_object(Bucket=bucket, Key="source", Body=FIRST + SECOND)
    upload = Upload(s3, bucket)
    copied = s3.upload_part_copy(
        **upload.where,
        PartNumber=1,
        CopySource={"Bucket": bucket, "Key": "source"},
        CopySourceRange=f"bytes=3-{5 * MB + 9}",
    )["CopyPartResult"]

    upload.complete({"PartNumber": 1, "ETag": copied["ETag"]}, upload.part(2, SECOND))

    part = (FIRST + SECOND)[3 : 5 * MB + 10]
    assert f'"{hashlib.md5(part).hexdigest()}"' == copied["ETag"]
    assert part + SECOND == content(upload)["Body"].read()


def test_a_part_of_an_unknown_upload_is_refused(cloud, bucket):
    before = on_the_way(cloud)

    with pytest.raises(ClientError, match="NoSuchUpload"):
        cloud.client("s3").upload_part(Bucket=bucket, Key="k", UploadId="none", PartNumber=1, Body=FIRST)

    assert nothing_is_left(cloud, before)
