"""EFS without a gateway: a file system in a VPC, with clients whom it lets in and strangers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from atelier.cloud.services.ec2 import plugin as ec2
from atelier.cloud.services.efs.plugin import PLUGIN
from atelier.cloud.services.resources import Request

TYPES = {each.type: each for each in (*ec2.PLUGIN.resources, *PLUGIN.resources)}


@dataclass
class Files:
    """EFS in a VPC with two security groups: clients, and the mount targets that let them in."""

    cloud: Any
    made: int = 0
    names: dict[str, str] = field(default_factory=dict)

    def __call__(self, operation: str, **request: Any) -> dict[str, Any]:
        return PLUGIN.service.call(self.cloud, operation, request)

    def resource(self, type: str, **properties: Any) -> str:
        self.made += 1
        asked = Request(stack="s", logical_id="L", name=f"n{self.made}", properties=properties)
        return TYPES[type].create(self.cloud, asked).ref

    def network(self) -> None:
        vpc = self.resource("AWS::EC2::VPC", CidrBlock="10.1.0.0/16")
        group = {"GroupDescription": "x", "VpcId": vpc}
        self.names = {
            "subnet": self.resource("AWS::EC2::Subnet", VpcId=vpc, CidrBlock="10.1.0.0/20"),
            "clients": self.resource("AWS::EC2::SecurityGroup", **group),
            "strangers": self.resource("AWS::EC2::SecurityGroup", **group),
            "targets": self.resource("AWS::EC2::SecurityGroup", **group),
        }
        self.resource(
            "AWS::EC2::SecurityGroupIngress",
            GroupId=self.names["targets"],
            SourceSecurityGroupId=self.names["clients"],
            **{"IpProtocol": "tcp", "FromPort": 2049, "ToPort": 2049},
        )

    def file_system(self, token: str = "one") -> str:
        id = self("CreateFileSystem", CreationToken=token)["FileSystemId"]
        self(
            "CreateMountTarget",
            FileSystemId=id,
            SubnetId=self.names["subnet"],
            SecurityGroups=[self.names["targets"]],
        )
        return str(id)

    def point(self, file_system: str, **more: Any) -> str:
        self.made += 1
        made = self("CreateAccessPoint", FileSystemId=file_system, ClientToken=f"p{self.made}", **more)
        return str(made["AccessPointId"])

    def allow(self, file_system: str, *statements: dict[str, Any]) -> None:
        uses = [f"elasticfilesystem:Client{each}" for each in ("Mount", "Write", "RootAccess")]
        whole = [{"Principal": {"AWS": "*"}, "Action": uses, **each} for each in statements]
        policy = json.dumps({"Version": "2012-10-17", "Statement": whole})
        self("PutFileSystemPolicy", FileSystemId=file_system, Policy=policy)
