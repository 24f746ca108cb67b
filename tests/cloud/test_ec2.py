"""EC2: instances from their launch to their end, what they know of themselves, and what is refused."""

import base64
import json
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from ec2_fakes import AMI, ROLE, SCRIPT, FakeMachines, ec2, until
from fakes import fake_cloud

from atelier.cloud.context import Fault
from atelier.cloud.services.ec2 import launch_templates, life
from atelier.cloud.services.resources import Request
from atelier.cloud.services.wire import ServiceError

DATA_DISK = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 10, "DeleteOnTermination": False}}


@pytest.fixture
def service(tmp_path):
    with ec2(tmp_path) as running:
        yield running


def template(service, **data):
    """Make a launch template; return its name."""
    properties = {"LaunchTemplateData": {"ImageId": AMI, **data}}
    asked = Request(stack="s", logical_id="T", name="the-template", properties=properties)
    launch_templates.create(service.cloud, asked)
    return {"LaunchTemplateName": "the-template", "Version": "$Latest"}


def refusal(service, operation="RunInstances", **request):
    """The code and the words with which a request is refused."""
    whole = {"ImageId": AMI, "MinCount": 1, "MaxCount": 1} if operation == "RunInstances" else {}
    with pytest.raises(ServiceError) as refused:
        service(operation, **{**whole, **request})
    return refused.value.code, str(refused.value)


def test_an_instance_boots_and_has_an_address_of_its_own(service):
    first, second = service.settled(service.run(), "running"), service.settled(service.run(), "running")

    assert first["PublicIpAddress"].startswith("127.")
    assert first["PublicIpAddress"] == first["PrivateIpAddress"] != second["PrivateIpAddress"]


def test_a_launch_template_says_what_the_request_does_not(service):
    named = template(
        service, InstanceType="t3.large", UserData=SCRIPT,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "1"}]}],
    )  # fmt: skip
    id = service.run(
        LaunchTemplate=named, InstanceType="m5.large",
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "b", "Value": "2"}]}],
    )  # fmt: skip
    tags = {each["Key"]: each["Value"] for each in service.instance(id)["Tags"]}

    assert "m5.large" == service.instance(id)["InstanceType"]
    assert {"a": "1", "b": "2"}.items() <= tags.items()
    assert "1" == tags["aws:ec2launchtemplate:version"]


def test_the_same_request_twice_starts_one_instance(service):
    with ThreadPoolExecutor(8) as pool:
        started = set(pool.map(lambda _: service.run(ClientToken="once"), range(8)))

    assert 1 == len(started)


def test_a_quota_is_kept_by_those_who_come_at_once(service):
    def attempt(_):
        try:
            return service.run()
        except ServiceError as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(attempt, range(8)))

    assert 4 == ends.count("InstanceLimitExceeded")
    assert 4 == sum(each.startswith("i-") for each in ends)


def test_what_is_terminated_makes_room(service):
    ids = [service.run() for _ in range(4)]
    service("TerminateInstances", InstanceIds=ids[:1])
    service.settled(ids[0], "terminated")

    assert service.run() not in ids


def test_an_instance_stops_and_starts_with_its_disk(service):
    id = service.run(BlockDeviceMappings=[DATA_DISK])
    service.settled(id, "running")
    service("StopInstances", InstanceIds=[id])
    stopped = service.settled(id, "stopped")
    service("StartInstances", InstanceIds=[id])
    service.settled(id, "running")
    before, after = (each.machine.disks for each in service.machines.booted)

    assert "PublicIpAddress" not in stopped
    assert "Client.UserInitiatedShutdown" == stopped["StateReason"]["Code"]
    assert before == after
    assert ["/var/lib/docker/volumes"] == list(after)


def test_a_reboot_boots_the_same_instance_again(service):
    id = service.run()
    service.settled(id, "running")
    service("RebootInstances", InstanceIds=[id])
    until(lambda: len(service.machines.booted) == 2)

    assert {id} == {each.machine.name for each in service.machines.booted}
    assert "running" == service.state(id)
    assert service.machines.booted[0].ended.is_set()


@pytest.mark.parametrize(("behaviour", "state"), [("stop", "stopped"), ("terminate", "terminated")])
def test_a_shutdown_from_inside_ends_as_the_instance_was_told(service, behaviour, state):
    id = service.run(InstanceInitiatedShutdownBehavior=behaviour)
    service.settled(id, "running")
    service.machines.booted[0].ended.set()

    assert "Client.InstanceInitiatedShutdown" == service.settled(id, state)["StateReason"]["Code"]


def test_a_machine_that_is_lost_says_why(service):
    id = service.run()
    service.settled(id, "running")
    service.machines.booted[0].fault = Fault("the Docker engine was stopped", is_platform=True)
    service.machines.booted[0].ended.set()
    reason = service.settled(id, "stopped")["StateReason"]

    assert ("Server.InternalError", "the Docker engine was stopped") == (reason["Code"], reason["Message"])


def test_an_instance_that_cannot_boot_is_terminated_and_says_why(tmp_path):
    with ec2(tmp_path, machines=FakeMachines(trouble="no space left")) as service:
        id = service.run(BlockDeviceMappings=[DATA_DISK])
        seen = service.settled(id, "terminated")

        assert "no space left" == seen["StateReason"]["Message"]
        assert (
            "no space left" in base64.b64decode(service("GetConsoleOutput", InstanceId=id)["Output"]).decode()
        )


def test_an_instance_that_ran_before_and_cannot_boot_again_is_stopped_with_its_disks(service):
    id = service.run(BlockDeviceMappings=[DATA_DISK])
    service.settled(id, "running")
    service.machines.trouble = "no space left"
    service("RebootInstances", InstanceIds=[id])
    seen = service.settled(id, "stopped")
    service("StartInstances", InstanceIds=[id])
    service.settled(id, "stopped")
    service.machines.trouble = ""
    service("StartInstances", InstanceIds=[id])

    assert "no space left" == seen["StateReason"]["Message"]
    assert 2 == len(service.settled(id, "running")["BlockDeviceMappings"])
    assert [] == service.machines.removed


def test_an_instance_that_is_terminated_while_it_is_pending_never_boots(tmp_path):
    machines = FakeMachines(gate=threading.Event())
    with ec2(tmp_path, machines=machines) as service:
        id = service.run()
        service("TerminateInstances", InstanceIds=[id])
        service.settled(id, "terminated")
        machines.gate.set()
        service.settled(service.run(), "running")

        assert id not in [each.machine.name for each in machines.booted]


def test_a_data_disk_outlives_its_instance_and_is_deleted_by_itself(service):
    id = service.run(BlockDeviceMappings=[DATA_DISK])
    service.settled(id, "running")
    root, data = (each["Ebs"]["VolumeId"] for each in service.instance(id)["BlockDeviceMappings"])
    in_use = refusal(service, "DeleteVolume", VolumeId=data)
    service("TerminateInstances", InstanceIds=[id])
    service.settled(id, "terminated")
    until(lambda: [data] == [each["VolumeId"] for each in service("DescribeVolumes")["Volumes"]])
    service("DeleteVolume", VolumeId=data)

    assert "VolumeInUse" == in_use[0]
    assert [root, data] == service.machines.removed
    assert "InvalidVolume.NotFound" == refusal(service, "DeleteVolume", VolumeId=data)[0]


def test_instances_are_found_by_tag_and_state(service):
    tagged = [{"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "art"}]}]
    id, other = service.run(TagSpecifications=tagged), service.run()
    for each in (id, other):
        service.settled(each, "running")
    filters = [
        {"Name": "tag:team", "Values": ["art"]},
        {"Name": "instance-state-name", "Values": ["running"]},
    ]
    found = service("DescribeInstances", Filters=filters)["Reservations"]

    assert [id] == [each["InstanceId"] for group in found for each in group["Instances"]]


def test_tags_are_set_and_taken_away(service):
    id = service.run()
    service("CreateTags", Resources=[id], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    service("DeleteTags", Resources=[id], Tags=[{"Key": "a"}, {"Key": "b", "Value": "other"}])

    assert [{"Key": "b", "Value": "2"}] == service.instance(id)["Tags"]


def script(body):
    return {"UserData": base64.b64encode(body).decode()}


def disks(*mappings):
    return {"BlockDeviceMappings": list(mappings)}


MALFORMED, INVALID = "InvalidUserData.Malformed", "InvalidParameterValue"
NO_TEMPLATE = "InvalidLaunchTemplateName.NotFoundException"
OWN_TAG = {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "aws:x"}]}]}


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        ({"ImageId": "ami-1"}, "InvalidAMIID.NotFound", "ami-1"),
        ({"InstanceType": "t3.enormous"}, "ValidationException", "t3.enormous"),
        ({"MinCount": 2, "MaxCount": 1}, INVALID, "MinCount 2"),
        ({"UserData": "%%%"}, MALFORMED, "BASE64"),
        (script(b"#!/bin/bash\nif"), MALFORMED, "syntax"),
        (script(b"#!/bin/sh\n" + b"#" * 17000), MALFORMED, "16384"),
        (script(b"#!\necho no"), MALFORMED, "names no interpreter"),
        (script(b"echo no"), MALFORMED, "neither a script"),
        (script(b"\x1f\x8b\xff"), MALFORMED, "neither"),
        ({"LaunchTemplate": {"LaunchTemplateName": "x"}}, NO_TEMPLATE, "x"),
        ({"SecurityGroupIds": ["sg-1"]}, "InvalidGroup.NotFound", "sg-1"),
        ({"IamInstanceProfile": {"Name": "nobody"}}, INVALID, "nobody"),
        ({"KeyName": "mine"}, "UnsupportedOperation", "KeyName"),
        ({"InstanceMarketOptions": {"MarketType": "spot"}}, "InvalidParameterCombination", "spot"),
        (disks(DATA_DISK, {**DATA_DISK, "DeviceName": "/dev/sdg"}), "UnsupportedOperation", "one volume"),
        (disks({"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 0}}), INVALID, "0GiB"),
        (OWN_TAG, INVALID, "aws:x"),
        ({"DryRun": True}, "DryRunOperation", "would have succeeded"),
    ],
)
def test_a_launch_that_cannot_be_is_refused_and_leaves_nothing(service, request_, code, words):
    found, said = refusal(service, **request_)

    assert code == found
    assert words in said
    assert [] == service("DescribeInstances")["Reservations"]
    assert [] == service("DescribeVolumes")["Volumes"]


def test_a_role_must_be_passed_by_who_may(service):
    service.identity.denied.add("iam:PassRole")

    assert "AccessDeniedException" == refusal(service, IamInstanceProfile={"Name": "worker"})[0]
    assert ("iam:PassRole", ROLE) in service.identity.asked


def test_no_one_starts_an_instance_without_permission(service):
    service.identity.denied.add("ec2:RunInstances")

    assert "AccessDeniedException" == refusal(service)[0]


@pytest.mark.parametrize("operation", ["StopInstances", "StartInstances", "RebootInstances"])
def test_a_terminated_instance_cannot_be_brought_back(service, operation):
    id = service.run()
    service("TerminateInstances", InstanceIds=[id])
    service.settled(id, "terminated")

    assert "IncorrectInstanceState" == refusal(service, operation, InstanceIds=[id])[0]


def test_an_instance_that_never_was_is_not_found(service):
    assert "InvalidInstanceID.NotFound" == refusal(service, "StopInstances", InstanceIds=["i-1"])[0]


def test_what_ran_when_the_cloud_went_down_is_stopped_and_starts_again(tmp_path):
    with ec2(tmp_path) as before:
        kept, ended = before.run(BlockDeviceMappings=[DATA_DISK]), before.run()
        before.settled(kept, "running")
        before("TerminateInstances", InstanceIds=[ended])
        before.settled(ended, "terminated")
    with ec2(tmp_path, cloud=before.cloud) as after:
        stopped = after.settled(kept, "stopped")
        after("StartInstances", InstanceIds=[kept])
        after.settled(kept, "running")

        assert "Server.ScheduledStop" == stopped["StateReason"]["Code"]
        assert "InvalidInstanceID.NotFound" == refusal(after, "StopInstances", InstanceIds=[ended])[0]


def test_an_engine_that_boots_no_machines_is_refused_with_what_to_do(tmp_path):
    cloud = fake_cloud(tmp_path)
    with ec2(tmp_path, cloud=cloud) as service, pytest.raises(Exception, match="atelier up --engine docker"):
        service.run()


@pytest.mark.parametrize(
    ("text", "words"), [('{"instances": "many"}', "many"), ('{"cores": 2}', "cores"), ("[]", "ec2.json")]
)
def test_settings_that_are_none_are_said_at_the_start(tmp_path, text, words):
    (tmp_path / "ec2.json").write_text(text)

    with pytest.raises(Exception, match=words):
        life.start(fake_cloud(tmp_path))


def asked(url, method="GET", **headers):
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def described(service, **more):
    """Start an instance; return where it asks of itself, and a token."""
    id = service.run(**more)
    service.settled(id, "running")
    place = service.machines.booted[-1].machine.environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    _, token = asked(f"{place}/latest/api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    return place, {"X-aws-ec2-metadata-token": token}, id


def test_an_instance_knows_itself_its_user_data_and_its_tags(service):
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "atelier:image", "Value": "x@sha256:1"}]}]
    place, token, id = described(
        service, UserData=SCRIPT, TagSpecifications=tags, MetadataOptions={"InstanceMetadataTags": "enabled"}
    )

    def told(path):
        return asked(f"{place}/latest/{path}", **token)

    assert (200, id) == told("meta-data/instance-id")
    assert (200, service.instance(id)["PrivateIpAddress"]) == told("meta-data/local-ipv4")
    assert (200, "#!/bin/bash\necho hello\n") == told("user-data")
    assert (200, "x@sha256:1") == told("meta-data/tags/instance/atelier:image")
    assert "us-east-1" == json.loads(told("dynamic/instance-identity/document")[1])["region"]
    assert "placement/" in told("meta-data")[1].split()
    assert 404 == told("meta-data/iam")[0]
    assert 404 == told("meta-data/nothing")[0]


def test_tags_are_told_only_where_the_instance_may_know_them(service):
    place, token, _ = described(service)

    assert 404 == asked(f"{place}/latest/meta-data/tags/instance", **token)[0]


def test_an_instance_gets_credentials_of_its_role(service):
    place, token, _ = described(service, IamInstanceProfile={"Name": "worker"})
    folder = f"{place}/latest/meta-data/iam/security-credentials"
    found = json.loads(asked(f"{folder}/worker", **token)[1])

    assert (200, "worker") == asked(folder, **token)
    assert ("Success", "AKIAFAKE") == (found["Code"], found["AccessKeyId"])


def test_without_a_token_nothing_is_told(service):
    place, token, _ = described(service)
    other, _, _ = described(service)

    assert 401 == asked(f"{place}/latest/meta-data/instance-id")[0]
    assert 401 == asked(f"{place}/latest/meta-data/instance-id", **{"X-aws-ec2-metadata-token": "guess"})[0]
    assert 401 == asked(f"{other}/latest/meta-data/instance-id", **token)[0]
    assert 403 == asked(f"{place}/latest/meta-data/instance-id", **token, **{"X-Forwarded-For": "1.2.3.4"})[0]
    assert 400 == asked(f"{place}/latest/api/token", "PUT")[0]


def test_tokens_that_are_asked_for_at_one_time_are_all_good(service):
    place, _, id = described(service)

    def ask(_):
        token = asked(f"{place}/latest/api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})[1]
        return asked(f"{place}/latest/meta-data/instance-id", **{"X-aws-ec2-metadata-token": token})

    with ThreadPoolExecutor(16) as threads:
        assert {(200, id)} == set(threads.map(ask, range(64)))


def test_who_does_not_know_the_secret_of_an_instance_is_told_nothing(service):
    place, token, _ = described(service)

    assert 404 == asked(f"{place[:-1]}/latest/meta-data/instance-id", **token)[0]
    assert 404 == asked(f"{place.rpartition('/')[0]}/latest/meta-data/instance-id", **token)[0]
