"""Network: a public and a private subnet in each of two zones; the private ones reach AWS by endpoints."""

from __future__ import annotations

from typing import Any

from troposphere import (
    Cidr,
    Equals,
    GetAtt,
    GetAZs,
    Join,
    Not,
    Output,
    Parameter,
    Ref,
    Select,
    Sub,
    Tags,
    Template,
    ec2,
    logs,
)

from atelier.templates import parts
from atelier.templates.parts import Statement, allow, arn

NAT = Parameter(
    "NatGateway",
    Type="String",
    Default="false",
    AllowedValues=["true", "false"],
    Description="Whether private subnets reach the internet by a NAT gateway; else AWS alone, by endpoints.",
)
RANGE = Parameter(
    "VpcCidr",
    Type="String",
    Default="10.83.0.0/16",
    AllowedPattern=r"(10|172|192)\.\d{1,3}\.0\.0/16",
    ConstraintDescription="a private IPv4 range of the size /16, such as 10.83.0.0/16",
    Description="The addresses of the VPC; a sixteenth of them goes to each subnet.",
)

ZONES = (0, 1)
HOST_BITS = 12
ANYWHERE = "0.0.0.0/0"

INTERFACES = {
    "EcrApi": "ecr.api",
    "EcrDocker": "ecr.dkr",
    "Logs": "logs",
    "Parameters": "ssm",
    "Secrets": "secretsmanager",
    "Tokens": "sts",
    "SageMaker": "sagemaker.api",
    "SageMakerRuntime": "sagemaker.runtime",
}
"""The APIs that tasks, jobs and notebooks call; an hour of each costs, while S3 and DynamoDB are free."""


def template() -> Template:
    """Render the network's stack."""
    t = parts.stack(__doc__ or "", parts.PREFIX, NAT, RANGE)
    t.add_condition("HasNat", Equals(Ref(NAT), "true"))
    t.add_condition("HasEndpoints", Not(Equals(Ref(NAT), "true")))
    vpc = t.add_resource(ec2.VPC("Vpc", CidrBlock=Ref(RANGE), EnableDnsSupport=True, EnableDnsHostnames=True))
    public, private = subnets(t, "Public", 0), subnets(t, "Private", len(ZONES))
    inward = private_routes(t, private)
    nat(t, public[0], outward=public_routes(t, public), inward=inward)
    group = t.add_resource(endpoint_group())
    endpoints(t, inward, private, group)
    flow_log(t)
    t.add_output(Output("VpcId", Value=Ref(vpc)))
    t.add_output(Output("PublicSubnetIds", Value=Join(",", [Ref(each) for each in public])))
    t.add_output(Output("PrivateSubnetIds", Value=Join(",", [Ref(each) for each in private])))
    t.add_output(Output("EndpointSecurityGroupId", Value=GetAtt(group, "GroupId")))
    return named(parts.tagged(t, "network"))


def named(t: Template) -> Template:
    """Name what the VPC's console shows by its name alone."""
    for resource in t.resources.values():
        if isinstance(resource, ec2.VPC | ec2.Subnet | ec2.RouteTable | ec2.NatGateway):
            resource.Tags += Tags(Name=Sub(f"${{Prefix}}-{resource.title.lower()}"))
    return t


def subnets(t: Template, kind: str, first: int) -> list[ec2.Subnet]:
    """Add a subnet of a kind to each zone; nothing in it gets a public address unless it asks for one."""
    blocks = Cidr(Ref(RANGE), 2 * len(ZONES), HOST_BITS)
    return [
        t.add_resource(
            ec2.Subnet(
                f"{kind}{zone + 1}",
                VpcId=Ref("Vpc"),
                AvailabilityZone=Select(zone, GetAZs("")),
                CidrBlock=Select(first + zone, blocks),
                MapPublicIpOnLaunch=False,
            )
        )
        for zone in ZONES
    ]


def public_routes(t: Template, subnets: list[ec2.Subnet]) -> ec2.Route:
    """Lead the public subnets to the internet; return the route, without which no NAT gateway works."""
    gateway = t.add_resource(ec2.InternetGateway("Internet"))
    door = t.add_resource(
        ec2.VPCGatewayAttachment("InternetDoor", VpcId=Ref("Vpc"), InternetGatewayId=Ref(gateway))
    )
    table = t.add_resource(ec2.RouteTable("PublicRoutes", VpcId=Ref("Vpc")))
    _associate(t, table, subnets)
    return t.add_resource(
        ec2.Route(
            "ToInternet",
            RouteTableId=Ref(table),
            DestinationCidrBlock=ANYWHERE,
            GatewayId=Ref(gateway),
            DependsOn=door.title,
        )
    )


def private_routes(t: Template, subnets: list[ec2.Subnet]) -> ec2.RouteTable:
    """Lead the private subnets nowhere but to the VPC's own addresses, and to what else is added."""
    table = t.add_resource(ec2.RouteTable("PrivateRoutes", VpcId=Ref("Vpc")))
    _associate(t, table, subnets)
    return table


def _associate(t: Template, table: ec2.RouteTable, subnets: list[ec2.Subnet]) -> None:
    for each in subnets:
        t.add_resource(
            ec2.SubnetRouteTableAssociation(
                f"{each.title}Routes", SubnetId=Ref(each), RouteTableId=Ref(table)
            )
        )


def nat(t: Template, subnet: ec2.Subnet, *, outward: ec2.Route, inward: ec2.RouteTable) -> None:
    """Let the private subnets out, and nobody in; one gateway for both zones, as the second costs as much."""
    address = t.add_resource(
        ec2.EIP("NatAddress", Domain="vpc", Condition="HasNat", DependsOn="InternetDoor")
    )
    gateway = t.add_resource(
        ec2.NatGateway(
            "Nat",
            AllocationId=GetAtt(address, "AllocationId"),
            SubnetId=Ref(subnet),
            Condition="HasNat",
            DependsOn=outward.title,
        )
    )
    t.add_resource(
        ec2.Route(
            "ToNat",
            RouteTableId=Ref(inward),
            DestinationCidrBlock=ANYWHERE,
            NatGatewayId=Ref(gateway),
            Condition="HasNat",
        )
    )


def endpoint_group() -> ec2.SecurityGroup:
    """Let the VPC's own addresses call AWS by TLS; an endpoint itself never calls anyone."""
    return ec2.SecurityGroup(
        "EndpointGroup",
        GroupDescription="The endpoints of AWS services, for the VPC",
        VpcId=Ref("Vpc"),
        SecurityGroupIngress=[
            ec2.SecurityGroupRule(
                Description="AWS by TLS",
                IpProtocol="tcp",
                FromPort=443,
                ToPort=443,
                CidrIp=Ref(RANGE),
            )
        ],
        SecurityGroupEgress=[
            ec2.SecurityGroupRule(Description="Nowhere", IpProtocol="-1", CidrIp="127.0.0.1/32")
        ],
    )


def endpoints(
    t: Template, routes: ec2.RouteTable, subnets: list[ec2.Subnet], group: ec2.SecurityGroup
) -> None:
    """Add the ways to AWS: S3's and DynamoDB's always, for they cost nothing; the others in place of NAT."""
    for title, service, statements in (
        ("Objects", "s3", [_own("aws:ResourceAccount"), image_layers(), packages()]),
        ("Tables", "dynamodb", [_own("aws:ResourceAccount")]),
    ):
        _endpoint(t, title, service, *statements, VpcEndpointType="Gateway", RouteTableIds=[Ref(routes)])
    for title, service in INTERFACES.items():
        _endpoint(
            *(t, title, service, _own("aws:PrincipalAccount")),
            VpcEndpointType="Interface",
            SubnetIds=[Ref(each) for each in subnets],
            SecurityGroupIds=[GetAtt(group, "GroupId")],
            PrivateDnsEnabled=True,
            Condition="HasEndpoints",
        )


def _endpoint(t: Template, title: str, service: str, *statements: Statement, **more: Any) -> None:
    t.add_resource(
        ec2.VPCEndpoint(
            f"{title}Endpoint",
            VpcId=Ref("Vpc"),
            ServiceName=_service(service),
            PolicyDocument=_policy(*statements),
            **more,
        )
    )


def _service(name: str) -> Sub:
    return Sub(f"com.amazonaws.${{AWS::Region}}.{name}")


def _policy(*statements: Statement) -> dict[str, Any]:
    return {"Version": parts.VERSION, "Statement": list(statements)}


def _own(key: str) -> Statement:
    """Let through what this account does or has: nobody carries data out to an account of their own."""
    own = {"StringEquals": {key: Ref("AWS::AccountId")}}
    return {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*", "Condition": own}


def image_layers() -> Statement:
    """Let through the layers of images, which ECR keeps in a bucket of its own and signs the links to."""
    layers = Sub("arn:${AWS::Partition}:s3:::prod-${AWS::Region}-starport-layer-bucket/*")
    return {**allow(["s3:GetObject"], layers), "Principal": "*"}


def packages() -> Statement:
    """Let through the packages of Amazon Linux, which lie in a bucket of AWS's; a notebook installs some."""
    repositories = Sub("arn:${AWS::Partition}:s3:::al2023-repos-${AWS::Region}-de612dc2/*")
    return {**allow(["s3:GetObject"], repositories), "Principal": "*"}


def flow_log(t: Template) -> None:
    """Keep what was refused; what was let through would cost more than it tells."""
    group: logs.LogGroup = t.add_resource(parts.log_group("FlowLogGroup"))
    identity = t.add_resource(
        parts.role(
            "FlowLogRole",
            "vpc-flow-logs.amazonaws.com",
            allow(
                ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"], GetAtt(group, "Arn")
            ),
            allow(["logs:DescribeLogGroups"], arn("logs", "log-group:*")),
        )
    )
    t.add_resource(
        ec2.FlowLog(
            "FlowLog",
            ResourceType="VPC",
            ResourceId=Ref("Vpc"),
            TrafficType="REJECT",
            LogGroupName=Ref(group),
            DeliverLogsPermissionArn=GetAtt(identity, "Arn"),
        )
    )
