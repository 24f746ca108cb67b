"""Training data: uploaded once, named by what it holds."""

from types import SimpleNamespace

import boto3
import pytest
from moto import mock_aws

from atelier.client.datasets import check, reference_text, upload, upload_reference
from atelier.client.errors import Problem


@pytest.fixture
def clients():
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        s3.create_bucket(Bucket="data")
        yield SimpleNamespace(s3=s3)


def stored(clients):
    return {each["Key"] for each in clients.s3.list_objects_v2(Bucket="data").get("Contents", [])}


def latest(clients):
    return clients.s3.get_object(Bucket="data", Key="data/LATEST")["Body"].read().decode()


def test_a_file_is_uploaded_under_its_version_and_becomes_the_latest(clients, tmp_path):
    (tmp_path / "book.txt").write_text("Call me Ishmael.")

    found = upload(clients, "data", tmp_path / "book.txt")

    assert {f"data/{found.version}/book.txt", "data/LATEST"} == stored(clients)
    assert found.version == latest(clients)
    assert 16 == len(found.version)
    assert found.is_new


def test_a_folder_is_uploaded_with_its_folders_but_without_what_is_hidden(clients, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.txt").write_text("a")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("secret")

    found = upload(clients, "data", tmp_path)

    assert {f"data/{found.version}/one/a.txt", "data/LATEST"} == stored(clients)


def test_the_same_text_is_the_same_version_and_is_uploaded_once(clients, tmp_path):
    (tmp_path / "book.txt").write_text("Call me Ishmael.")
    first = upload(clients, "data", tmp_path / "book.txt")

    again = upload(clients, "data", tmp_path / "book.txt")

    assert first.version == again.version
    assert not again.is_new


def test_an_upload_that_broke_off_is_completed(clients, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    version = upload(clients, "data", tmp_path).version
    clients.s3.delete_object(Bucket="data", Key=f"data/{version}/b.txt")

    assert upload(clients, "data", tmp_path).is_new
    assert f"data/{version}/b.txt" in stored(clients)


def test_other_text_is_another_version_and_an_old_one_can_come_back(clients, tmp_path):
    (tmp_path / "book.txt").write_text("one")
    one = upload(clients, "data", tmp_path / "book.txt").version
    (tmp_path / "book.txt").write_text("two")
    two = upload(clients, "data", tmp_path / "book.txt").version
    (tmp_path / "book.txt").write_text("one")

    assert one != two
    assert one == upload(clients, "data", tmp_path / "book.txt").version == latest(clients)


def test_nothing_to_train_on_is_a_problem(clients, tmp_path):
    (tmp_path / "empty.txt").touch()

    with pytest.raises(Problem, match="holds no text to train on"):
        upload(clients, "data", tmp_path)
    with pytest.raises(Problem, match="there is no file or folder"):
        upload(clients, "data", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no text to train on"),
        (b"caf\xe9", "picture.txt is not UTF-8 text"),
        (b"a\0b", "picture.txt is not UTF-8 text"),
    ],
)
def test_what_training_would_refuse_is_told_by_the_name_of_its_file(tmp_path, content, words):
    (tmp_path / "picture.txt").write_bytes(content)

    with pytest.raises(Problem, match=words):
        check(tmp_path)


def test_a_file_that_cannot_be_read_is_told_by_its_name(tmp_path):
    class Locked(type(tmp_path)):
        def open(self, *args, **more):
            raise PermissionError(13, "Permission denied")

    (tmp_path / "book.txt").write_text("Call me Ishmael.")

    with pytest.raises(Problem, match=r"book\.txt cannot be read: Permission denied"):
        check(Locked(tmp_path / "book.txt"))


def test_text_passes_the_check(tmp_path):
    (tmp_path / "book.txt").write_text("Nennt mich Ismaël.", encoding="utf-8")

    check(tmp_path)


def test_the_reference_text_is_real_english_and_always_the_same(clients):
    assert len(reference_text()) > 400_000
    assert upload_reference(clients, "data").version == upload_reference(clients, "data").version
