"""What training jobs have in common: a file system as a channel, and the VPC in which they reach it."""

from __future__ import annotations

import json

from troposphere import AWSHelperFn, If, Join, NoValue, Parameter, Ref, Split, Sub

from atelier.templates.parts import Statement, allow, arn

FILE_SYSTEM = Parameter(
    "TrainingFileSystemId",
    Type="String",
    Default="",
    AllowedPattern="|fs-[0-9a-f]{8,17}",
    Description="The file system in which jobs keep what the next one can use; empty: none.",
)
SUBNETS = Parameter(
    "TrainingSubnetIds",
    Type="String",
    Default="",
    AllowedPattern="|subnet-[0-9a-f]+(,subnet-[0-9a-f]+)*",
    Description="With a file system: the subnets that jobs are in, separated by commas.",
)
GROUPS = Parameter(
    "TrainingGroupIds",
    Type="String",
    Default="",
    AllowedPattern="|sg-[0-9a-f]+(,sg-[0-9a-f]+)*",
    Description="With a file system: the security groups of jobs, which it and AWS let in.",
)
CHOICES = (FILE_SYSTEM, SUBNETS, GROUPS)

CHANNEL = "shared"
HAS_ONE = "HasFileSystem"
"""The condition that there is a file system."""


def channel() -> str:
    """Return the channel that is a file system, as it follows other channels of a job."""
    source = {
        "FileSystemId": "${TrainingFileSystemId}",
        "FileSystemType": "EFS",
        "FileSystemAccessMode": "rw",
        "DirectoryPath": "/",
    }
    whole = {"ChannelName": CHANNEL, "DataSource": {"FileSystemDataSource": source}}
    return f", {json.dumps(whole)}"


def network() -> str:
    """Return where in a VPC a job is, as it follows what else a job has; with lists to be filled in."""
    return ', "VpcConfig": {"Subnets": ["${Subnets}"], "SecurityGroupIds": ["${Groups}"]}'


def values() -> dict[str, AWSHelperFn]:
    """Fill in what the state machine's definition leaves open: both of these, or nothing."""
    within = Sub(network(), Subnets=_quoted(SUBNETS), Groups=_quoted(GROUPS))
    return {"SharedChannel": If(HAS_ONE, Sub(channel()), ""), "Network": If(HAS_ONE, within, "")}


def _quoted(listed: Parameter) -> Join:
    """Return what is between the brackets of a JSON list, but for its first and last quotation marks."""
    return Join('", "', Split(",", Ref(listed)))


def permissions() -> list[If]:
    """Allow, where there is a file system, what it takes to be in its VPC."""
    return [If(HAS_ONE, each, NoValue) for each in may_enter_vpc()]


def may_enter_vpc() -> list[Statement]:
    """Allow SageMaker to give a job an address in the VPC, and to find the file system there."""
    interface = arn("ec2", "network-interface/*")
    kinds = ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")
    own = ["CreateNetworkInterfacePermission", "DeleteNetworkInterface", "DeleteNetworkInterfacePermission"]
    return [
        allow(
            ["ec2:CreateNetworkInterface"],
            *(interface, arn("ec2", "subnet/*"), arn("ec2", "security-group/*")),
        ),
        allow([f"ec2:{each}" for each in own], interface),
        allow([f"ec2:Describe{each}" for each in kinds], "*"),
        allow(
            ["elasticfilesystem:DescribeMountTargets"],
            arn("elasticfilesystem", "file-system/${TrainingFileSystemId}"),
        ),
    ]
