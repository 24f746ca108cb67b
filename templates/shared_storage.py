"""Shared storage: a file system that training jobs, the fleet's tasks and notebooks have in common."""

from __future__ import annotations

from typing import Any

from troposphere import (
    Equals,
    GetAtt,
    If,
    Join,
    NoValue,
    Output,
    Parameter,
    Ref,
    Select,
    Sub,
    Tags,
    Template,
    ec2,
    efs,
)

from atelier.templates import parts
from atelier.templates.parts import Statement

VPC = Parameter("VpcId", Type="String", Description="The VPC that the file system is reached from.")
SUBNETS = Parameter(
    "PrivateSubnetIds",
    Type="CommaDelimitedList",
    Description="Two private subnets of it, in two zones; each gets a mount target.",
)
TRAINING = Parameter(
    "TrainingMounts",
    Type="String",
    Default="false",
    AllowedValues=["true", "false"],
    Description="Let SageMaker's jobs mount it, which know neither TLS nor access points nor IAM for that.",
)

NFS = 2049
NOWHERE = {"Description": "Nowhere", "IpProtocol": "-1", "CidrIp": "127.0.0.1/32"}
USER = 1000
USES = [f"elasticfilesystem:Client{each}" for each in ("Mount", "Write", "RootAccess")]
"""What may be done with a mounted file system."""


def template() -> Template:
    """Render the stack of shared storage."""
    t = parts.stack(__doc__ or "", parts.PREFIX, VPC, SUBNETS, TRAINING)
    t.add_condition("IsTrainingAllowed", Equals(Ref(TRAINING), "true"))
    clients, group = security_groups(t)
    jobs = t.add_resource(job_group())
    files = t.add_resource(file_system())
    for zone in (0, 1):
        t.add_resource(
            efs.MountTarget(
                f"MountTarget{zone + 1}",
                FileSystemId=Ref(files),
                SubnetId=Select(zone, Ref(SUBNETS)),
                SecurityGroups=[GetAtt(group, "GroupId")],
            )
        )
    point = t.add_resource(access_point(files))
    t.add_output(Output("FileSystemId", Value=Ref(files)))
    t.add_output(Output("FileSystemArn", Value=GetAtt(files, "Arn")))
    t.add_output(Output("AccessPointId", Value=Ref(point)))
    t.add_output(Output("AccessPointArn", Value=GetAtt(point, "Arn")))
    t.add_output(Output("FileSystemSecurityGroupId", Value=GetAtt(group, "GroupId")))
    t.add_output(Output("FileSystemClientGroupId", Value=GetAtt(clients, "GroupId")))
    members = [GetAtt(each, "GroupId") for each in (clients, jobs)]
    t.add_output(Output("TrainingGroupIds", Value=Join(",", members)))
    return parts.tagged(t, "shared-storage")


def security_groups(t: Template) -> tuple[ec2.SecurityGroup, ec2.SecurityGroup]:
    """Let clients reach mount targets by NFS, and neither reach anything else; return both groups."""
    clients = t.add_resource(_group("ClientGroup", "Who may mount the shared file system", NOWHERE))
    group = t.add_resource(_group("FileSystemGroup", "The mount targets of the shared file system", NOWHERE))
    ports = {"IpProtocol": "tcp", "FromPort": NFS, "ToPort": NFS}
    t.add_resource(
        ec2.SecurityGroupIngress(
            "FromClients",
            Description="NFS from the clients",
            GroupId=GetAtt(group, "GroupId"),
            SourceSecurityGroupId=GetAtt(clients, "GroupId"),
            **ports,
        )
    )
    t.add_resource(
        ec2.SecurityGroupEgress(
            "ToFileSystem",
            Description="NFS to the mount targets",
            GroupId=GetAtt(clients, "GroupId"),
            DestinationSecurityGroupId=GetAtt(group, "GroupId"),
            **ports,
        )
    )
    return clients, group


def _group(title: str, what: str, egress: dict[str, Any]) -> ec2.SecurityGroup:
    rules = [ec2.SecurityGroupRule(**egress)]
    return ec2.SecurityGroup(title, GroupDescription=what, VpcId=Ref(VPC), SecurityGroupEgress=rules)


def job_group() -> ec2.SecurityGroup:
    """Let training jobs reach S3 and the other services of AWS, and be reached by nobody."""
    aws = {
        "Description": "AWS by TLS",
        "IpProtocol": "tcp",
        "FromPort": 443,
        "ToPort": 443,
        "CidrIp": "0.0.0.0/0",
    }
    return _group("TrainingGroup", "Training jobs that mount the shared file system", aws)


def file_system() -> efs.FileSystem:
    """Keep datasets and caches: encrypted, backed up daily, cheaper when not read for a month."""
    return efs.FileSystem(
        "FileSystem",
        Encrypted=True,
        PerformanceMode="generalPurpose",
        ThroughputMode="elastic",
        LifecyclePolicies=[
            efs.LifecyclePolicy(TransitionToIA="AFTER_30_DAYS"),
            efs.LifecyclePolicy(TransitionToPrimaryStorageClass="AFTER_1_ACCESS"),
        ],
        BackupPolicy=efs.BackupPolicy(Status="ENABLED"),
        FileSystemPolicy=policy(),
        FileSystemTags=_tags("files"),
        DeletionPolicy="Retain",
        UpdateReplacePolicy="Retain",
    )


def policy() -> dict[str, Any]:
    """Let in who shows by TLS that a role allows it, through an access point; and training jobs as they come.

    A training job mounts the bare file system as nobody in particular: its security group alone decides.
    Nothing is allowed to roles here, so that each role's own policy says what it may do.
    """
    clear = {"Bool": {"aws:SecureTransport": "false"}}
    bare = {"Null": {"elasticfilesystem:AccessPointArn": "true"}}
    nobody = {
        "Null": {"aws:PrincipalArn": "true"},
        "Bool": {"elasticfilesystem:AccessedViaMountTarget": "true"},
    }
    training = _statement("TrainingJobs", "Allow", nobody)
    statements = [
        _unless_training("Encrypted", clear),
        _unless_training("ByAccessPoint", bare),
        If("IsTrainingAllowed", training, NoValue),
    ]
    return {"Version": parts.VERSION, "Statement": statements}


def _unless_training(sid: str, condition: dict[str, dict[str, str]]) -> If:
    """Deny to all; where training jobs may come as nobody, to all who are somebody."""
    somebody = {"aws:PrincipalArn": "false"}
    named = {**condition, "Null": {**condition.get("Null", {}), **somebody}}
    return If("IsTrainingAllowed", _statement(sid, "Deny", named), _statement(sid, "Deny", condition))


def _statement(sid: str, effect: str, condition: dict[str, Any]) -> Statement:
    return {"Sid": sid, "Effect": effect, "Principal": {"AWS": "*"}, "Action": USES, "Condition": condition}


def _tags(name: str) -> Tags:
    stack = {"atelier:installation": Ref(parts.PREFIX), "atelier:stack": "shared-storage"}
    return Tags({**stack, "Name": Sub(f"${{Prefix}}-{name}")})


def access_point(files: efs.FileSystem) -> efs.AccessPoint:
    """Show the file system to a user who is not root, whoever the client says it is."""
    return efs.AccessPoint(
        "AccessPoint",
        FileSystemId=Ref(files),
        PosixUser=efs.PosixUser(Uid=str(USER), Gid=str(USER)),
        RootDirectory=efs.RootDirectory(Path="/"),
        AccessPointTags=_tags("files"),
    )
