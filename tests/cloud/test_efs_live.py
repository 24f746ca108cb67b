"""EFS through the gateway: boto3's own requests, IAM, and both stacks of shared storage."""

import json

import pytest
from botocore.exceptions import ClientError

from atelier import synth


@pytest.fixture
def efs(cloud):
    return cloud.client("efs")


@pytest.fixture
def made(efs, unique):
    """A file system of this test's own."""
    id = efs.create_file_system(CreationToken=unique, Encrypted=True)["FileSystemId"]
    yield id
    efs.delete_file_system(FileSystemId=id)


def refused(call, **request):
    with pytest.raises(ClientError) as refusal:
        call(**request)
    error = refusal.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]


def test_an_sdk_finds_what_it_has_made_by_id_token_and_arn(efs, made, unique):
    (by_id,) = efs.describe_file_systems(FileSystemId=made)["FileSystems"]
    (by_token,) = efs.describe_file_systems(CreationToken=unique)["FileSystems"]
    (by_arn,) = efs.describe_file_systems(FileSystemId=by_id["FileSystemArn"])["FileSystems"]

    assert by_id == by_token == by_arn
    assert (True, "available") == (by_id["Encrypted"], by_id["LifeCycleState"])


def test_tags_and_policies_are_kept_in_order_of_the_paths(efs, made):
    arn = efs.describe_file_systems(FileSystemId=made)["FileSystems"][0]["FileSystemArn"]
    efs.tag_resource(ResourceId=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    efs.untag_resource(ResourceId=made, TagKeys=["a"])
    statement = {"Effect": "Deny", "Principal": "*", "Action": "*"}
    efs.put_file_system_policy(FileSystemId=made, Policy=json.dumps({"Statement": statement}))

    assert [{"Key": "b", "Value": "2"}] == efs.list_tags_for_resource(ResourceId=made)["Tags"]
    policy = efs.describe_file_system_policy(FileSystemId=made)["Policy"]
    assert {"Statement": statement} == json.loads(policy)

    efs.delete_file_system_policy(FileSystemId=made)
    assert ("PolicyNotFound", 404) == refused(efs.describe_file_system_policy, FileSystemId=made)


def test_pages_are_followed_to_their_end(efs, made):
    points = {
        efs.create_access_point(ClientToken=f"{made}{number}", FileSystemId=made)["AccessPointId"]
        for number in range(3)
    }
    pages = efs.get_paginator("describe_access_points").paginate(
        FileSystemId=made, PaginationConfig={"PageSize": 2}
    )

    assert points == {each["AccessPointId"] for page in pages for each in page["AccessPoints"]}


def test_errors_are_those_of_the_model(efs, made):
    assert ("FileSystemNotFound", 404) == refused(efs.describe_file_systems, FileSystemId="fs-12345678")
    assert ("FileSystemAlreadyExists", 409) == refused(
        efs.create_file_system,
        CreationToken=efs.describe_file_systems(FileSystemId=made)["FileSystems"][0]["CreationToken"],
    )
    assert ("BadRequest", 400) == refused(
        efs.create_access_point,
        ClientToken="x",
        FileSystemId=made,
        RootDirectory={"Path": "/../etc"},
    )
    assert ("UnsupportedOperation", 400) == refused(efs.describe_account_preferences)


def test_who_is_not_allowed_is_refused(cloud, made, unique):
    iam = cloud.client("iam")
    iam.create_user(UserName=unique)
    key = iam.create_access_key(UserName=unique)["AccessKey"]
    other = cloud.client_as("efs", key["AccessKeyId"], key["SecretAccessKey"])

    assert ("AccessDeniedException", 403) == refused(other.describe_file_systems, FileSystemId=made)

    allowed = {"Effect": "Allow", "Action": "elasticfilesystem:DescribeFileSystems", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=unique, PolicyName="read", PolicyDocument=document)
    assert other.describe_file_systems(FileSystemId=made)["FileSystems"]
    assert ("AccessDeniedException", 403) == refused(other.delete_file_system, FileSystemId=made)


def test_the_stack_changes_in_place_and_its_files_outlive_it(cloud, efs, unique):
    cloudformation, waiting = cloud.client("cloudformation"), {"Delay": 0.1, "MaxAttempts": 300}
    names = {each: f"{unique}-{each}" for each in ("network", "shared-storage")}

    def apply(template, verb="create", **parameters):
        getattr(cloudformation, f"{verb}_stack")(
            StackName=names[template],
            TemplateBody=synth.text(template),
            Parameters=[{"ParameterKey": key, "ParameterValue": each} for key, each in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        waiter = cloudformation.get_waiter(f"stack_{verb}_complete")
        waiter.wait(StackName=names[template], WaiterConfig=waiting)
        outputs = cloudformation.describe_stacks(StackName=names[template])["Stacks"][0]["Outputs"]
        return {each["OutputKey"]: each["OutputValue"] for each in outputs}

    network = apply("network")
    where = {each: network[each] for each in ("VpcId", "PrivateSubnetIds")}
    first = apply("shared-storage", **where)
    id = first["FileSystemId"]
    strict = json.loads(efs.describe_file_system_policy(FileSystemId=id)["Policy"])

    assert first == apply("shared-storage", "update", TrainingMounts="true", **where)
    open_ = json.loads(efs.describe_file_system_policy(FileSystemId=id)["Policy"])
    assert {"Deny"} == {each["Effect"] for each in strict["Statement"]}
    assert {"Deny", "Allow"} == {each["Effect"] for each in open_["Statement"]}
    targets = efs.describe_mount_targets(FileSystemId=id)["MountTargets"]
    assert set(network["PrivateSubnetIds"].split(",")) == {each["SubnetId"] for each in targets}

    for template in ("shared-storage", "network"):
        cloudformation.delete_stack(StackName=names[template])
        waiter = cloudformation.get_waiter("stack_delete_complete")
        waiter.wait(StackName=names[template], WaiterConfig=waiting)
    assert 0 == efs.describe_file_systems(FileSystemId=id)["FileSystems"][0]["NumberOfMountTargets"]
    assert (cloud.home / "efs" / id).is_dir()
