"""The table and its fake keep checkpoints alike; uploads do in S3 what they should."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.stub import Stubber
from checkpoint_fakes import LATER, NOW, SOON, FakeCheckpoints, caller, create_table, safetensors
from moto import mock_aws

from atelier.contract.tables import CHECKPOINTS
from atelier.lambdas.adapters.calls import AsynchronousJobs
from atelier.lambdas.adapters.checkpoints import DynamoCheckpoints
from atelier.lambdas.adapters.uploads import S3Contents, S3Uploads
from atelier.lambdas.domain.checkpoints import Checkpoint, File, Source
from atelier.lambdas.errors import Busy, Conflict, Invalid

KEYS = {
    "region_name": "us-east-1",
    "aws_access_key_id": "testing",
    "aws_secret_access_key": "testing",
}
IDS = [f"00000000-0000-4000-8000-{each:012}" for each in range(10)]
MEGABYTE = 1024 * 1024


@pytest.fixture
def table() -> Iterator[DynamoCheckpoints]:
    with mock_aws(), closing(boto3.client("dynamodb", **KEYS)) as dynamodb:
        create_table(dynamodb, "checkpoints", CHECKPOINTS)
        yield DynamoCheckpoints(dynamodb, "checkpoints", "bucket")


@pytest.fixture(params=["table", "fake"])
def checkpoints(request):
    return FakeCheckpoints() if request.param == "fake" else request.getfixturevalue("table")


def made(number=1, *names, type="Lora", created=NOW, **more):
    folder = f"checkpoints/{type}/{IDS[number]}/"
    files = tuple(File(name=each, key=folder + each, upload="u") for each in names)
    return Checkpoint(
        id=IDS[number], type=type, creator="ann", roles=("painter",), created=created, files=files, **more
    )


def test_a_checkpoint_comes_back_as_it_was_kept(checkpoints):
    sources = (Source(url="https://a.example/x", attempts=2), Source(url="https://a.example/y", done=True))
    kept = checkpoints.add(
        made(1, "a.safetensors", sources=sources, message="é", source_path="a", target_path="b", error="c")
    )
    bare = checkpoints.add(Checkpoint(id=IDS[2], type="VAE", creator="ann", created=NOW))

    assert kept == checkpoints.get(IDS[1])
    assert bare == checkpoints.get(IDS[2])
    assert checkpoints.get(IDS[3]) is None


def test_of_two_who_claim_a_name_of_a_type_one_has_it(checkpoints):
    checkpoints.add(made(1, "a.safetensors", "b.safetensors"))

    with pytest.raises(Conflict):
        checkpoints.add(made(2, "c.safetensors", "b.safetensors"))

    checkpoints.add(made(3, "b.safetensors", type="VAE"))
    assert {"b.safetensors": IDS[1]} == checkpoints.holders("Lora", {"b.safetensors", "c.safetensors"})
    assert {} == checkpoints.holders("Lora", set())


def test_a_checkpoint_is_made_once(checkpoints):
    checkpoints.add(made(1))

    with pytest.raises(Conflict):
        checkpoints.add(made(1))


def test_of_two_writers_one_wins(checkpoints):
    was = checkpoints.add(made(1, "a.safetensors"))
    checkpoints.save(replace(was, message="first"), was=was)

    with pytest.raises(Conflict):
        checkpoints.save(replace(was, message="second"), was=was)
    with pytest.raises(Conflict):
        checkpoints.remove(was)

    assert "first" == checkpoints.get(IDS[1]).message


def test_names_that_are_lost_are_free_and_those_that_are_won_are_not(checkpoints):
    was = checkpoints.add(replace(made(1, "a.safetensors"), status="Active"))
    renamed = checkpoints.save(was.renamed("b"), was=was)

    assert {"b.safetensors": IDS[1]} == checkpoints.holders("Lora", ["a.safetensors", "b.safetensors"])
    disabled = checkpoints.save(renamed.disabled("why"), was=renamed)
    assert {} == checkpoints.holders("Lora", ["b.safetensors"])
    checkpoints.remove(disabled)
    assert checkpoints.get(IDS[1]) is None


def test_a_checkpoint_is_forgotten_with_its_claims(checkpoints):
    checkpoints.remove(checkpoints.add(made(1, "a.safetensors")))

    assert checkpoints.get(IDS[1]) is None
    assert {} == checkpoints.holders("Lora", ["a.safetensors"])


def test_lists_have_the_newest_first_whatever_their_types(checkpoints):
    for number, (type, created) in enumerate([("Lora", NOW), ("VAE", LATER), ("Lora", SOON)]):
        checkpoints.add(made(number, f"{number}.safetensors", type=type, created=created))

    def ids(*types):
        return [IDS.index(each.id) for each in checkpoints.all(types)]

    assert [1, 2, 0] == ids()
    assert [1, 2, 0] == ids("VAE", "Lora")
    assert [2, 0] == ids("Lora")
    assert [] == ids("Comfy")
    assert [] == ids("unknown")


def test_a_job_finds_the_active_checkpoint_of_a_type_and_name_for_who_may_use_it(table):
    was = table.add(made(1, "a.safetensors"))
    assert table.find("Lora", "a.safetensors", caller()) is None
    file = replace(was.files[0], sha256="ab")
    table.save(replace(was, status="Active", files=(file,)), was=was)

    found = table.find("Lora", "a.safetensors", caller("bob"))

    assert (IDS[1], "Lora", "a.safetensors") == (found.id, found.type, found.name)
    assert (f"s3://bucket/checkpoints/Lora/{IDS[1]}/a.safetensors", "ab") == (found.s3, found.sha256)
    assert table.find("VAE", "a.safetensors", caller()) is None
    assert table.find("Lora", "a.safetensors", caller("eve", roles=())) is None
    assert table.find("Lora", "a.safetensors", caller("eve", "checkpoint:all", roles=())) is not None


@pytest.mark.parametrize("name", ["", "x" * 3000, "\ud800", "a\0", "unknown.safetensors"])
def test_a_name_that_cannot_be_is_not_found(table, name):
    assert table.find("Lora", name, caller()) is None


def test_a_claim_is_no_checkpoint(table):
    table.add(made(1, "a.safetensors"))

    for each in ("NAME#Lora#a.safetensors", "", "x" * 3000, f"{IDS[1]}\n"):
        assert table.get(each) is None


@pytest.fixture
def s3() -> Iterator:
    with mock_aws(), closing(boto3.client("s3", **KEYS)) as client:
        client.create_bucket(Bucket="bucket")
        yield client


def begun(s3, key="checkpoints/Lora/1/é a.safetensors"):
    uploads = S3Uploads(s3, "bucket")
    return uploads, File(name="a", key=key, upload=uploads.begin(key))


def test_a_file_is_made_of_its_parts_once(s3):
    uploads, file = begun(s3)
    body = b"x" * 5 * MEGABYTE
    tags = {2: uploads.put(file, 2, safetensors()), 1: uploads.put(file, 1, body)}

    uploads.complete(file, tags)
    uploads.complete(file, tags)

    assert (len(body + safetensors()), b"xxx") == uploads.begins(file.key, 3)
    assert hashlib.sha256(body + safetensors()).hexdigest() == S3Contents(s3, "bucket").sha256(file.key)


def test_parts_that_make_no_file_say_why(s3):
    uploads, file = begun(s3)
    tags = {1: uploads.put(file, 1, b"small"), 2: uploads.put(file, 2, b"small")}

    with pytest.raises(Invalid, match="a: "):
        uploads.complete(file, tags)
    with pytest.raises(Invalid, match="a: "):
        uploads.complete(file, {3: "none"})


def test_an_upload_that_was_ended_takes_nothing_more(s3):
    uploads, file = begun(s3)
    uploads.abort(file)
    uploads.abort(file)

    with Stubber(s3) as stub:
        for operation in ("upload_part", "complete_multipart_upload"):
            stub.add_client_error(operation, "NoSuchUpload", http_status_code=404)
        stub.add_response("list_objects_v2", {})
        with pytest.raises(Conflict):
            uploads.put(file, 1, b"x")
        with pytest.raises(Invalid, match="is no more"):
            uploads.complete(file, {1: "e"})


def test_an_empty_file_has_no_beginning(s3):
    s3.put_object(Bucket="bucket", Key="empty", Body=b"")

    assert (0, b"") == S3Uploads(s3, "bucket").begins("empty", 10)
    assert S3Contents(s3, "bucket").sha256("none") is None


def test_each_part_has_a_link_of_its_own(s3):
    uploads, file = begun(s3)

    links = uploads.urls(file, 100)

    assert 100 == len(set(links))
    assert all(f"uploadId={file.upload}" in each and "%C3%A9%20a.safetensors" in each for each in links)


@pytest.fixture
def functions() -> Iterator:
    with closing(boto3.client("lambda", **KEYS)) as client:
        yield client


def test_a_job_is_asked_for_and_not_waited_for(functions):
    with Stubber(functions) as stub:
        expected = {
            "FunctionName": "f",
            "InvocationType": "Event",
            "Payload": b'{"checkpoint": "1", "source": 2}',
        }
        stub.add_response("invoke", {"StatusCode": 202}, expected)
        AsynchronousJobs(functions, "f").download("1", 2)
        stub.assert_no_pending_responses()


def test_a_job_that_cannot_be_asked_for_now_may_be_later(functions):
    with Stubber(functions) as stub:
        stub.add_client_error("invoke", "TooManyRequestsException")
        with pytest.raises(Busy):
            AsynchronousJobs(functions, "f").download("1", 2)


def test_a_function_that_does_not_answer_may_later():
    class Silent:
        def invoke(self, **_):
            raise ReadTimeoutError(endpoint_url="x")

    with pytest.raises(Busy):
        AsynchronousJobs(Silent(), "f").download("1", 2)
