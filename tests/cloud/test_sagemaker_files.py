"""Training jobs in a VPC, with channels that are directories of a file system."""

import json

import pytest
from efs_fakes import Files
from sagemaker_world import World

from atelier.cloud.context import Refused
from atelier.cloud.services.efs.service import folder
from atelier.cloud.services.wire import ServiceError

SETTINGS = '{"training_grace": 1, "sync_interval": 0.1, "shutdown_grace": 0.5}'

COUNT = """
import os, pathlib
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
count = base / "input" / "data" / "shared" / "count"
count.write_text(str(int(count.read_text()) + 1 if count.exists() else 1))
(base / "model" / "count").write_text(count.read_text())
"""

CONFIGURATION = """
import os, pathlib
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
print((base / "input/config/inputdataconfig.json").read_text())
print(sorted(each.name for each in (base / "input/data").iterdir()))
"""


@pytest.fixture
def world(tmp_path, cloud):
    world = World(tmp_path, cloud, settings=SETTINGS)
    yield world
    world.close()


@pytest.fixture
def files(world):
    files = Files(world.cloud)
    files.network()
    return files


def channel(file_system, path="/", mode="rw", name="shared", **more):
    source = {
        "FileSystemId": file_system,
        "FileSystemType": "EFS",
        "FileSystemAccessMode": mode,
        "DirectoryPath": path,
        **more,
    }
    return {"ChannelName": name, "DataSource": {"FileSystemDataSource": source}}


def within(files, group="clients"):
    return {"Subnets": [files.names["subnet"]], "SecurityGroupIds": [files.names[group]]}


def outcome(world, files, name, *channels, image=None, **request):
    """How a job in the VPC ended, and why if it failed."""
    image = image or world.image("count", COUNT)
    request = {"VpcConfig": within(files), "InputDataConfig": list(channels), **request}
    job = world.train(name, image, **request)
    return job["TrainingJobStatus"], job.get("FailureReason", "")


def test_what_one_job_leaves_the_next_one_finds(world, files):
    id = files.file_system()

    assert ("Completed", "") == outcome(world, files, "first", channel(id))
    assert ("Completed", "") == outcome(world, files, "second", channel(id))

    assert "2" == (folder(world.cloud, id) / "count").read_text()


def test_a_channel_is_the_directory_that_it_names(world, files):
    id = files.file_system()
    (folder(world.cloud, id) / "caches" / "a").mkdir(parents=True)

    assert ("Completed", "") == outcome(world, files, "deep", channel(id, "/caches/a"))

    assert (folder(world.cloud, id) / "caches" / "a" / "count").exists()
    assert not (folder(world.cloud, id) / "count").exists()


def test_a_directory_and_objects_are_channels_side_by_side(world, files):
    objects = world.channel("training", world.put("texts/one.txt", b"once"))
    image, id = world.image("look", CONFIGURATION), files.file_system()

    name = f"both{world.bucket}"
    assert ("Completed", "") == outcome(world, files, name, objects, channel(id), image=image)

    described = world.call("DescribeTrainingJob", TrainingJobName=name)
    assert within(files) == described["VpcConfig"]
    written, listed = world.until(lambda: log(world, name), lambda lines: len(lines) == 2)
    assert "['shared', 'training']" == listed
    configured = json.loads(written)
    assert "FullyReplicated" == configured["training"]["S3DistributionType"]
    assert "S3DistributionType" not in configured["shared"]


def log(world, name):
    logs = world.running.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=name)["logStreams"]
    found = [logs.get_log_events(logGroupName=group, logStreamName=each["logStreamName"]) for each in streams]
    return [event["message"] for each in found for event in each["events"]]


def test_a_job_cannot_write_to_a_channel_that_it_may_only_read(world, files):
    id = files.file_system()

    status, reason = outcome(world, files, "reader", channel(id, mode="ro"))

    assert "Failed" == status
    assert "Read-only file system" in reason
    assert [] == list(folder(world.cloud, id).iterdir())


def test_a_job_leaves_the_shared_files_when_its_own_folder_is_cleared(world, files):
    id = files.file_system()
    (folder(world.cloud, id) / "precious").write_text("x")

    outcome(world, files, "cleared", channel(id))

    assert not (world.home / "sagemaker" / "training" / "cleared").exists()
    assert "x" == (folder(world.cloud, id) / "precious").read_text()


def test_a_file_system_that_is_gone_fails_the_job_with_its_name(world, files):
    status, reason = outcome(world, files, "gone", channel("fs-0123456789abcdef0"))

    assert "Failed" == status
    assert reason.startswith("ClientError: unable to mount fs-0123456789abcdef0 for the channel shared")


def test_a_directory_that_is_not_there_fails_the_job(world, files):
    id = files.file_system()
    status, reason = outcome(world, files, "lost", channel(id, "/nowhere"))

    assert "Failed" == status
    assert "there is no directory /nowhere" in reason
    assert not (folder(world.cloud, id) / "nowhere").exists()


def test_a_job_whose_group_is_not_let_in_fails_with_what_to_do(world, files):
    id = files.file_system()

    status, reason = outcome(world, files, "stranger", channel(id), VpcConfig=within(files, "strangers"))

    assert "Failed" == status
    assert "in at port 2049: add a rule" in reason


def test_a_policy_that_asks_for_tls_keeps_jobs_out(world, files):
    id = files.file_system()
    files.allow(id, {"Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}})

    status, reason = outcome(world, files, "open", channel(id))

    assert "Failed" == status
    assert "access denied by the policy" in reason


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"path": "/../etc"}, "no full path"),
        ({"path": "caches"}, "no full path"),
        ({"file_system": "fs-1"}, "FileSystemId"),
        ({"mode": "wo"}, "FileSystemAccessMode"),
    ],
)
def test_a_channel_that_cannot_be_is_refused(world, files, more, words):
    asked = channel(**{"file_system": "fs-0123456789abcdef0", **more})
    request = world.job("bad", world.image("c", ""), InputDataConfig=[asked], VpcConfig=within(files))

    with pytest.raises(ServiceError, match=words):
        world.call("CreateTrainingJob", **request)


def test_lustre_is_refused_by_name(world, files):
    asked = channel("fs-0123456789abcdef0", FileSystemType="FSxLustre")
    request = world.job("l", world.image("c", ""), InputDataConfig=[asked], VpcConfig=within(files))

    with pytest.raises(Refused, match="FileSystemType=FSxLustre is not part of the local cloud"):
        world.call("CreateTrainingJob", **request)


def test_a_directory_needs_a_vpc(world):
    request = world.job("v", world.image("c", ""), InputDataConfig=[channel("fs-0123456789abcdef0")])

    with pytest.raises(ServiceError, match="needs a VpcConfig"):
        world.call("CreateTrainingJob", **request)


def test_a_subnet_that_is_not_there_is_refused(world, files):
    network = {**within(files), "Subnets": ["subnet-0123456789abcdef0"]}

    with pytest.raises(ServiceError, match="subnet-0123456789abcdef0"):
        world.call("CreateTrainingJob", **world.job("s", world.image("c", ""), VpcConfig=network))


def test_a_role_that_may_not_enter_a_vpc_is_refused(world, files):
    world.cloud.identity.denied.add("ec2:CreateNetworkInterfacePermission")

    with pytest.raises(ServiceError, match="CreateNetworkInterfacePermission"):
        world.call("CreateTrainingJob", **world.job("r", world.image("c", ""), VpcConfig=within(files)))
