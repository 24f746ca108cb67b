"""EC2 as boto3 and CloudFormation see it, in a cloud whose engine boots no machines."""

import urllib.error
import urllib.request

import boto3
import pytest
from botocore.exceptions import ClientError

INSIDE = "10.0.0.0/8"
DISK = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": "10", "Encrypted": "true"}}
GROUP = {
    "Type": "AWS::EC2::SecurityGroup",
    "Properties": {
        "GroupDescription": "the door",
        "SecurityGroupIngress": [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": INSIDE}],
        "Tags": [{"Key": "a<b", "Value": "c & d"}],
    },
}  # fmt: skip
TEMPLATE = {
    "Type": "AWS::EC2::LaunchTemplate",
    "Properties": {
        "LaunchTemplateData": {
            "ImageId": "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
            "InstanceType": "t3.large",
            "SecurityGroupIds": [{"Fn::GetAtt": ["Group", "GroupId"]}],
            "BlockDeviceMappings": [DISK],
        }
    },
}  # fmt: skip
OUTPUTS = {"Group": {"Ref": "Group"}, "Template": {"Ref": "Template"}}


@pytest.fixture
def ec2(cloud):
    return cloud.client("ec2")


def refused(call, **request):
    with pytest.raises(ClientError) as error:
        call(**request)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_a_stack_makes_a_group_and_a_launch_template(ec2, deploy):
    made = deploy({"Group": GROUP, "Template": TEMPLATE}, OUTPUTS)
    group = ec2.describe_security_groups(GroupIds=[made["Group"]])["SecurityGroups"][0]
    versions = ec2.describe_launch_template_versions(LaunchTemplateId=made["Template"])
    data = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]

    assert [{"CidrIp": "10.0.0.0/8"}] == group["IpPermissions"][0]["IpRanges"]
    assert {"Key": "a<b", "Value": "c & d"} in group["Tags"]
    assert [made["Group"]] == data["SecurityGroupIds"]
    assert {"VolumeSize": 10, "Encrypted": True} == data["BlockDeviceMappings"][0]["Ebs"]


def test_a_changed_launch_template_is_another_version_of_it(ec2, deploy):
    before = deploy({"Group": GROUP, "Template": TEMPLATE}, OUTPUTS)
    larger = {**TEMPLATE["Properties"]["LaunchTemplateData"], "InstanceType": "m5.large"}
    changed = {**TEMPLATE, "Properties": {"LaunchTemplateData": larger}}
    after = deploy({"Group": GROUP, "Template": changed}, OUTPUTS)
    versions = ec2.describe_launch_template_versions(
        LaunchTemplateId=before["Template"], Versions=["$Latest", "1"]
    )

    assert before == after
    assert [(2, "m5.large"), (1, "t3.large")] == [
        (each["VersionNumber"], each["LaunchTemplateData"]["InstanceType"])
        for each in versions["LaunchTemplateVersions"]
    ]


def test_a_removed_stack_leaves_nothing(ec2, deploy):
    made = deploy({"Group": GROUP, "Template": TEMPLATE}, OUTPUTS)
    deploy.delete()

    assert "InvalidGroup.NotFound" == refused(ec2.describe_security_groups, GroupIds=[made["Group"]])[0]
    assert (
        "InvalidLaunchTemplateId.NotFound"
        == refused(ec2.describe_launch_template_versions, LaunchTemplateId=made["Template"])[0]
    )


def a_group(**properties):
    return {**GROUP, "Properties": {"GroupDescription": "x", **properties}}


def a_template(**data):
    return {**TEMPLATE, "Properties": {"LaunchTemplateData": data}}


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        (a_group(SecurityGroupIngress=[{"IpProtocol": "tcp", "CidrIp": "all"}]), "CIDR block all"),
        (a_group(SecurityGroupIngress=[{"IpProtocol": "tcp", "CidrIpv6": "::/0"}]), "CidrIpv6"),
        (a_group(VpcId="vpc-1"), "vpc-1"),
        (a_template(KeyName="x"), "KeyName"),
        (a_template(InstanceType="t3.enormous"), "t3.enormous"),
    ],
)
def test_what_is_not_part_of_the_local_cloud_is_refused_by_name(deploy, resource, words):
    assert words in deploy({"Odd": resource})


def test_a_type_that_is_not_part_of_the_local_cloud_is_refused_at_once(deploy):
    with pytest.raises(ClientError, match="AWS::EC2::TransitGateway is not part of the local cloud"):
        deploy({"Odd": {"Type": "AWS::EC2::TransitGateway", "Properties": {"Description": "x"}}})


def test_without_docker_an_instance_is_refused_with_what_to_do(ec2):
    code, words = refused(ec2.run_instances, ImageId="ami-0c2023a1b2c3d4e5f", MinCount=1, MaxCount=1)

    assert "UnsupportedOperation" == code
    assert "atelier up --engine docker" in words


def test_an_operation_that_is_not_there_is_refused_by_name(ec2):
    code, words = refused(ec2.create_vpc, CidrBlock="10.0.0.0/16")

    assert ("UnsupportedOperation", "CreateVpc is not part of the local cloud") == (code, words)


def test_a_filter_that_is_not_there_is_refused_by_name(ec2, deploy):
    deploy({"Group": GROUP})
    code, words = refused(ec2.describe_security_groups, Filters=[{"Name": "colour", "Values": ["red"]}])

    assert "InvalidParameterValue" == code
    assert "colour" in words


def test_another_region_is_refused_in_the_form_that_boto3_reads(cloud):
    elsewhere = boto3.client(
        "ec2", region_name="eu-west-1", endpoint_url=cloud.endpoint,
        aws_access_key_id=cloud.connection.access_key, aws_secret_access_key=cloud.connection.secret_key,
    )  # fmt: skip
    code, words = refused(elsewhere.describe_instances)

    assert "InvalidParameterValue" == code
    assert "eu-west-1" in words


@pytest.mark.parametrize("body", [b"Action=DescribeInstances", b"Action=", b"\xff"])
def test_nobody_asks_without_a_signature(cloud, body):
    request = urllib.request.Request(cloud.endpoint + "/", data=body)
    with pytest.raises(urllib.error.HTTPError) as refusal, urllib.request.urlopen(request, timeout=10):
        pass
    with refusal.value as answer:
        assert 400 <= answer.code < 500


def test_a_stranger_may_do_nothing(cloud, unique):
    cloud.client("iam").create_user(UserName=unique)
    key = cloud.client("iam").create_access_key(UserName=unique)["AccessKey"]
    stranger = cloud.client_as("ec2", key["AccessKeyId"], key["SecretAccessKey"])

    assert "UnauthorizedOperation" == refused(stranger.describe_instances)[0]
