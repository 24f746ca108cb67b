"""EC2 instances in Docker: they boot, run their user data as root, and are gone when they end."""

import json

import pytest
from engine_door import docker_api
from engine_world import BASE, EngineWorld, allow

from atelier.cloud.gateway import launch as gateway

pytestmark = pytest.mark.docker

AMI = "ami-0c2023a1b2c3d4e5f"
DATA_DISK = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 10, "DeleteOnTermination": False}}
COUNT = f"""
docker run --rm --name counter -v counts:/data {BASE} python3 -c '
from pathlib import Path
count = Path("/data/count")
count.write_text(str(int(count.read_text() if count.exists() else 0) + 1))
print("boot number", count.read_text())'
"""
PATIENCE = 240.0
"""The first instance waits until the image of machines is built."""

HEAD = "#!/bin/bash\nset -eu\nexport AWS_DEFAULT_REGION=us-east-1\n"
STAYS = f"docker run --detach --name stays {BASE} python3 -c 'import time; time.sleep(600)'\n"


@pytest.fixture(scope="module")
def world():
    running = EngineWorld("docker")
    try:
        running.profile = profile(running, allow("s3:ListAllMyBuckets"))
        yield running
    finally:
        ec2 = running.client("ec2")
        running.until(lambda: instances(running), lambda seen: not seen)
        for each in ec2.describe_volumes()["Volumes"]:
            ec2.delete_volume(VolumeId=each["VolumeId"])
        running.close()


@pytest.fixture(autouse=True)
def quota(world):
    """Leave the next test all of the quota."""
    yield
    ids = [each["InstanceId"] for each in instances(world)]
    if ids:
        world.client("ec2").terminate_instances(InstanceIds=ids)


def profile(world, *statements):
    """Make an instance profile whose role may do what *statements* say."""
    iam, name = world.client("iam"), "machine"
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    for_all = {"Version": "2012-10-17"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({**for_all, "Statement": [trust]}))
    work = json.dumps({**for_all, "Statement": list(statements)})
    iam.put_role_policy(RoleName=name, PolicyName="work", PolicyDocument=work)
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return name


def instances(world):
    """Those that are not terminated."""
    found = world.client("ec2").describe_instances()["Reservations"]
    return [each for group in found for each in group["Instances"] if each["State"]["Name"] != "terminated"]


def launch(world, script, **more):
    """Start an instance with a shell script as user data; return its id."""
    started = world.client("ec2").run_instances(
        ImageId=AMI, InstanceType="t3.micro", MinCount=1, MaxCount=1,
        UserData=HEAD + script, IamInstanceProfile={"Name": world.profile}, **more,
    )  # fmt: skip
    return started["Instances"][0]["InstanceId"]


def look(world, id):
    return world.client("ec2").describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"][0]


def settled(world, id, state):
    return world.until(lambda: look(world, id), lambda seen: seen["State"]["Name"] == state, PATIENCE)


def console(world, id):
    return world.client("ec2").get_console_output(InstanceId=id)["Output"]


def said(world, id, words):
    return world.until(lambda: console(world, id), lambda seen: words in seen, PATIENCE)


def containers(id, **more):
    with docker_api() as api:
        return api.containers(filters={"label": f"atelier.machine={id}"}, **more)


def volumes(disk):
    with docker_api() as api:
        return [
            each["Name"] for each in api.volumes(filters={"label": f"atelier.disk={disk}"})["Volumes"] or ()
        ]


def test_user_data_runs_as_root_with_the_credentials_of_the_role(world):
    id = launch(
        world,
        'echo "user $(id -u)"; aws sts get-caller-identity --query Arn --output text;'
        ' aws s3api list-buckets --query "Buckets[].Name" --output text; aws iam list-users || echo refused;'
        " echo the end",
    )
    seen = said(world, id, "the end")

    assert "user 0" in seen
    assert f"assumed-role/machine/{id}" in seen
    assert "data" in seen.split()
    assert "AccessDenied" in seen
    assert "refused" in seen
    assert "boot: user-data ended with status 0" in said(world, id, "ended with status")


def test_a_disk_keeps_what_containers_wrote_through_stop_and_start(world):
    id = launch(world, COUNT, BlockDeviceMappings=[DATA_DISK])
    said(world, id, "boot number 1")
    world.client("ec2").stop_instances(InstanceIds=[id])
    settled(world, id, "stopped")
    gone = containers(id, all=True)
    world.client("ec2").start_instances(InstanceIds=[id])

    assert [] == gone
    assert "boot number 2" in said(world, id, "boot number 2")


def test_the_containers_of_an_instance_end_with_it(world):
    id = launch(world, STAYS + "docker ps --format '{{.Names}}'; echo the end")
    seen, running = said(world, id, "the end"), containers(id)
    world.client("ec2").terminate_instances(InstanceIds=[id])
    settled(world, id, "terminated")

    assert f"stays.{id}" in seen.split()
    assert 2 == len(running)
    assert [] == containers(id, all=True)


def test_an_instance_touches_no_containers_but_its_own(world):
    other = launch(world, STAYS)
    world.until(lambda: containers(other), lambda seen: len(seen) == 2, PATIENCE)
    id = launch(world, f"docker ps -aq; docker rm --force stays.{other} || echo kept; echo the end")
    seen = said(world, id, "the end")

    assert f"No such container: stays.{other}" in seen
    assert "kept" in seen
    assert 2 == len(containers(other))


def test_a_shutdown_from_inside_ends_the_instance_and_a_deleted_volume_is_gone(world):
    id = launch(world, COUNT + "shutdown -h now", InstanceInitiatedShutdownBehavior="terminate",
                BlockDeviceMappings=[DATA_DISK])  # fmt: skip
    reason = settled(world, id, "terminated")["StateReason"]["Code"]
    ec2 = world.client("ec2")
    free = [{"Name": "status", "Values": ["available"]}]
    left = world.until(lambda: ec2.describe_volumes(Filters=free)["Volumes"], len)
    before = volumes(left[0]["VolumeId"])
    ec2.delete_volume(VolumeId=left[0]["VolumeId"])

    assert "Client.InstanceInitiatedShutdown" == reason
    assert {left[0]["VolumeId"], f"{left[0]['VolumeId']}.counts"} == set(before)
    assert [] == volumes(left[0]["VolumeId"])


def test_user_data_that_fails_is_said_on_the_console(world):
    id = launch(world, "echo before; false; echo after")
    seen = said(world, id, "ended with status 1")

    assert "before" in seen
    assert "after" not in seen.split()
    assert "running" == look(world, id)["State"]["Name"]


def test_an_instance_ends_with_the_cloud_and_starts_again(world):
    id = launch(world, STAYS + COUNT, BlockDeviceMappings=[DATA_DISK])
    said(world, id, "boot number 1")
    gateway.stop(world.home)
    left = containers(id, all=True)
    world.up()
    stopped = look(world, id)
    world.client("ec2").start_instances(InstanceIds=[id])

    assert [] == left
    assert ("stopped", "Server.ScheduledStop") == (stopped["State"]["Name"], stopped["StateReason"]["Code"])
    assert "boot number 2" in said(world, id, "boot number 2")
