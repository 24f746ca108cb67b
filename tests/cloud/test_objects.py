"""Objects of any size: what is put comes back, and the cloud's memory does not grow with it."""

import base64
import hashlib
import io
import json
import os
import threading
import time
import zipfile

import pytest
from botocore.exceptions import ClientError

from atelier.cloud.gateway import launch, processes

MB = 1 << 20
BIG = os.urandom(MB) * 3 + b"end"


@pytest.fixture
def bucket(cloud, unique):
    cloud.client("s3").create_bucket(Bucket=unique)
    return unique


@pytest.fixture
def big(cloud, bucket):
    cloud.client("s3").put_object(Bucket=bucket, Key="big", Body=BIG)
    return bucket


class Pattern(io.RawIOBase):
    """A file of any size that needs no memory: the same block over and over."""

    def __init__(self, size):
        self._size, self._at = size, 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=0):
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self):
        return self._at

    def read(self, size=-1):
        size = self._size - self._at if size < 0 else min(size, self._size - self._at)
        start, self._at = self._at % MB, self._at + size
        return (BIG[:MB] * (size // MB + 2))[start : start + size]


class Watched:
    """The highest memory of a process while the block runs."""

    def __init__(self, pid):
        self._pid, self._done = pid, threading.Event()
        self.before = self.peak = processes.memory(pid)
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self._done.wait(0.02):
            self.peak = max(self.peak, processes.memory(self._pid))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()

    @property
    def growth(self):
        return self.peak - self.before


def code(error):
    return error.value.response["Error"]["Code"]


@pytest.mark.parametrize("size", [0, 1, MB - 1, MB, MB + 1, 3 * MB])
def test_what_is_put_comes_back(cloud, bucket, size):
    s3, body = cloud.client("s3"), BIG[:size]

    put = s3.put_object(Bucket=bucket, Key="k", Body=body, Metadata={"a": "b"}, ContentType="x/y")
    got = s3.get_object(Bucket=bucket, Key="k")

    assert f'"{hashlib.md5(body).hexdigest()}"' == put["ETag"] == got["ETag"]
    assert body == got["Body"].read()
    assert (size, {"a": "b"}, "x/y") == (got["ContentLength"], got["Metadata"], got["ContentType"])
    assert size == s3.head_object(Bucket=bucket, Key="k")["ContentLength"]


def test_memory_does_not_grow_with_what_goes_in_and_out(cloud, bucket):
    s3, size = cloud.client("s3"), 160 * MB
    with Watched(launch.status(cloud.home).pid) as watched:
        s3.upload_fileobj(Pattern(size), bucket, "parts")
        s3.put_object(Bucket=bucket, Key="whole", Body=Pattern(size))
        taken = sum(map(len, s3.get_object(Bucket=bucket, Key="parts")["Body"].iter_chunks(MB)))
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "whole"})
        for key in ("parts", "whole", "copy"):
            s3.delete_object(Bucket=bucket, Key=key)

    assert size == taken
    assert watched.growth < 80 * MB


def test_other_calls_are_answered_while_a_large_body_comes_in(cloud, bucket):
    began, done = threading.Event(), threading.Event()

    class Slow(Pattern):
        def read(self, size=-1):
            if self.tell() > 24 * MB:  # of 32: the upload cannot end before the other calls have
                began.set()
                done.wait(60)
            return super().read(min(size, MB) if size > 0 else size)

    upload = threading.Thread(
        target=lambda: cloud.client("s3").put_object(Bucket=bucket, Key="k", Body=Slow(32 * MB))
    )
    cloud.client("s3"), cloud.client("sts")
    began.clear()
    upload.start()
    assert began.wait(60)

    for _ in range(20):
        assert cloud.client("sts").get_caller_identity()["Account"]

    done.set()
    upload.join()
    assert 32 * MB == cloud.client("s3").head_object(Bucket=bucket, Key="k")["ContentLength"]


@pytest.mark.parametrize(
    ("asked", "part", "told"),
    [
        ("bytes=0-0", slice(0, 1), "bytes 0-0"),
        ("bytes=10-1999999", slice(10, 2000000), "bytes 10-1999999"),
        ("bytes=3000000-", slice(3000000, None), f"bytes 3000000-{len(BIG) - 1}"),
        ("bytes=-5", slice(-5, None), f"bytes {len(BIG) - 5}-{len(BIG) - 1}"),
        ("bytes=-99999999", slice(None), f"bytes 0-{len(BIG) - 1}"),
        ("bytes=3000000-99999999", slice(3000000, None), f"bytes 3000000-{len(BIG) - 1}"),
    ],
)
def test_a_range_is_that_part(cloud, big, asked, part, told):
    got = cloud.client("s3").get_object(Bucket=big, Key="big", Range=asked)

    assert BIG[part] == got["Body"].read()
    assert (206, f"{told}/{len(BIG)}") == (got["ResponseMetadata"]["HTTPStatusCode"], got["ContentRange"])


@pytest.mark.parametrize("asked", [f"bytes={len(BIG)}-", "bytes=-0", "bytes=99999999-999999999"])
def test_a_range_behind_the_end_is_refused(cloud, big, asked):
    with pytest.raises(ClientError) as refused:
        cloud.client("s3").get_object(Bucket=big, Key="big", Range=asked)

    assert ("InvalidRange", 416) == (
        code(refused),
        refused.value.response["ResponseMetadata"]["HTTPStatusCode"],
    )


def test_conditions_hold(cloud, big):
    s3 = cloud.client("s3")
    etag = s3.head_object(Bucket=big, Key="big")["ETag"]

    with pytest.raises(ClientError) as same:
        s3.get_object(Bucket=big, Key="big", IfNoneMatch=etag)
    with pytest.raises(ClientError) as other:
        s3.get_object(Bucket=big, Key="big", IfMatch='"other"')
    with pytest.raises(ClientError) as there:
        s3.put_object(Bucket=big, Key="big", Body=BIG, IfNoneMatch="*")

    assert ("304", "PreconditionFailed", "PreconditionFailed") == (code(same), code(other), code(there))
    assert BIG == s3.get_object(Bucket=big, Key="big", IfMatch=etag)["Body"].read()
    assert s3.put_object(Bucket=big, Key="new", Body=BIG, IfNoneMatch="*")["ETag"] == etag


def test_a_checksum_is_kept_and_given_back(cloud, bucket):
    s3 = cloud.client("s3")
    s3.put_object(Bucket=bucket, Key="k", Body=BIG, ChecksumAlgorithm="SHA256")

    got = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")

    assert hashlib.sha256(BIG).digest().hex() == base64.b64decode(got["ChecksumSHA256"]).hex()


def test_a_copy_has_the_bytes_whatever_becomes_of_its_source(cloud, big):
    s3 = cloud.client("s3")
    s3.copy_object(Bucket=big, Key="copy", CopySource={"Bucket": big, "Key": "big"})
    s3.put_object(Bucket=big, Key="big", Body=b"small now")

    assert BIG == s3.get_object(Bucket=big, Key="copy")["Body"].read()
    assert b"small now" == s3.get_object(Bucket=big, Key="big")["Body"].read()

    s3.copy_object(
        Bucket=big, Key="copy", CopySource={"Bucket": big, "Key": "copy"}, MetadataDirective="REPLACE"
    )
    assert BIG == s3.get_object(Bucket=big, Key="copy")["Body"].read()


def test_a_copy_may_ask_for_another_checksum(cloud, big):
    s3 = cloud.client("s3")

    s3.copy_object(
        Bucket=big, Key="copy", CopySource={"Bucket": big, "Key": "big"}, ChecksumAlgorithm="SHA256"
    )

    assert BIG == s3.get_object(Bucket=big, Key="copy", ChecksumMode="ENABLED")["Body"].read()


def test_a_reader_gets_the_bytes_it_began_with(cloud, bucket):
    s3 = cloud.client("s3")
    s3.put_object(Bucket=bucket, Key="k", Body=Pattern(24 * MB))
    body = s3.get_object(Bucket=bucket, Key="k")["Body"]
    first = body.read(MB)

    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 24 * MB)

    assert BIG[:MB] * 24 == first + body.read()


def test_a_function_runs_code_from_a_large_object(cloud, bucket, role, unique):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("app.py", "def handler(event, context):\n    return 'ran'\n")
        file.writestr("padding.bin", os.urandom(2 * MB))
    cloud.client("s3").put_object(Bucket=bucket, Key="code.zip", Body=archive.getvalue())

    cloud.client("lambda").create_function(
        FunctionName=unique,
        Runtime="python3.11",
        Handler="app.handler",
        Role=role(cloud, [], "lambda.amazonaws.com"),
        Code={"S3Bucket": bucket, "S3Key": "code.zip"},
    )

    assert b'"ran"' == cloud.client("lambda").invoke(FunctionName=unique)["Payload"].read()


def test_a_workflow_reads_a_large_object(cloud, bucket, role, unique):
    items = [{"id": number, "padding": "x" * MB} for number in range(3)]
    cloud.client("s3").put_object(Bucket=bucket, Key="items.json", Body=json.dumps(items).encode())
    each = {
        "Type": "Map",
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "Parameters": {"Bucket": bucket, "Key": "items.json"},
            "ReaderConfig": {"InputType": "JSON"},
        },
        "ItemSelector": {"id.$": "$$.Map.Item.Value.id"},
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Same",
            "States": {"Same": {"Type": "Pass", "End": True}},
        },
        "End": True,
    }
    allowed = {"Effect": "Allow", "Action": ["s3:GetObject", "states:StartExecution"], "Resource": "*"}
    machine = cloud.client("stepfunctions").create_state_machine(
        name=unique,
        roleArn=role(cloud, [allowed], "states.amazonaws.com"),
        definition=json.dumps({"StartAt": "Each", "States": {"Each": each}}),
    )["stateMachineArn"]
    run = cloud.client("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"]

    while "RUNNING" == (seen := cloud.client("stepfunctions").describe_execution(executionArn=run))["status"]:
        time.sleep(0.1)

    assert [{"id": 0}, {"id": 1}, {"id": 2}] == json.loads(seen["output"])
