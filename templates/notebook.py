"""Notebook: an instance with this repository and a kernel for its notebooks; it stops when nobody works."""

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
    Select,
    Split,
    Sub,
    Template,
    ec2,
    iam,
    kms,
    sagemaker,
)

from atelier.templates import parts
from atelier.templates.parts import Statement, allow, arn, bucket_arn, objects, pass_role

REPOSITORY = Parameter(
    "SourceRepositoryName", Type="String", Description="The CodeCommit repository of this project."
)
CLONE_URL = Parameter(
    "SourceRepositoryCloneUrl", Type="String", Description="Where that repository is cloned from."
)
INSTANCE = Parameter(
    "NotebookInstanceType", Type="String", Default="ml.t3.medium", Description="What the notebooks run on."
)
DISK = Parameter(
    "NotebookVolumeGiB",
    Type="Number",
    Default="20",
    MinValue=5,
    MaxValue=16384,
    Description="The volume of the notebooks and their kernel, which outlives a stop.",
)
IDLE = Parameter(
    "NotebookIdleMinutes",
    Type="Number",
    Default="60",
    MinValue=0,
    MaxValue=10080,
    Description="After how many minutes without work the instance stops itself; 0: never.",
)
INTERNET = Parameter(
    "NotebookDirectInternet",
    Type="String",
    Default="true",
    AllowedValues=["true", "false"],
    Description="Whether SageMaker gives the instance a way to the internet; without, it needs the VPC.",
)
VPC = Parameter("VpcId", Type="String", Default="", Description="The VPC to be in; empty: SageMaker's own.")
SUBNETS = Parameter(
    "PrivateSubnetIds",
    Type="String",
    Default="none",
    Description="That VPC's private subnets, between commas; the instance is in the first one.",
)
CHOICES = (INSTANCE, DISK, IDLE, INTERNET, VPC, SUBNETS)
SHARED = (parts.PREFIX, parts.DATA_BUCKET, parts.MODEL_TABLE, parts.IMAGE_REPOSITORY, REPOSITORY, CLONE_URL)

UNCHOSEN = {"cfn-lint": {"config": {"ignore_checks": ["W1035"]}}}
"""cfn-lint holds `none`, which is taken without a VPC only, to the form of a subnet's id."""

PLATFORM = "notebook-al2023-v1"
NAME = "${Prefix}-notebook"
START = Path(__file__).with_name("notebook.sh")
HEAD = f"""\
#!/bin/bash
export AWS_DEFAULT_REGION="${{AWS::Region}}"
CLONE_URL="${{SourceRepositoryCloneUrl}}"
PREFIX="${{Prefix}}"
INSTANCE="{NAME}"
IDLE_MINUTES="${{NotebookIdleMinutes}}"
"""


def template() -> Template:
    """Render the notebook's stack."""
    t = parts.stack(__doc__ or "", *SHARED, *CHOICES)
    t.add_condition("HasVpc", Not(Equals(Ref(VPC), "")))
    t.add_condition("HasInternet", Equals(Ref(INTERNET), "true"))
    role = t.add_resource(parts.role("NotebookRole", "sagemaker.amazonaws.com", *permissions()))
    t.add_resource(own_role(role))
    key = t.add_resource(volume_key())
    group = t.add_resource(security_group())
    start = t.add_resource(lifecycle())
    instance = t.add_resource(notebook(role, key, group, start))
    t.add_output(Output("NotebookInstanceName", Value=GetAtt(instance, "NotebookInstanceName")))
    t.add_output(Output("NotebookRoleArn", Value=GetAtt(role, "Arn")))
    return parts.tagged(t, "notebook")


def permissions() -> list[Statement]:
    """Allow what the notebooks do: read data and versions, and train under a name of their own."""
    return [*may_look(), *may_train(), *may_run_jobs(), *may_be_an_instance()]


def may_look() -> list[Statement]:
    """Allow to read what is deployed, the data, the registry and its images' digests."""
    return [
        allow(["cloudformation:DescribeStacks"], arn("cloudformation", "stack/${Prefix}-*/*")),
        allow(["s3:GetObject"], *objects(parts.DATA_BUCKET, "data/*", "models/*", "notebooks/*")),
        allow(["s3:ListBucket"], bucket_arn(parts.DATA_BUCKET)),
        allow(["dynamodb:Query"], parts.table_arn()),
        allow(["ecr:DescribeImages"], arn("ecr", "repository/${ImageRepositoryName}")),
    ]


def may_train() -> list[Statement]:
    """Allow training jobs that are told from the pipeline's by their names, and to follow them."""
    actions = ["Create", "Describe", "Stop"]
    return [
        allow(
            [*(f"sagemaker:{each}TrainingJob" for each in actions), "sagemaker:AddTags"],
            arn("sagemaker", f"training-job/{NAME}-*"),
        ),
        allow(
            ["logs:DescribeLogStreams", "logs:GetLogEvents", "logs:FilterLogEvents"],
            arn("logs", "log-group:/aws/sagemaker/TrainingJobs"),
            arn("logs", "log-group:/aws/sagemaker/TrainingJobs:*"),
        ),
    ]


def may_run_jobs() -> list[Statement]:
    """Allow what the jobs do as the same role: pull the image, keep a model, write logs and metrics."""
    return [
        allow(["s3:PutObject", "s3:AbortMultipartUpload"], *objects(parts.DATA_BUCKET, "notebooks/*")),
        allow(
            ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"],
            arn("ecr", "repository/${ImageRepositoryName}"),
        ),
        allow(["ecr:GetAuthorizationToken"], "*"),
        allow(
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            arn("logs", "log-group:/aws/sagemaker/*"),
        ),
        allow(
            ["cloudwatch:PutMetricData"],
            "*",
            StringLike={"cloudwatch:namespace": ["/aws/sagemaker/*", "aws/sagemaker/*"]},
        ),
    ]


def may_be_an_instance() -> list[Statement]:
    """Allow the instance to fetch the source, and to stop itself."""
    return [
        allow(["codecommit:GitPull"], arn("codecommit", "${SourceRepositoryName}")),
        allow(
            ["sagemaker:DescribeNotebookInstance", "sagemaker:StopNotebookInstance"],
            arn("sagemaker", f"notebook-instance/{NAME}"),
        ),
    ]


def may_enter_vpc() -> list[Statement]:
    """Allow SageMaker to give the instance an address in the VPC."""
    interface = arn("ec2", "network-interface/*")
    own = ["CreateNetworkInterfacePermission", "DeleteNetworkInterface", "DeleteNetworkInterfacePermission"]
    kinds = ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")
    return [
        allow(
            ["ec2:CreateNetworkInterface"],
            *(interface, arn("ec2", "subnet/*"), arn("ec2", "security-group/*")),
        ),
        allow([f"ec2:{each}" for each in own], interface),
        allow([f"ec2:Describe{each}" for each in kinds], "*"),
    ]


def own_role(role: iam.Role) -> iam.PolicyType:
    """Let jobs have the notebooks' role, which cannot name itself, and let the instance into the VPC."""
    own = pass_role("sagemaker.amazonaws.com", GetAtt(role, "Arn"))
    in_vpc = [If("HasVpc", each, NoValue) for each in may_enter_vpc()]
    document = {"Version": parts.VERSION, "Statement": [own, *in_vpc]}
    return iam.PolicyType("OwnRole", PolicyName="OwnRole", PolicyDocument=document, Roles=[Ref(role)])


def volume_key() -> kms.Key:
    """Encrypt the volume with a key of the installation's own, which can be taken away from all copies."""
    owner = {"AWS": Sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")}
    statement = {"Effect": "Allow", "Principal": owner, "Action": "kms:*", "Resource": "*"}
    return kms.Key(
        "VolumeKey",
        Description=Sub("Encrypts the volume of " + NAME),
        EnableKeyRotation=True,
        KeyPolicy={"Version": parts.VERSION, "Statement": [statement]},
        DeletionPolicy="Retain",
        UpdateReplacePolicy="Retain",
    )


def security_group() -> ec2.SecurityGroup:
    """Let nobody in: SageMaker brings people to Jupyter by a way of its own."""
    return ec2.SecurityGroup(
        "NotebookGroup",
        Condition="HasVpc",
        GroupDescription="The notebook instance, which calls and is not called",
        VpcId=Ref(VPC),
    )


def lifecycle() -> sagemaker.NotebookInstanceLifecycleConfig:
    """Fetch the source and set the kernel up at every start, and watch for idleness."""
    return sagemaker.NotebookInstanceLifecycleConfig(
        "Start", OnStart=[sagemaker.NotebookInstanceLifecycleHook(Content=Base64(script()))]
    )


def script() -> AWSHelperFn:
    """Return what runs at every start: a few names, then the script, which knows nothing of templates."""
    return Join("", [Sub(HEAD), START.read_text(encoding="ascii")])


def notebook(
    role: iam.Role,
    key: kms.Key,
    group: ec2.SecurityGroup,
    start: sagemaker.NotebookInstanceLifecycleConfig,
) -> sagemaker.NotebookInstance:
    """Keep one instance, on which nobody is root."""
    return sagemaker.NotebookInstance(
        "Notebook",
        NotebookInstanceName=Sub(NAME),
        InstanceType=Ref(INSTANCE),
        PlatformIdentifier=PLATFORM,
        RoleArn=GetAtt(role, "Arn"),
        RootAccess="Disabled",
        InstanceMetadataServiceConfiguration=sagemaker.InstanceMetadataServiceConfiguration(
            MinimumInstanceMetadataServiceVersion="2"
        ),
        KmsKeyId=GetAtt(key, "Arn"),
        VolumeSizeInGB=Ref(DISK),
        LifecycleConfigName=GetAtt(start, "NotebookInstanceLifecycleConfigName"),
        DirectInternetAccess=If("HasInternet", "Enabled", "Disabled"),
        SubnetId=If("HasVpc", Select(0, Split(",", Ref(SUBNETS))), NoValue),
        SecurityGroupIds=If("HasVpc", [GetAtt(group, "GroupId")], NoValue),
        DependsOn="OwnRole",
        Metadata=UNCHOSEN,
    )
