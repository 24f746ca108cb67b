"""EFS: what its calls keep and refuse, and who gets in where by a mount."""

import json
import stat
import threading
from typing import Any

import pytest
from efs_fakes import TYPES, Files
from fakes import FakeIdentity, fake_cloud

from atelier.cloud.context import Refused
from atelier.cloud.services import rest
from atelier.cloud.services.efs.plugin import PLUGIN
from atelier.cloud.services.efs.service import folder
from atelier.cloud.services.efs.volumes import directory, reachable
from atelier.cloud.services.resources import Request
from atelier.cloud.services.wire import ServiceError

ROLE = "arn:aws:iam::000000000000:role/reader"
STRICT = [
    {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    {"Effect": "Deny", "Condition": {"Null": {"elasticfilesystem:AccessPointArn": "true"}}},
]
NOBODY = {"Null": {"aws:PrincipalArn": "true"}, "Bool": {"elasticfilesystem:AccessedViaMountTarget": "true"}}
ENTER = {"OwnerUid": 1000, "OwnerGid": 1000, "Permissions": "0750"}


@pytest.fixture
def files(tmp_path):
    made = Files(fake_cloud(tmp_path))
    made.network()
    return made


def refusal(files, *arguments, **more):
    """The words with which a mount is refused."""
    with pytest.raises(Refused) as refused:
        directory(files.cloud, *arguments, **more)
    return str(refused.value)


def error(files, operation, **request):
    """The code with which a call is refused."""
    with pytest.raises(ServiceError) as refused:
        files(operation, **request)
    return refused.value.code


def test_what_one_client_writes_another_reads(files):
    id = files.file_system()
    (directory(files.cloud, id) / "note").write_text("hello")

    assert "hello" == (directory(files.cloud, id) / "note").read_text()
    assert 5 == files("DescribeFileSystems", FileSystemId=id)["FileSystems"][0]["SizeInBytes"]["Value"]


def test_an_access_point_makes_its_directory_at_the_first_mount_and_shows_nothing_else(files):
    id = files.file_system()
    (directory(files.cloud, id) / "secret").write_text("x")
    point = files.point(id, RootDirectory={"Path": "/a/b", "CreationInfo": ENTER})
    assert not (folder(files.cloud, id) / "a").exists()

    seen = directory(files.cloud, id, point, is_encrypted=True)

    assert [] == list(seen.iterdir())
    assert 0o750 == stat.S_IMODE(seen.stat().st_mode)
    assert folder(files.cloud, id).resolve() / "a" / "b" == seen


def test_the_first_mounts_of_an_access_point_may_come_at_once(files):
    id = files.file_system()
    point = files.point(id, RootDirectory={"Path": "/a/b", "CreationInfo": ENTER})
    seen: list[Any] = []
    mount = lambda: seen.append(directory(files.cloud, id, point, is_encrypted=True))  # noqa: E731
    threads = [threading.Thread(target=mount) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert 8 == len(seen)
    assert 1 == len(set(seen))


def test_a_directory_that_an_access_point_does_not_make_must_be_there(files):
    id = files.file_system()
    point = files.point(id, RootDirectory={"Path": "/data"})

    assert "there is no directory /data" in refusal(files, id, point, is_encrypted=True)

    (directory(files.cloud, id) / "data").mkdir()
    assert "data" == directory(files.cloud, id, point, is_encrypted=True).name


def test_an_access_point_of_another_file_system_is_refused_with_its_name(files):
    one, other = files.file_system(), files.file_system("two")
    point = files.point(one)

    words = refusal(files, other, point, is_encrypted=True)
    assert point in words
    assert f"not of {other}" in words


@pytest.mark.parametrize("path", ["/../..", "/a/../../b", "..", "/data/.."])
def test_a_path_to_a_parent_is_refused(files, path):
    assert "parent directory" in refusal(files, files.file_system(), path=path)


def test_a_link_out_of_the_file_system_is_refused(files, tmp_path):
    id = files.file_system()
    root = directory(files.cloud, id)
    (root / "out").symlink_to(tmp_path)
    point = files.point(id, RootDirectory={"Path": "/out/deeper", "CreationInfo": ENTER})

    assert "leads out" in refusal(files, id, path="/out")
    assert "leads out" in refusal(files, id, point, is_encrypted=True)
    assert not (tmp_path / "deeper").exists()


def test_a_link_within_the_file_system_is_followed(files):
    id = files.file_system()
    root = directory(files.cloud, id)
    (root / "v1").mkdir()
    (root / "latest").symlink_to("v1")

    assert "v1" == directory(files.cloud, id, path="/latest").name


def test_a_file_is_no_directory(files):
    id = files.file_system()
    (directory(files.cloud, id) / "file").write_text("x")

    assert "there is no directory /file" in refusal(files, id, path="/file")


def test_a_file_system_that_is_not_there_is_named(files):
    assert "fs-12345678" in refusal(files, "fs-12345678")


def test_a_file_system_without_a_mount_target_is_reached_by_nobody(files):
    id = files("CreateFileSystem", CreationToken="bare")["FileSystemId"]

    assert "no mount target" in refusal(files, id)


def test_an_access_point_needs_tls(files):
    id = files.file_system()

    assert "TLS" in refusal(files, id, files.point(id))


def test_a_strict_policy_lets_in_only_who_has_tls_an_access_point_and_a_role(files):
    id = files.file_system()
    point = files.point(id)
    files.allow(id, *STRICT)

    assert "access denied" in refusal(files, id)
    assert "access denied" in refusal(files, id, is_encrypted=True)
    assert "access denied" in refusal(files, id, role_arn=ROLE, is_encrypted=True)
    assert "a client without a role" in refusal(files, id, point, is_encrypted=True)
    assert directory(files.cloud, id, point, role_arn=ROLE, is_encrypted=True).is_dir()


def test_a_role_that_may_only_read_cannot_mount_to_write(tmp_path):
    denied = FakeIdentity(denied={"elasticfilesystem:ClientWrite"})
    files = Files(fake_cloud(tmp_path, identity=denied))
    files.network()
    id = files.file_system()
    point = files.point(id)
    files.allow(id, *STRICT)
    asked = {"role_arn": ROLE, "is_encrypted": True}

    assert "ClientWrite" in refusal(files, id, point, **asked)
    assert directory(files.cloud, id, point, is_read_only=True, **asked).is_dir()


def test_a_policy_may_let_in_nobody_in_particular_and_still_hold_roles_to_the_access_point(files):
    id = files.file_system()
    somebody = {"aws:PrincipalArn": "false"}
    files.allow(
        id,
        {"Effect": "Deny", "Condition": {"Null": {"elasticfilesystem:AccessPointArn": "true", **somebody}}},
        {"Effect": "Allow", "Condition": NOBODY},
    )

    assert directory(files.cloud, id).is_dir()
    assert "access denied" in refusal(files, id, role_arn=ROLE, is_encrypted=True)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("no JSON", "no JSON document"),
        ('{"Version": "2012-10-17"}', "Statement"),
        ('{"Statement": [{"Effect": "Maybe", "Principal": "*", "Action": "*"}]}', "Effect"),
        ('{"Statement": [{"Effect": "Deny", "Action": "*"}]}', "Principal"),
        (
            '{"Statement": [{"Effect": "Deny", "Principal": "*", "NotAction": "*", "Action": "*"}]}',
            "NotAction",
        ),
        (
            '{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "*",'
            ' "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}}',
            "IpAddress is not part of the local cloud",
        ),
        (
            '{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "*",'
            ' "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}}}',
            "aws:SourceVpc is not part of the local cloud",
        ),
    ],
)
def test_a_policy_that_cannot_be_decided_is_refused(files, document, words):
    id = files.file_system()

    with pytest.raises(ServiceError, match=words) as refused:
        files("PutFileSystemPolicy", FileSystemId=id, Policy=document)
    assert "InvalidPolicyException" == refused.value.code


def test_only_who_is_in_a_group_that_the_mount_targets_name_gets_in(files):
    id, subnet = files.file_system(), [files.names["subnet"]]

    reachable(files.cloud, id, subnet, [files.names["clients"]])
    with pytest.raises(Refused, match=r"lets .* in at port 2049"):
        reachable(files.cloud, id, subnet, [files.names["strangers"]])


def test_who_is_in_another_vpc_gets_nowhere(files):
    id = files.file_system()
    files.network()

    with pytest.raises(Refused, match="no mount target in vpc-"):
        reachable(files.cloud, id, [files.names["subnet"]], [files.names["clients"]])


def test_a_zone_has_one_mount_target_of_a_file_system(files):
    id = files.file_system()

    assert "MountTargetConflict" == error(
        files, "CreateMountTarget", FileSystemId=id, SubnetId=files.names["subnet"]
    )


def test_a_file_system_that_can_be_mounted_cannot_be_deleted(files):
    id = files.file_system()
    assert "FileSystemInUse" == error(files, "DeleteFileSystem", FileSystemId=id)

    (target,) = files("DescribeMountTargets", FileSystemId=id)["MountTargets"]
    files("DeleteMountTarget", MountTargetId=target["MountTargetId"])
    files("DeleteFileSystem", FileSystemId=id)

    assert not folder(files.cloud, id).exists()
    assert "FileSystemNotFound" == error(files, "DescribeFileSystems", FileSystemId=id)


def test_a_token_makes_one_file_system(files):
    files.file_system()

    assert "FileSystemAlreadyExists" == error(files, "CreateFileSystem", CreationToken="one")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"KmsKeyId": "alias/mine"}, "KmsKeyId"),
        ({"AvailabilityZoneName": "us-east-1a"}, "AvailabilityZoneName"),
        ({"ThroughputMode": "provisioned"}, "provisioned"),
    ],
)
def test_what_is_not_part_of_the_local_cloud_is_refused_by_name(files, more, words):
    with pytest.raises(Refused, match=f"{words}.* is not part of the local cloud"):
        files("CreateFileSystem", CreationToken="odd", **more)


def test_files_outlive_the_cloud(tmp_path):
    files = Files(fake_cloud(tmp_path))
    files.network()
    id = files.file_system()
    (directory(files.cloud, id) / "note").write_text("hello")
    files.cloud.store.close()

    again = Files(fake_cloud(tmp_path))
    assert "hello" == (directory(again.cloud, id) / "note").read_text()


def test_a_path_finds_its_operation_by_an_id_or_an_arn(files):
    id = files.file_system()
    arn = f"arn:aws:elasticfilesystem:us-east-1:000000000000:file-system/{id}"
    for each in (id, arn):
        path = f"/2015-02-01/file-systems/{each}/lifecycle-configuration"
        status, _, body = rest.answer(PLUGIN.service, files.cloud, "GET", path, {}, b"")
        assert (200, {"LifecyclePolicies": []}) == (status, json.loads(body))


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "status", "code"),
    [
        ("GET", "/2015-02-01/file-systems/fs-12345678/policy", {}, b"", 404, "FileSystemNotFound"),
        ("GET", "/2015-02-01/nothing", {}, b"", 404, "UnknownOperationException"),
        ("POST", "/2015-02-01/file-systems", {}, b"{", 400, "BadRequest"),
        ("POST", "/2015-02-01/file-systems", {}, b"{}", 400, "BadRequest"),
        ("GET", "/2015-02-01/file-systems", {"MaxItems": ["many"]}, b"", 400, "BadRequest"),
        ("GET", "/2015-02-01/account-preferences", {}, b"", 400, "UnsupportedOperation"),
    ],
)
def test_a_bad_request_is_answered_as_the_model_says(files, method, path, query, body, status, code):
    answered = rest.answer(PLUGIN.service, files.cloud, method, path, query, body)

    assert (status, code) == (answered[0], answered[1]["x-amzn-errortype"])
    assert json.loads(answered[2])["Message"]


def test_who_is_not_allowed_makes_nothing(tmp_path):
    denied = FakeIdentity(denied={"elasticfilesystem:CreateFileSystem"})
    files = Files(fake_cloud(tmp_path, identity=denied))

    assert "AccessDeniedException" == error(files, "CreateFileSystem", CreationToken="x")
    assert not (tmp_path / "efs").exists()


def test_a_template_changes_a_file_system_in_place_and_replaces_it_when_it_must(files):
    type = TYPES["AWS::EFS::FileSystem"]

    def change(ref, **properties):
        asked = Request(stack="s", logical_id="L", name="made", properties=properties)
        return (type.update(files.cloud, ref, asked) if ref else type.create(files.cloud, asked)).ref

    id = change(None, Encrypted="true", FileSystemTags=[{"Key": "Name", "Value": "a"}])
    same = change(id, Encrypted="true", BackupPolicy={"Status": "ENABLED"})
    assert id == same
    assert "ENABLED" == files("DescribeBackupPolicy", FileSystemId=id)["BackupPolicy"]["Status"]
    assert [] == files("ListTagsForResource", ResourceId=id)["Tags"]

    assert id != change(id, Encrypted="false")


def changed(files, kind, ref, **properties):
    """Update a resource as CloudFormation does; return what it is called now."""
    asked = Request(stack="s", logical_id="L", name="made", properties=properties)
    return TYPES[f"AWS::EFS::{kind}"].update(files.cloud, ref, asked).ref


def test_an_access_point_keeps_its_id_when_only_its_tags_change(files):
    owner = files.file_system()
    given = {"FileSystemId": owner, "PosixUser": {"Uid": "1000", "Gid": "1000"}}
    id = files.resource("AWS::EFS::AccessPoint", **given)

    assert id == changed(files, "AccessPoint", id, **given, AccessPointTags=[{"Key": "a", "Value": "b"}])
    assert [{"Key": "a", "Value": "b"}] == files("ListTagsForResource", ResourceId=id)["Tags"]
    assert id == changed(files, "AccessPoint", id, **given, RootDirectory={"Path": "/"})
    assert id != changed(files, "AccessPoint", id, **given, RootDirectory={"Path": "/data"})


def test_a_mount_target_changes_whom_it_lets_in_where_it_is(files):
    owner, place = files.file_system(), files.names["subnet"]
    (target,) = files("DescribeMountTargets", FileSystemId=owner)["MountTargets"]
    id, where = target["MountTargetId"], {"FileSystemId": owner, "SubnetId": place}

    assert id == changed(files, "MountTarget", id, **where, SecurityGroups=[files.names["strangers"]])

    with pytest.raises(Refused, match="at port 2049"):
        reachable(files.cloud, owner, [place], [files.names["clients"]])


def test_a_file_system_that_cannot_be_made_whole_is_not_made_at_all(files):
    with pytest.raises(Refused, match="Effect"):
        files.resource("AWS::EFS::FileSystem", FileSystemPolicy={"Statement": [{"Effect": "Perhaps"}]})

    assert [] == files("DescribeFileSystems")["FileSystems"]
