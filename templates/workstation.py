"""Workstation: what starts the WebUI on EC2, closed to everyone but whom a person lets in."""

from __future__ import annotations

from pathlib import Path

from troposphere import (
    AWSHelperFn,
    Base64,
    Equals,
    GetAtt,
    If,
    Join,
    Not,
    NoValue,
    Output,
    Parameter,
    Ref,
    Sub,
    Tags,
    Template,
    ec2,
    iam,
    secretsmanager,
)

from atelier.templates import parts
from atelier.templates.parts import Statement, allow, arn

REPOSITORY = Parameter(
    "WebuiRepositoryName", Type="String", Description="The repository of the WebUI's images."
)
IMAGE = Parameter(
    "WebuiImageParameter", Type="String", Description="The SSM parameter that names the latest good image."
)
INSTANCE = Parameter(
    "WorkstationInstanceType",
    Type="String",
    Default="t3.large",
    Description="What a workstation runs on unless it is said at its launch; x86_64, as the images are.",
)
MACHINE_IMAGE = Parameter(
    "WorkstationMachineImage",
    Type="String",
    Default="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
    AllowedPattern="/aws/service/[a-zA-Z0-9/._-]+",
    Description="The public SSM parameter of the machine image: Amazon Linux 2023, or one with GPU drivers.",
)
CIDR = Parameter(
    "AllowedCidr",
    Type="String",
    Default="127.0.0.1/32",
    AllowedPattern=r"\d{1,3}(\.\d{1,3}){3}/\d{1,2}",
    ConstraintDescription="an IPv4 range such as 203.0.113.7/32",
    Description="Whose addresses may reach the WebUI; nobody's unless it is set.",
)
VPC = Parameter("WorkstationVpcId", Type="String", Default="", Description="The VPC; empty: the default one.")
SUBNET = Parameter(
    "WorkstationSubnetId",
    Type="String",
    Default="",
    Description="A public subnet of that VPC; empty: one of the default VPC's.",
)
IDLE = Parameter(
    "IdleMinutes",
    Type="Number",
    Default="60",
    MinValue=0,
    MaxValue=10080,
    Description="After how many minutes without use a workstation shuts itself down; 0: never.",
)
SPOT = Parameter(
    "WorkstationSpot",
    Type="String",
    Default="false",
    AllowedValues=["true", "false"],
    Description="Run on spare capacity, which is cheaper and may be taken away; the volume stays.",
)
DISK = Parameter(
    "WorkstationVolumeGiB",
    Type="Number",
    Default="100",
    MinValue=1,
    MaxValue=16384,
    Description="The volume of outputs, settings and models, which outlives the instance.",
)
ROOT = Parameter(
    "WorkstationRootGiB",
    Type="Number",
    Default="40",
    MinValue=8,
    MaxValue=16384,
    Description="The root volume; two images of the WebUI have to fit, and the machine image.",
)
CHOICES = (INSTANCE, MACHINE_IMAGE, CIDR, VPC, SUBNET, IDLE, SPOT, DISK, ROOT)

USER = "artist"
PORT = 443
BOOT = Path(__file__).with_name("workstation.sh")
BORDER = "==atelier=="

HEAD = f"""\
Content-Type: multipart/mixed; boundary="{BORDER}"
MIME-Version: 1.0

--{BORDER}
Content-Type: text/cloud-config; charset="us-ascii"

cloud_final_modules:
- [scripts-user, always]

--{BORDER}
Content-Type: text/x-shellscript; charset="us-ascii"
Content-Disposition: attachment; filename="workstation.sh"

#!/bin/bash
export AWS_DEFAULT_REGION="${{AWS::Region}}"
IMAGE_PARAMETER="${{WebuiImageParameter}}"
PASSWORD_SECRET="${{Password.Id}}"
WEBUI_USER="{USER}"
IDLE_MINUTES="${{IdleMinutes}}"
"""
"""cloud-init runs a script at the first boot only, unless told otherwise: a reboot starts a new image."""


def template() -> Template:
    """Render the stack that workstations are launched from."""
    t = parts.stack(__doc__ or "", parts.PREFIX, REPOSITORY, IMAGE, *CHOICES)
    t.add_condition("IsSpot", Equals(Ref(SPOT), "true"))
    t.add_condition("HasVpc", Not(Equals(Ref(VPC), "")))
    t.add_condition("HasSubnet", Not(Equals(Ref(SUBNET), "")))
    secret = t.add_resource(password())
    group = t.add_resource(security_group())
    identity = t.add_resource(parts.role("WorkstationRole", "ec2.amazonaws.com", *permissions(secret)))
    profile = t.add_resource(iam.InstanceProfile("WorkstationProfile", Roles=[Ref(identity)]))
    launch = t.add_resource(launch_template(profile, group))
    t.add_output(Output("LaunchTemplateName", Value=Sub("${Prefix}-webui")))
    t.add_output(Output("LaunchTemplateId", Value=Ref(launch)))
    t.add_output(Output("SecurityGroupId", Value=GetAtt(group, "GroupId")))
    t.add_output(Output("PasswordSecretArn", Value=GetAtt(secret, "Id")))
    t.add_output(Output("WebuiUser", Value=USER))
    t.add_output(Output("WebuiPort", Value=str(PORT)))
    return parts.tagged(t, "workstation")


def password() -> secretsmanager.Secret:
    """Keep the password that the WebUI asks for; nobody chooses it, and only who may read it knows it."""
    return secretsmanager.Secret(
        "Password",
        Description=Sub("The password of the WebUI's user on the workstations of ${Prefix}"),
        GenerateSecretString=secretsmanager.GenerateSecretString(PasswordLength=24, ExcludePunctuation=True),
    )


def security_group() -> ec2.SecurityGroup:
    """Let in who is allowed, by TLS alone; there is no SSH, but Session Manager."""
    return ec2.SecurityGroup(
        "WorkstationGroup",
        GroupDescription="The WebUI, for the addresses that may reach it",
        VpcId=If("HasVpc", Ref(VPC), NoValue),
        SecurityGroupIngress=[
            ec2.SecurityGroupRule(
                Description="The WebUI over TLS",
                IpProtocol="tcp",
                FromPort=PORT,
                ToPort=PORT,
                CidrIp=Ref(CIDR),
            )
        ],
    )


def permissions(secret: secretsmanager.Secret) -> list[Statement]:
    """Allow what booting takes: pull an image, read its name and the password, be reached by a session."""
    pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    sessions = ["CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel"]
    return [
        allow(["ecr:GetAuthorizationToken"], "*"),
        allow(pull, arn("ecr", "repository/${WebuiRepositoryName}")),
        allow(["ssm:GetParameter"], arn("ssm", "parameter${WebuiImageParameter}")),
        allow(["secretsmanager:GetSecretValue"], GetAtt(secret, "Id")),
        allow(["ssm:UpdateInstanceInformation"], arn("ec2", "instance/*")),
        allow([f"ssmmessages:{each}" for each in sessions], "*"),
    ]


def launch_template(profile: iam.InstanceProfile, group: ec2.SecurityGroup) -> ec2.LaunchTemplate:
    """Say once what every workstation is; what a launch adds is its type, its image and its end."""
    return ec2.LaunchTemplate(
        "Workstation",
        LaunchTemplateName=Sub("${Prefix}-webui"),
        TagSpecifications=[
            ec2.TagSpecifications(
                ResourceType="launch-template", Tags=Tags({"atelier:installation": Ref(parts.PREFIX)})
            )
        ],
        LaunchTemplateData=ec2.LaunchTemplateData(
            ImageId=Sub("resolve:ssm:${WorkstationMachineImage}"),
            InstanceType=Ref(INSTANCE),
            IamInstanceProfile=ec2.IamInstanceProfile(Arn=GetAtt(profile, "Arn")),
            SecurityGroupIds=If("HasSubnet", NoValue, [GetAtt(group, "GroupId")]),
            NetworkInterfaces=If("HasSubnet", [_interface(group)], NoValue),
            UserData=Base64(user_data()),
            BlockDeviceMappings=[
                _disk("/dev/xvda", Ref(ROOT), lasts=False),
                _disk("/dev/sdf", Ref(DISK), lasts=True),
            ],
            MetadataOptions=ec2.MetadataOptions(
                HttpTokens="required", HttpPutResponseHopLimit=1, InstanceMetadataTags="enabled"
            ),
            InstanceInitiatedShutdownBehavior=If("IsSpot", "terminate", "stop"),
            InstanceMarketOptions=If("IsSpot", ec2.InstanceMarketOptions(MarketType="spot"), NoValue),
            TagSpecifications=[_tags("instance"), _tags("volume")],
        ),
    )


def _interface(group: ec2.SecurityGroup) -> ec2.NetworkInterfaces:
    return ec2.NetworkInterfaces(
        DeviceIndex=0, SubnetId=Ref(SUBNET), Groups=[GetAtt(group, "GroupId")], AssociatePublicIpAddress=True
    )


def _disk(device: str, size: Ref, *, lasts: bool) -> ec2.LaunchTemplateBlockDeviceMapping:
    ebs = ec2.EBSBlockDevice(VolumeSize=size, VolumeType="gp3", Encrypted=True, DeleteOnTermination=not lasts)
    return ec2.LaunchTemplateBlockDeviceMapping(DeviceName=device, Ebs=ebs)


def _tags(kind: str) -> ec2.TagSpecifications:
    tags = {"Name": Sub("${Prefix}-webui"), "atelier:installation": Ref(parts.PREFIX)}
    return ec2.TagSpecifications(ResourceType=kind, Tags=Tags(tags))


def user_data() -> AWSHelperFn:
    """Return what runs at every boot: a few names, then the script, which knows nothing of templates."""
    return Join("", [Sub(HEAD), BOOT.read_text(encoding="ascii"), f"\n--{BORDER}--\n"])
